/** The next token out of a row of logits: penalties, temperature, top-k, top-p, min-p and one seeded draw. */
import { randomBytes } from 'node:crypto'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import { errors } from '../errors.ts'
import type { SamplingParameters } from './request.ts'

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
    return { id, logprob: (logits[id] as number) - normalizer }
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
        const score = scores[id] as number
        scores[id] = score > 0 ? score / repetitionPenalty : score * repetitionPenalty
      }
    }
    for (const [id, count] of this.#counts)
      scores[id] = (scores[id] as number) - count * frequencyPenalty - presencePenalty
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
  for (let id = 0; id < logits.length; id++) sum += Math.exp((logits[id] as number) - highest)
  return highest + Math.log(sum)
}

/** Natural logarithms of the probabilities of these tokens. */
export function logprobsAt(logits: Float32Array, ids: readonly number[]): number[] {
  const normalizer = checkedLogSumExp(logits)
  return ids.map((id) => {
    if (!(id in logits)) throw new RangeError(`expected a token id below ${logits.length}, got ${id}`)
    return (logits[id] as number) - normalizer
  })
}

/** The n likeliest tokens, likeliest first, of equals the lower id first. */
export function topTokens(logits: Float32Array, n: number): { id: number; logprob: number }[] {
  if (n <= 0) return []
  const normalizer = checkedLogSumExp(logits)
  return Array.from(highestIds(logits, n), (id) => ({ id, logprob: (logits[id] as number) - normalizer }))
}

/** What is left to draw from: `weights` are relative to the highest, which is 1; `total` is their sum. */
interface Candidates {
  readonly ids: Uint32Array
  readonly weights: Float64Array
  readonly total: number
}

function candidates(scores: Float32Array, parameters: SamplingParameters): Candidates {
  const { topK } = parameters
  const cut = topK > 0 && topK < scores.length
  return likely(weigh(scores, cut ? highestIds(scores, topK) : firstIds(scores.length), parameters), parameters)
}

function weigh(scores: Float32Array, ids: Uint32Array, { temperature }: SamplingParameters): Candidates {
  const highest = maximum(scores)
  const weights = new Float64Array(ids.length)
  let total = 0
  for (let i = 0; i < ids.length; i++) {
    const weight = Math.exp(((scores[ids[i] as number] as number) - highest) / temperature)
    weights[i] = weight
    total += weight
  }
  return { ids, weights, total }
}

/** Top-p and min-p: what weighs less than the edge goes, of what weighs as much the first `ties` stay. */
function likely(all: Candidates, { topP, minP }: SamplingParameters): Candidates {
  if (topP >= 1 && minP <= 0) return all
  const edge = topP < 1 ? nucleusEdge(all, topP) : { weight: 0, ties: all.ids.length }
  // The likeliest weighs 1 and always stays.
  const lowest = Math.min(Math.max(edge.weight, minP), 1)
  const kept = { ids: new Uint32Array(all.ids.length), weights: new Float64Array(all.ids.length), length: 0, total: 0 }
  let { ties } = edge
  for (let i = 0; i < all.ids.length; i++) {
    const weight = all.weights[i] as number
    if (weight < lowest || (weight === edge.weight && ties-- <= 0)) continue
    kept.ids[kept.length] = all.ids[i] as number
    kept.weights[kept.length++] = weight
    kept.total += weight
  }
  return { ids: kept.ids.subarray(0, kept.length), weights: kept.weights.subarray(0, kept.length), total: kept.total }
}

/**
 * The lowest weight among the fewest candidates whose sum reaches the share `topP`, and how many of those weigh just
 * that. Sorts numbers only, and only those that matter: all below the floor together are less than what may go.
 */
function nucleusEdge({ weights, total }: Candidates, topP: number): { weight: number; ties: number } {
  const floor = ((1 - topP) * total) / weights.length
  const sorted = weights.filter((weight) => weight >= floor).sort()
  let sum = 0
  let ties = 0
  let edge = 1
  for (let i = sorted.length - 1; i >= 0 && (sum < topP * total || ties === 0); i--) {
    const weight = sorted[i] as number
    ties = weight === edge ? ties + 1 : 1
    edge = weight
    sum += weight
  }
  return { weight: edge, ties }
}

/** `uniform` in [0, 1). */
function draw({ ids, weights, total }: Candidates, uniform: number): number {
  let left = uniform * total
  let last = 0
  for (let i = 0; i < ids.length; i++) {
    const weight = weights[i] as number
    if (weight === 0) continue
    last = ids[i] as number
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
    if ((scores[id] as number) <= (scores[heap[0] as number] as number)) continue
    heap[0] = id
    sink(heap, 0, scores)
  }
  return heap.sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b)
}

/** 0 to n - 1. */
function firstIds(n: number): Uint32Array {
  const ids = new Uint32Array(n)
  for (let id = 0; id < n; id++) ids[id] = id
  return ids
}

/** Restores the heap below `i`; its root is the worst of the kept. */
function sink(heap: Uint32Array, i: number, scores: Float32Array): void {
  const id = heap[i] as number
  for (;;) {
    let child = 2 * i + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && isWorse(heap[child + 1] as number, heap[child] as number, scores)) child++
    if (!isWorse(heap[child] as number, id, scores)) break
    heap[i] = heap[child] as number
    i = child
  }
  heap[i] = id
}

function isWorse(a: number, b: number, scores: Float32Array): boolean {
  const difference = (scores[a] as number) - (scores[b] as number)
  return difference < 0 || (!(difference > 0) && a > b)
}

function argmax(scores: Float32Array): number {
  let best = 0
  for (let id = 1; id < scores.length; id++) if ((scores[id] as number) > (scores[best] as number)) best = id
  return best
}

function maximum(scores: Float32Array): number {
  return scores[argmax(scores)] as number
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
