/** The next token out of a row of logits, by one seeded draw or the highest score; and log-probabilities. */
import { randomBytes } from 'node:crypto'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import { errors } from '../errors.ts'
import { expOfNegative } from './exponential.ts'
import { LogitProcessors } from './logit-processors.ts'
import type { SamplingParameters } from './request.ts'
import { argmax, highestIds, maximum } from './selection.ts'
import { type Candidates, candidates } from './warpers.ts'

/** A token with the natural logarithm of its probability by the raw logits. */
export interface ScoredToken {
  readonly id: number
  readonly logprob: number
}

/** Chooses the tokens of one text. Its draws depend on its seed alone, not on what else is in the batch. */
export class Sampler {
  readonly #parameters: SamplingParameters
  readonly #processors: LogitProcessors
  readonly #uniform: () => number
  readonly #prompt: readonly number[]
  readonly #generated: number[] = []

  constructor(parameters: SamplingParameters, seed: number, promptIds: readonly number[]) {
    this.#parameters = parameters
    this.#processors = new LogitProcessors(parameters)
    this.#uniform = uniformSource(seed)
    this.#prompt = promptIds
  }

  /** What was chosen so far. */
  get generated(): readonly number[] {
    return this.#generated
  }

  /**
   * Chooses a token from raw logits [vocabSize], which are not modified, and remembers it. Throws `generation` where the
   * logits, or what is left of them, are no distribution.
   */
  next(logits: Float32Array): ScoredToken {
    const normalizer = checkedLogSumExp(logits)
    const scores = this.#processors.apply(logits, { prompt: this.#prompt, generated: this.#generated })
    const best = argmax(scores)
    if (scores[best] === Number.NEGATIVE_INFINITY) throw errors.generation('Every token is ruled out')
    const isGreedy = this.#parameters.temperature === 0
    const id = isGreedy ? best : draw(candidates(scores, this.#parameters), this.#uniform())
    this.#generated.push(id)
    return { id, logprob: (logits[id] as number) - normalizer }
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
  for (let id = 0; id < logits.length; id++) sum += expOfNegative((logits[id] as number) - highest)
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
export function topTokens(logits: Float32Array, n: number): ScoredToken[] {
  if (n <= 0) return []
  const normalizer = checkedLogSumExp(logits)
  return Array.from(highestIds(logits, n), (id) => ({ id, logprob: (logits[id] as number) - normalizer }))
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

/** Minus infinity at some tokens rules them out; anything else that is not finite is a fault of the model. */
export function checkedLogSumExp(logits: Float32Array): number {
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
