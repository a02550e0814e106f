/** The next token out of a row of logits: penalties, temperature, top-k, top-p, min-p and one seeded draw. */
import { randomBytes } from 'node:crypto'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import { errors } from '../errors.ts'
import type { SamplingParameters } from './request.ts'

/** How many candidates top-p looks at before it looks at more: a peaked distribution needs few. */
const firstCandidates = 64
const moreCandidates = 8

/** Chooses the tokens of one request. Its draws depend on its seed alone, not on what else is in the batch. */
export class Sampler {
  readonly #parameters: SamplingParameters
  readonly #uniform: () => number
  readonly #prompt: ReadonlySet<number>
  /** How often each token was generated. */
  readonly #counts = new Map<number, number>()
  #penalized = new Float32Array(0)

  /** `promptIds` count for the repetition penalty only, generated tokens for all penalties. */
  constructor(parameters: SamplingParameters, seed: number, promptIds: readonly number[]) {
    this.#parameters = parameters
    this.#uniform = uniformSource(seed)
    this.#prompt = new Set(promptIds)
  }

  /**
   * Chooses a token from raw logits [vocabSize], which are not modified, and remembers it. `logprob` is the natural
   * logarithm of its probability by the raw logits. Throws `generation` where the logits are no distribution.
   */
  next(logits: Float32Array): { readonly id: number; readonly logprob: number } {
    const normalizer = checkedLogSumExp(logits)
    const scores = this.#penalize(logits)
    const { temperature } = this.#parameters
    const id = temperature === 0 ? argmax(scores) : draw(candidates(scores, this.#parameters), this.#uniform())
    this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1)
    return { id, logprob: at(logits, id) - normalizer }
  }

  #penalize(logits: Float32Array): Float32Array {
    const { repetitionPenalty, frequencyPenalty, presencePenalty } = this.#parameters
    const repeats = repetitionPenalty !== 1
    if (!repeats && frequencyPenalty === 0 && presencePenalty === 0) return logits
    if (this.#penalized.length !== logits.length) this.#penalized = new Float32Array(logits.length)
    const scores = this.#penalized
    scores.set(logits)
    if (repeats) {
      // Each token once, however often it occurred.
      for (const id of new Set([...this.#prompt, ...this.#counts.keys()])) {
        const score = at(scores, id)
        scores[id] = score > 0 ? score / repetitionPenalty : score * repetitionPenalty
      }
    }
    for (const [id, count] of this.#counts) scores[id] = at(scores, id) - count * frequencyPenalty - presencePenalty
    return scores
  }
}

/** A seed for a request that brings none: 32 bits. */
export function drawSeed(): number {
  return randomBytes(4).readUInt32LE()
}

/** The logarithm of the sum of the exponentials, without overflow; NaN if any logit is. */
export function logSumExp(logits: Float32Array): number {
  const highest = maximum(logits)
  if (!Number.isFinite(highest)) return highest
  let sum = 0
  for (let id = 0; id < logits.length; id++) sum += Math.exp(at(logits, id) - highest)
  return highest + Math.log(sum)
}

/** Natural logarithms of the probabilities of these tokens. */
export function logprobsAt(logits: Float32Array, ids: readonly number[]): number[] {
  const normalizer = checkedLogSumExp(logits)
  return ids.map((id) => {
    if (!(id in logits)) throw new RangeError(`expected a token id below ${logits.length}, got ${id}`)
    return at(logits, id) - normalizer
  })
}

/** The n likeliest tokens, likeliest first, of equals the lower id first. */
export function topTokens(logits: Float32Array, n: number): { id: number; logprob: number }[] {
  if (n <= 0) return []
  const normalizer = checkedLogSumExp(logits)
  return Array.from(highestIds(logits, n), (id) => ({ id, logprob: at(logits, id) - normalizer }))
}

/** What is left to draw from: `weights` are relative to the highest, which is 1; `total` is their sum. */
interface Candidates {
  readonly ids: ArrayLike<number>
  readonly weights: ArrayLike<number>
  readonly total: number
}

function candidates(scores: Float32Array, parameters: SamplingParameters): Candidates {
  const { topK, topP } = parameters
  if (topK > 0 && topK < scores.length) return nucleus(weigh(scores, highestIds(scores, topK), parameters), parameters)
  const all = weigh(scores, firstIds(scores.length), parameters)
  return topP < 1 ? nucleusOfAll(scores, all.total, parameters) : likely(all, parameters.minP)
}

function weigh(scores: Float32Array, ids: Uint32Array, { temperature }: SamplingParameters): Candidates {
  const highest = maximum(scores)
  const weights = new Float64Array(ids.length)
  let total = 0
  for (let i = 0; i < ids.length; i++) {
    const weight = Math.exp((at(scores, at(ids, i)) - highest) / temperature)
    weights[i] = weight
    total += weight
  }
  return { ids, weights, total }
}

/** Top-p over the whole vocabulary without sorting it: looks at more and more of the likeliest until they suffice. */
function nucleusOfAll(scores: Float32Array, total: number, parameters: SamplingParameters): Candidates {
  for (let count = firstCandidates; ; count *= moreCandidates) {
    const top = weigh(scores, highestIds(scores, count), parameters)
    if (top.total >= parameters.topP * total || count >= scores.length) return nucleus({ ...top, total }, parameters)
  }
}

/**
 * Top-p and min-p of candidates in descending order: the fewest whose sum reaches the share `topP` of `total`, less
 * those below the share `minP` of the first. The first always stays.
 */
function nucleus({ ids, weights, total }: Candidates, { topP, minP }: SamplingParameters): Candidates {
  let sum = 0
  let length = 0
  while (length < ids.length && (length === 0 || isWanted(sum, at(weights, length)))) sum += at(weights, length++)
  return { ids: Array.from(ids).slice(0, length), weights, total: sum }

  function isWanted(before: number, weight: number): boolean {
    return (topP >= 1 || before < topP * total) && weight >= minP
  }
}

/** Min-p of candidates in any order. */
function likely(all: Candidates, minP: number): Candidates {
  if (minP <= 0) return all
  const ids: number[] = []
  const weights: number[] = []
  let total = 0
  for (let i = 0; i < all.ids.length; i++) {
    const weight = at(all.weights, i)
    if (weight < Math.min(minP, 1)) continue
    ids.push(at(all.ids, i))
    weights.push(weight)
    total += weight
  }
  return { ids, weights, total }
}

/** `uniform` in [0, 1). */
function draw({ ids, weights, total }: Candidates, uniform: number): number {
  let left = uniform * total
  let last = 0
  for (let i = 0; i < ids.length; i++) {
    const weight = at(weights, i)
    if (weight === 0) continue
    last = at(ids, i)
    left -= weight
    if (left < 0) break
  }
  return last
}

/** The ids of the n highest scores in descending order, of equals the lower id first, through a heap of n. */
function highestIds(scores: Float32Array, n: number): Uint32Array {
  const size = Math.min(n, scores.length)
  const heap = firstIds(size)
  for (let i = (size >> 1) - 1; i >= 0; i--) sink(heap, i, scores)
  for (let id = size; id < scores.length; id++) {
    if (at(scores, id) <= at(scores, at(heap, 0))) continue
    heap[0] = id
    sink(heap, 0, scores)
  }
  return heap.sort((a, b) => at(scores, b) - at(scores, a) || a - b)
}

/** 0 to n - 1. */
function firstIds(n: number): Uint32Array {
  const ids = new Uint32Array(n)
  for (let id = 0; id < n; id++) ids[id] = id
  return ids
}

/** Restores the heap below `i`; its root is the worst of the kept. */
function sink(heap: Uint32Array, i: number, scores: Float32Array): void {
  const id = at(heap, i)
  for (;;) {
    let child = 2 * i + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && isWorse(at(heap, child + 1), at(heap, child), scores)) child++
    if (!isWorse(at(heap, child), id, scores)) break
    heap[i] = at(heap, child)
    i = child
  }
  heap[i] = id
}

function isWorse(a: number, b: number, scores: Float32Array): boolean {
  const difference = at(scores, a) - at(scores, b)
  return difference < 0 || (!(difference > 0) && a > b)
}

function argmax(scores: Float32Array): number {
  let best = 0
  for (let id = 1; id < scores.length; id++) if (at(scores, id) > at(scores, best)) best = id
  return best
}

function maximum(scores: Float32Array): number {
  return at(scores, argmax(scores))
}

/** Minus infinity at some tokens rules them out; anything else that is not finite is a fault of the model. */
function checkedLogSumExp(logits: Float32Array): number {
  const normalizer = logSumExp(logits)
  if (Number.isFinite(normalizer)) return normalizer
  const id = logits.findIndex((logit) => !Number.isFinite(logit) && logit !== Number.NEGATIVE_INFINITY)
  throw errors.generation(
    id < 0 ? 'The model rules out every token' : `The model's logit of token ${id} is ${logits[id]}`,
  )
}

/** 53 random bits a draw. */
function uniformSource(seed: number): () => number {
  const generator = xoroshiro128plus((seed | 0) ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b1))
  // The first draws of neighbouring seeds are alike.
  for (let i = 0; i < 8; i++) generator.next()
  return () => ((generator.next() >>> 5) * 2 ** 26 + (generator.next() >>> 6)) / 2 ** 53
}

/** Reads where the index is known to be inside; out of it is NaN, which no comparison lets through. */
function at(values: ArrayLike<number>, index: number): number {
  return values[index] ?? Number.NaN
}
