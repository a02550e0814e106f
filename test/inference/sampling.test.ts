/** Sampling against a naive implementation that sorts everything, and against the distribution it claims. */
import fc from 'fast-check'
import t from 'tap'
import { logprobsAt, topTokens } from '../../src/inference/logits.ts'
import type { SamplingParameters } from '../../src/inference/request.ts'
import { choosesAmongLikeliest, drawSeed, Sampler } from '../../src/inference/sampling.ts'
import { logitsOf } from '../fixtures/logits.ts'
import { neutralSampling } from '../fixtures/samplers.ts'

const greedy = { ...neutralSampling, temperature: 0 }

function softmax(logits: ArrayLike<number>, temperature = 1): number[] {
  const weights = Array.from(logits, (logit) => Math.exp((logit - Math.max(...Array.from(logits))) / temperature))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  return weights.map((weight) => weight / total)
}

/** The probabilities that are left after top-k, top-p and min-p, by sorting all tokens; generous where sums round. */
function naive(logits: Float32Array, { temperature, topK, topP, minP }: SamplingParameters): Map<number, number> {
  const probabilities = softmax(logits, temperature)
  const all = [...probabilities.entries()].sort(([a, p], [b, q]) => q - p || a - b)
  const kept = all.slice(0, topK > 0 ? topK : all.length)
  const mass = kept.reduce((sum, [, p]) => sum + p, 0)
  const highest = kept[0]?.[1] ?? 0
  let before = 0
  const left = kept.filter(([, p], i) => {
    const wanted = i === 0 || (p >= minP * highest && (topP >= 1 || before < topP * mass + 1e-9))
    before += p
    return wanted
  })
  const total = left.reduce((sum, [, p]) => sum + p, 0)
  return new Map(left.map(([id, p]) => [id, p / total]))
}

/** How often each token comes in so many first draws of one request. */
function frequencies(logits: Float32Array, parameters: SamplingParameters, draws: number): Map<number, number> {
  const sampler = new Sampler(parameters, 42, [])
  const counts = new Map<number, number>()
  for (let i = 0; i < draws; i++) {
    const { id } = sampler.next(logitsOf(logits))
    counts.set(id, (counts.get(id) ?? 0) + 1 / draws)
  }
  return counts
}

function ids(sampler: Sampler, logits: Float32Array, count: number): number[] {
  return Array.from({ length: count }, () => sampler.next(logitsOf(logits)).id)
}

/** Uneven logits of a vocabulary of this size, always the same; eighths of a power of two, so that some are equal. */
function someLogits(size: number, spread = 4): Float32Array {
  return Float32Array.from({ length: size }, (_, i) => Math.round(spread * Math.sin(i * 12.9898) ** 3 * 64) / 64)
}

const anyLogits = fc
  .array(fc.oneof(fc.integer({ min: -40, max: 40 }), fc.constant(Number.NEGATIVE_INFINITY)), {
    minLength: 1,
    maxLength: 300,
  })
  .filter((values) => values.some(Number.isFinite))
  .map((values) => Float32Array.from(values, (value) => value / 8))

t.test('greedy takes the highest, of equals the lower id, and draws nothing', async (t) => {
  const logits = Float32Array.of(1, 3, 2, 3)
  const { id, logprob } = new Sampler(greedy, 1, []).next(logitsOf(logits))
  t.equal(id, 1)
  t.ok(Math.abs(logprob - Math.log(softmax(logits)[1] ?? 0)) < 1e-12)
  t.strictSame(ids(new Sampler(greedy, 1, []), logits, 5), [1, 1, 1, 1, 1])
})

t.test('log-probabilities are those of the softmax', async (t) => {
  const logits = someLogits(50)
  const expected = softmax(logits).map(Math.log)
  const found = logprobsAt(logitsOf(logits), [...expected.keys()])
  t.ok(found.every((value, id) => Math.abs(value - (expected[id] ?? 0)) < 1e-9))
  t.throws(() => logprobsAt(logitsOf(logits), [50]), RangeError)
})

t.test('the likeliest tokens are those of a full sort, of equals the lower id first', async () => {
  fc.assert(
    fc.property(anyLogits, fc.nat({ max: 310 }), (logits, n) => {
      const expected = [...logits.keys()]
        .sort((a, b) => ((logits[b] as number) > (logits[a] as number) ? 1 : logits[b] === logits[a] ? a - b : -1))
        .slice(0, n)
      const found = topTokens(logitsOf(logits), n)
      const logprobs = logprobsAt(logitsOf(logits), expected)
      return (
        found.length === expected.length &&
        found.every(({ id }, i) => id === expected[i] && logprobs[i] === found[i]?.logprob)
      )
    }),
  )
})

t.test('only tokens that a full sort keeps are drawn', async () => {
  const anyParameters = fc.record({
    temperature: fc.constantFrom(0.25, 0.7, 1, 2),
    topK: fc.constantFrom(0, 1, 2, 5, 50, 1000),
    topP: fc.constantFrom(1, 0.95, 0.9, 0.5, 0.1),
    minP: fc.constantFrom(0, 0.01, 0.3, 1),
  })
  fc.assert(
    fc.property(anyLogits, anyParameters, fc.nat(), (logits, some, seed) => {
      const parameters = { ...neutralSampling, ...some }
      const kept = naive(logits, parameters)
      return ids(new Sampler(parameters, seed, []), logits, 20).every((id) => (kept.get(id) ?? 0) > 0)
    }),
    { numRuns: 500 },
  )
})

for (const [name, some] of Object.entries({
  'temperature alone': { temperature: 0.7 },
  'top-k': { topK: 7 },
  'top-p': { topP: 0.8 },
  'min-p': { minP: 0.2 },
  'top-k, top-p and min-p': { topK: 20, topP: 0.9, minP: 0.05, temperature: 1.5 },
})) {
  t.test(`many draws come close to the distribution: ${name}`, async (t) => {
    const parameters = { ...neutralSampling, ...some }
    const logits = someLogits(40)
    const expected = naive(logits, parameters)
    const found = frequencies(logits, parameters, 40_000)
    const distance = [...logits.keys()].reduce(
      (sum, id) => sum + Math.abs((found.get(id) ?? 0) - (expected.get(id) ?? 0)) / 2,
      0,
    )
    t.ok(distance < 0.02, `total variation ${distance}`)
    t.ok([...found.keys()].every((id) => expected.has(id)))
  })
}

t.test('a large vocabulary keeps the same nucleus, flat or peaked', async (t) => {
  for (const spread of [0.1, 4, 20]) {
    const logits = someLogits(5000, spread)
    const parameters = { ...neutralSampling, topP: 0.3 }
    const kept = naive(logits, parameters)
    t.ok(
      ids(new Sampler(parameters, 5, []), logits, 300).every((id) => kept.has(id)),
      `${kept.size} of 5000`,
    )
  }
})

t.test('top-p keeps one token even at 0, and of equals as many as it needs', async (t) => {
  const equal = new Float32Array(10)
  t.strictSame([...frequencies(equal, { ...neutralSampling, topP: 0 }, 50).keys()], [0])
  t.strictSame([...frequencies(equal, { ...neutralSampling, topP: 0.25 }, 200).keys()].sort(), [0, 1, 2])
})

t.test('the same seed repeats, other seeds differ, also beyond 32 bits', async (t) => {
  const logits = someLogits(100)
  const run = (seed: number) => ids(new Sampler(neutralSampling, seed, []), logits, 30)
  for (const seed of [0, 1, -1, 2 ** 32 - 1, 2 ** 40 + 1]) {
    t.strictSame(run(seed), run(seed))
    t.notSame(run(seed), run(seed + 1))
    t.notSame(run(seed), run(seed + 2 ** 32))
  }
})

t.test('a request draws the same alone and between others', async (t) => {
  const logits = someLogits(100)
  const alone = ids(new Sampler(neutralSampling, 7, []), logits, 30)
  const sampler = new Sampler(neutralSampling, 7, [])
  const other = new Sampler(neutralSampling, 8, [])
  const between = Array.from(alone, () => {
    other.next(logitsOf(logits))
    return sampler.next(logitsOf(logits)).id
  })
  t.strictSame(between, alone)
})

t.test('first draws of neighbouring seeds are spread evenly', async (t) => {
  const logits = new Float32Array(10)
  const counts = new Array<number>(10).fill(0)
  for (let seed = 0; seed < 2000; seed++) {
    const { id } = new Sampler(neutralSampling, seed, []).next(logitsOf(logits))
    counts[id] = (counts[id] ?? 0) + 1
  }
  t.ok(
    counts.every((count) => count > 130 && count < 270),
    counts.join(' '),
  )
})

t.test('the repetition penalty counts prompt and generated tokens once each, by the sign of the logit', async (t) => {
  const penalty = { ...greedy, repetitionPenalty: 2 }
  const positive = Float32Array.of(3, 2, 1.75, 1)
  t.strictSame(ids(new Sampler(penalty, 1, []), positive, 6), [0, 1, 2, 0, 0, 0])
  t.strictSame(ids(new Sampler(penalty, 1, [0, 0, 0]), positive, 1), [1])
  t.strictSame(ids(new Sampler(penalty, 1, [0]), Float32Array.of(-1, -1.5), 1), [1])
})

t.test('frequency grows with the count, presence does not, and neither counts the prompt', async (t) => {
  const logits = Float32Array.of(3, 2.5, 0)
  const frequency = { ...greedy, frequencyPenalty: 0.4 }
  t.strictSame(ids(new Sampler(frequency, 1, []), logits, 6), [0, 0, 1, 0, 1, 0])
  const presence = { ...greedy, presencePenalty: 0.6 }
  t.strictSame(ids(new Sampler(presence, 1, []), logits, 5), [0, 1, 0, 0, 0])
  t.strictSame(ids(new Sampler(frequency, 1, [0, 0, 0, 0]), logits, 1), [0])
})

t.test('penalties leave the logits and the reported log-probability as they are', async (t) => {
  const logits = Float32Array.of(3, 2)
  const { id, logprob } = new Sampler({ ...greedy, repetitionPenalty: 9 }, 1, [0]).next(logitsOf(logits))
  t.equal(id, 1)
  t.equal(logprob, logprobsAt(logitsOf(logits), [1])[0])
  t.strictSame(logits, Float32Array.of(3, 2))
})

t.test('a tiny temperature is greedy', async (t) => {
  t.strictSame(
    ids(new Sampler({ ...neutralSampling, temperature: 1e-300 }, 1, []), Float32Array.of(1, 3, 2.9), 3),
    [1, 1, 1],
  )
})

t.test('logits that are no distribution fail with the token and the value', async (t) => {
  const sampler = new Sampler(greedy, 1, [])
  const expect = (logits: number[], message: RegExp) =>
    t.throws(() => sampler.next(logitsOf(Float32Array.from(logits))), { code: 'generation', message })
  expect([1, Number.NaN], /token 1 is NaN/)
  expect([Number.NaN, 1], /token 0 is NaN/)
  expect([1, 2, Number.POSITIVE_INFINITY], /token 2 is Infinity/)
  expect([Number.NEGATIVE_INFINITY], /every token/)
  t.equal(sampler.next(logitsOf(Float32Array.of(Number.NEGATIVE_INFINITY, 1))).id, 1)
})

t.test('a drawn seed has 32 bits and is not always the same', async (t) => {
  const seeds = Array.from({ length: 20 }, drawSeed)
  t.ok(seeds.every((seed) => Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
  t.ok(new Set(seeds).size > 10)
})

t.test('where the likeliest tokens are enough, nothing else is looked at', async () => {
  const settings = fc.record({
    temperature: fc.constantFrom(0, 0.7, 1.5),
    topK: fc.integer({ min: 1, max: 4 }),
    topP: fc.constantFrom(1, 0.6),
    minP: fc.constantFrom(0, 0.1),
    typicalP: fc.constantFrom(1, 0.5),
  })
  fc.assert(
    fc.property(anyLogits, settings, fc.nat(999), (values, some, seed) => {
      const parameters = { ...neutralSampling, ...some }
      const known = Math.min(5, values.length)
      const all = logitsOf(values, known)
      fc.pre(choosesAmongLikeliest(parameters, known))
      const few = new Sampler(parameters, seed, [])
      const every = new Sampler(parameters, seed, [])
      return Array.from({ length: 5 }, () => {
        const one = few.next({ ...all, values: null })
        const other = every.next({
          ...all,
          likeliest: all.likeliest.subarray(0, 0),
          likeliestLogits: new Float32Array(0),
        })
        return one.id === other.id && one.logprob === other.logprob
      }).every(Boolean)
    }),
  )
})
