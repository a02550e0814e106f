/** The next token out of a row of logits, by one seeded draw or the highest score. */
import { randomBytes } from 'node:crypto'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import { errors } from '../errors.ts'
import type { Matcher } from './grammar/grammars.ts'
import { LogitProcessors } from './logit-processors.ts'
import { checkedNormalizer, type Logits, likeliestIds, type ScoredToken } from './logits.ts'
import type { SamplingParameters } from './request.ts'
import { argmax, highestIds } from './selection.ts'
import { type Candidates, candidates } from './warpers.ts'

/** Chooses the tokens of one text. Its draws depend on its seed alone, not on what else is in the batch. */
export class Sampler {
  readonly #parameters: SamplingParameters
  readonly #processors: LogitProcessors
  readonly #uniform: () => number
  readonly #prompt: readonly number[]
  readonly #generated: number[] = []
  readonly #matcher: Matcher | null

  constructor(
    parameters: SamplingParameters,
    seed: number,
    promptIds: readonly number[],
    matcher: Matcher | null = null,
  ) {
    this.#parameters = parameters
    this.#processors = new LogitProcessors(parameters)
    this.#uniform = uniformSource(seed)
    this.#prompt = promptIds
    this.#matcher = matcher
  }

  /** What was chosen so far. */
  get generated(): readonly number[] {
    return this.#generated
  }

  /** Chooses a token and remembers it. Throws `generation` where the logits, or what is left of them, are no distribution. */
  next(logits: Logits): ScoredToken {
    const normalizer = checkedNormalizer(logits)
    const processed = this.#processors.apply(logits.values, { prompt: this.#prompt, generated: this.#generated })
    const scores = this.#matcher?.constrain(processed) ?? processed
    const isRaw = scores === logits.values
    const best = isRaw ? (logits.likeliest[0] as number) : argmax(scores)
    if (scores[best] === Number.NEGATIVE_INFINITY) throw errors.generation('Every token is ruled out')
    const highest = (n: number) => (isRaw ? likeliestIds(logits, n) : highestIds(scores, n))
    const isGreedy = this.#parameters.temperature === 0
    const id = isGreedy ? best : draw(candidates({ scores, best, highest }, this.#parameters), this.#uniform())
    this.#generated.push(id)
    this.#matcher?.accept(id)
    return { id, logprob: (logits.values[id] as number) - normalizer }
  }
}

/** A seed for a request that brings none: 32 bits. */
export function drawSeed(): number {
  return randomBytes(4).readUInt32LE()
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

/** 53 random bits a draw. */
function uniformSource(seed: number): () => number {
  const generator = xoroshiro128plus((seed | 0) ^ Math.imul(Math.floor(seed / 2 ** 32), 0x9e3779b1))
  // The first draws of neighbouring seeds are alike.
  for (let i = 0; i < 8; i++) generator.next()
  return () => ((generator.next() >>> 5) * 2 ** 26 + (generator.next() >>> 6)) / 2 ** 53
}
