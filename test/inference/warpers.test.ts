/** Processors and warpers against those of transformers, and partial selection against full sorts. */
import fc from 'fast-check'
import t from 'tap'
import { expOfNegative } from '../../src/inference/exponential.ts'
import { LogitProcessors } from '../../src/inference/logit-processors.ts'
import { firstIds, highestIds, massEdge } from '../../src/inference/selection.ts'
import { candidates } from '../../src/inference/warpers.ts'
import { goldenSamplers, neutralSampling } from '../fixtures/samplers.ts'

const { prompt, generated, cases } = goldenSamplers()

function cut(scores: Float32Array, topK: number) {
  const ids = topK > 0 ? highestIds(scores, topK) : firstIds(scores.length)
  return { ids, scores: Float32Array.from(ids, (id) => scores[id]!) }
}

/** Probabilities of what is left, by token. */
function left(logits: Float32Array, some: object): Map<number, number> {
  const parameters = { ...neutralSampling, ...some }
  const scores = new LogitProcessors(parameters).apply(logits, { prompt, generated })
  const { ids, weights, total } = candidates(cut(scores, parameters.topK), parameters)
  return new Map([...ids].map((id, i) => [id, weights[i]! / total] as const).filter(([, p]) => p > 0))
}

t.test('leaves the tokens that transformers leaves, as likely', async (t) => {
  for (const { logits, parameters, probabilities } of cases) {
    const found = left(logits, parameters)
    const name = JSON.stringify(parameters)
    t.same(
      [...found.keys()].toSorted((a, b) => a - b),
      [...probabilities.keys()].toSorted((a, b) => a - b),
      name,
    )
    t.ok(
      [...probabilities].every(([id, p]) => Math.abs(p - (found.get(id) ?? 0)) < 1e-6),
      name,
    )
  }
})

t.test('an n-gram is banned by its first tokens, in prompt or output or across', async (t) => {
  const scores = (n: number, prompt: number[], generated: number[], some: object = {}) => {
    const processors = new LogitProcessors({ ...neutralSampling, noRepeatNgramSize: n, ...some })
    return [...processors.apply(new Float32Array(5), { prompt, generated })].flatMap((score, id) =>
      score === Number.NEGATIVE_INFINITY ? [id] : [],
    )
  }
  t.same(scores(2, [1, 2, 3], [1]), [2])
  t.same(scores(2, [1, 2, 1, 4], [1]), [2, 4])
  t.same(scores(2, [4], [1, 2, 4]), [1], 'the one across prompt and output')
  t.same(scores(3, [1, 2, 3], [1]), [])
  t.same(scores(3, [1, 2, 3], [1, 2]), [3])
  t.same(scores(1, [1], [3]), [1, 3])
  t.same(scores(4, [1], [3]), [], 'too short for any')
  t.same(scores(4, [1, 2, 3], []), [])
  t.same(scores(2, [1, 2], [1, 3, 1], { noRepeatNgramScope: 'output' }), [3], 'the prompt may come again')
})

t.test(
  'typical sampling leaves the unsurprising: not the likeliest token where it is far from the entropy',
  async (t) => {
    // One token of 0.4, and twelve of 0.05: the entropy is close to the information of the twelve.
    const logits = Float32Array.from([0.4, ...new Array<number>(12).fill(0.05)], Math.log)
    t.same(
      [...left(logits, { typicalP: 0.5 }).keys()],
      Array.from({ length: 12 }, (_, i) => i + 1),
      'equals stay together',
    )
    t.equal(left(logits, { typicalP: 0.99 }).size, 13)
  },
)

const anyWeights = fc.array(
  fc.record({ key: fc.integer({ min: -9, max: 9 }), weight: fc.double({ min: 0.125, max: 4, noNaN: true }) }),
  { minLength: 1, maxLength: 200 },
)

t.test('the edge of a mass is where a full sort finds it', async () => {
  fc.assert(
    fc.property(anyWeights, fc.double({ min: 0, max: 1.1, noNaN: true }), (items, share) => {
      const total = items.reduce((sum, { weight }) => sum + weight, 0)
      const below = (key: number) => items.filter((item) => item.key < key).reduce((sum, { weight }) => sum + weight, 0)
      const keys = [...new Set(items.map(({ key }) => key))].toSorted((a, b) => a - b)
      const found = massEdge(
        Float64Array.from(items, ({ key }) => key),
        Float64Array.from(items, ({ weight }) => weight),
        share * total,
      )
      const next = keys[keys.indexOf(found.edge) + 1]
      const generous = 1e-9
      return (
        keys.includes(found.edge) &&
        Math.abs(found.below - below(found.edge)) < generous &&
        (found.edge === keys[0] || found.below <= share * total + generous) &&
        (next === undefined || below(next) >= share * total - generous)
      )
    }),
    { numRuns: 500 },
  )
})

t.test('the fast exponential is the exponential', async (t) => {
  fc.assert(
    fc.property(fc.double({ min: -700, max: 0, noNaN: true }), (x) => {
      return Math.abs(expOfNegative(x) - Math.exp(x)) <= 1e-12 * Math.exp(x)
    }),
    { numRuns: 5000 },
  )
  t.equal(expOfNegative(0), 1)
  t.equal(expOfNegative(Number.NEGATIVE_INFINITY), 0)
  t.equal(expOfNegative(-1e6), 0)
  t.ok(expOfNegative(-743) < 1e-300)
  t.ok(Number.isNaN(expOfNegative(Number.NaN)))
})
