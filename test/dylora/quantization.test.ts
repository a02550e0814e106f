/** Bases in few bits: the file, the kernel against float32 over the same values, training over them, and bad input. */
import t from 'tap'
import { readBaseModel, readWeight } from '../../src/dylora/base-model.ts'
import { servingGraph } from '../../src/dylora/graphs.ts'
import { importCheckpoint } from '../../src/dylora/import.ts'
import {
  dequantize,
  type Quantization,
  type QuantizedMatrix,
  quantize,
  quantizedMatrices,
} from '../../src/dylora/quantization.ts'
import { Scorer } from '../../src/dylora/scorer.ts'
import { input } from '../../src/onnx/graph.ts'
import { serializeModel } from '../../src/onnx/model.ts'
import { Session } from '../../src/onnx/session.ts'
import { randomAdapter } from '../fixtures/adapters.ts'
import { fixturePath } from '../fixtures/golden.ts'
import { adaptedLogits, baseLogits, largestDifference } from '../fixtures/serving.ts'

const int8: Quantization = { bits: 8, blockSize: 32 }
const int4: Quantization = { bits: 4, blockSize: 32 }

/** The norm of the difference over that of the second. */
function relativeDistance(a: Float32Array, b: Float32Array): number {
  const norm = (numbers: Float32Array) => Math.hypot(...numbers)
  return norm(a.map((value, i) => value - b[i]!)) / norm(b)
}

/** Reproducible, spread like weights, with one value far out in each row. */
const values = (rows: number, columns: number): Float32Array =>
  Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(i * 12.9898) * (i % columns === 3 ? 4 : 0.5))

const matrix = (rows: number, columns: number, transposed: boolean): QuantizedMatrix => ({
  ...{ name: 'w', source: 'w', transposed },
  ...(transposed ? { inFeatures: rows, outFeatures: columns } : { inFeatures: columns, outFeatures: rows }),
})

t.test('each value comes back to within a step of its block, in either layout', async (t) => {
  for (const { quantization, steps } of [
    { quantization: int8, steps: 128 },
    { quantization: int4, steps: 8 },
  ]) {
    for (const transposed of [false, true]) {
      const [source, form] = [values(64, 96), matrix(64, 96, transposed)]
      const back = dequantize(quantize(source, form, quantization), form, quantization)
      const { inFeatures, outFeatures } = form
      const place = (out: number, i: number) => (transposed ? i * outFeatures + out : out * inFeatures + i)
      for (let out = 0; out < outFeatures; out++) {
        for (let first = 0; first < inFeatures; first += 32) {
          const places = Array.from({ length: 32 }, (_, i) => place(out, first + i))
          const range = Math.max(...places.map((at) => Math.abs(source[at]!)))
          const error = Math.max(...places.map((at) => Math.abs(source[at]! - back[at]!)))
          // Four bits may clip a fifth of the range where that is the smaller error in all.
          t.ok(error <= (range / steps) * (quantization.bits === 8 ? 1.01 : 1.7), `${error} of ${range}`)
        }
      }
    }
  }
})

t.test('blocks of zeros stay zeros', async (t) => {
  for (const quantization of [int8, int4]) {
    const form = matrix(2, 32, false)
    const back = dequantize(quantize(new Float32Array(64), form, quantization), form, quantization)
    t.ok(back.every((value) => value === 0))
  }
})

t.test('the kernel multiplies by the very values that are told', async (t) => {
  for (const quantization of [int8, int4]) {
    const form = matrix(48, 64, false)
    const packed = quantize(values(48, 64), form, quantization)
    const { bits, blockSize } = quantization
    const [blocks, bytes] = [64 / blockSize, (blockSize * bits) / 8]
    const x = input('x', 'float32', ['rows', 64])
    const [weight, scales] = [input('w', 'uint8', [48, blocks, bytes]), input('s', 'float32', [48, blocks])]
    const attributes = { inFeatures: 64, outFeatures: 48, bits, blockSize, accuracyLevel: 0 as const }
    const session = await Session.create(serializeModel({ y: x.matmulNBits(weight, scales, attributes) }), {
      threads: 1,
    })
    t.teardown(() => session.close())
    const rows = values(3, 64)
    const { y } = await session.run(
      {
        x: { dtype: 'float32', shape: [3, 64], data: rows },
        w: { dtype: 'uint8', shape: [48, blocks, bytes], data: packed.packed },
        s: { dtype: 'float32', shape: [48, blocks], data: packed.scales },
      },
      ['y'],
    )
    const back = dequantize(packed, form, quantization)
    const expected = Array.from({ length: 3 * 48 }, (_, at) => {
      const [row, out] = [Math.floor(at / 48), at % 48]
      return Array.from({ length: 64 }, (_, i) => rows[row * 64 + i]! * back[out * 64 + i]!).reduce((a, b) => a + b)
    })
    t.ok(largestDifference(y!.data as Float32Array, expected) < 1e-4)
  }
})

t.test(
  'a quantised base has the digest of its source, serves its adapters, and is a fraction of the size',
  async (t) => {
    const directory = t.testdir()
    const { base: source } = await importCheckpoint(fixturePath('gpt2'), `${directory}/float32`)
    const adapter = { ...randomAdapter(1, 4), name: 'a', digest: '' }
    const ids = [5, 17, 42, 7, 99, 3]
    const logits = await adaptedLogits(source, adapter, 2, ids)
    for (const { quantization, error } of [
      { quantization: int8, error: 0.05 },
      { quantization: int4, error: 0.7 },
    ]) {
      const out = `${directory}/int${quantization.bits}`
      const { base } = await importCheckpoint(fixturePath('gpt2'), out, quantization)
      t.equal(base.digest, source.digest)
      t.same((await readBaseModel(out)).quantization, quantization)
      const quantised = await adaptedLogits(base, adapter, 2, ids)
      const distance = relativeDistance(quantised, logits)
      t.ok(distance > 0 && distance < error, `${distance}`)
      const exactLogits = await baseLogits(source, ids)
      t.ok(relativeDistance(await baseLogits(base, ids), exactLogits) < error)
      for (const { name, source: from, inFeatures, outFeatures } of quantizedMatrices(base.config).values()) {
        const [own, exact] = [await readWeight(base, name), await readWeight(source, from)]
        t.equal(own.length, inFeatures * outFeatures)
        t.ok(relativeDistance(own, exact) < (quantization.bits === 8 ? 0.01 : 0.15), name)
      }
      const bytes = (one: typeof base) =>
        [...one.weights.tensors.values()]
          .filter(({ name }) => name.startsWith('h.') && /weight/.test(name))
          .reduce((sum, { length }) => sum + length, 0)
      t.ok(bytes(base) < (bytes(source) * (quantization.bits + 2)) / 32, 'bits a value, and one for the scales')
    }
  },
)

t.test('training and scoring compute with the dequantised values', async (t) => {
  const directory = t.testdir()
  const sequences = [{ ids: Int32Array.of(5, 17, 42, 7, 99, 3), lossFrom: 1 }]
  for (const quantization of [int8, int4]) {
    const { base } = await importCheckpoint(fixturePath('gpt2'), `${directory}/q${quantization.bits}`, quantization)
    const scorer = await Scorer.create(base, { targetModules: [], batch: 1, threads: 1 })
    t.teardown(() => scorer.close())
    const { loss } = await scorer.score(sequences, null, 0)
    const session = await serving(base)
    t.ok(Math.abs(loss - session) < 0.02, `${loss} by Gemm, ${session} by the kernel`)
  }
})

/** The mean loss of the same sequence by the serving graph. */
async function serving(base: Awaited<ReturnType<typeof readBaseModel>>): Promise<number> {
  const ids = [5, 17, 42, 7, 99, 3]
  const logits = await baseLogits(base, ids)
  const { vocabSize } = servingGraph(base, { targetModules: [], cacheDtype: 'float32' })
  const losses = ids.slice(1).map((target, i) => {
    const row = logits.subarray(i * vocabSize, (i + 1) * vocabSize)
    const highest = Math.max(...row)
    return Math.log(row.reduce((sum, one) => sum + Math.exp(one - highest), 0)) + highest - row[target]!
  })
  return losses.reduce((a, b) => a + b) / losses.length
}

t.test('blocks that do not fill a layer are refused, and nothing is written', async (t) => {
  const directory = t.testdir()
  await t.rejects(importCheckpoint(fixturePath('gpt2'), `${directory}/odd`, { bits: 8, blockSize: 128 }), {
    message: /^Blocks of 128 do not fill h\.0\.attn\.c_attn\.weight, which has \d+ inputs: expected 32/,
  })
  await t.rejects(readBaseModel(`${directory}/odd`))
})
