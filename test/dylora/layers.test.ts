/** Parts of the serving graph by themselves, against what they claim to find. */
import fc from 'fast-check'
import t from 'tap'
import { likeliest } from '../../src/dylora/layers.ts'
import { input } from '../../src/onnx/graph.ts'
import { serializeModel } from '../../src/onnx/model.ts'
import { Session } from '../../src/onnx/session.ts'
import { logitsOf } from '../fixtures/logits.ts'

const [k, vocabSize] = [8, 40]
const graph = likeliest(input('logits', 'float32', ['rows', vocabSize]), k)
const session = await Session.create(serializeModel(graph), { threads: 1 })
t.teardown(() => session.close())

async function found(rows: readonly Float32Array[]) {
  const data = Float32Array.from(rows.flatMap((row) => [...row]))
  const outputs = await session.run({ logits: { dtype: 'float32', shape: [rows.length, vocabSize], data } })
  const of = (name: string) => Array.from(outputs[name]?.data ?? [], Number)
  const [ids, logits, probabilities] = [of('likeliest_ids'), of('likeliest_logits'), of('highest_probability')]
  return rows.map((_, i) => ({
    ids: ids.slice(i * k, (i + 1) * k),
    logits: logits.slice(i * k, (i + 1) * k),
    normalizer: (logits[i * k] ?? Number.NaN) - Math.log(probabilities[i] ?? Number.NaN),
  }))
}

t.test(
  'the likeliest tokens and the normalizer are those of a full sort and sum, of equals the lower id first',
  async () => {
    const logit = fc.oneof(fc.integer({ min: -40, max: 40 }), fc.constant(Number.NEGATIVE_INFINITY))
    const row = fc
      .tuple(fc.array(logit, { minLength: vocabSize, maxLength: vocabSize }), fc.constantFrom(0, 1e4, -1e4))
      .map(([values, shift]) => Float32Array.from(values, (value) => value / 8 + shift))
      .filter((values) => values.some(Number.isFinite))
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 4 }), async (rows) => {
        const all = await found(rows)
        return all.every(({ ids, logits, normalizer }, i) => {
          const values = rows[i] as Float32Array
          const expected = logitsOf(values, k)
          const isSame =
            ids.join() === [...expected.likeliest].join() && logits.every((x, j) => x === values[ids[j] ?? -1])
          return (
            isSame && Math.abs(normalizer - expected.normalizer) < 1e-6 * Math.max(1, Math.abs(expected.normalizer))
          )
        })
      }),
    )
  },
)

t.test('of logits that are no distribution the normalizer is not finite', async (t) => {
  for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY]) {
    for (const at of [0, 1, 17, vocabSize - 1]) {
      const row = Float32Array.from({ length: vocabSize }, (_, id) => (id === at ? wrong : id / 7))
      const [bad, good] = await found([row, new Float32Array(vocabSize)])
      t.notOk(Number.isFinite(bad?.normalizer), `${wrong} at ${at}`)
      t.ok(Math.abs((good?.normalizer ?? 0) - Math.log(vocabSize)) < 1e-6, 'other rows do not suffer')
    }
  }
  const [none] = await found([new Float32Array(vocabSize).fill(Number.NEGATIVE_INFINITY)])
  t.notOk(Number.isFinite(none?.normalizer))
})
