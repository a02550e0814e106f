/** The next token out of a row of logits, by one seeded draw or the highest score. */
import { randomBytes } from 'node:crypto'
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus'
import { errors } from '../errors.ts'
import type { Matcher } from './grammar/grammars.ts'
import { changesNothing, LogitProcessors } from './logit-processors.ts'
import { allOf, checkedNormalizer, type Logits, logitOf, type ScoredToken } from './logits.ts'
import type { SamplingParameters } from './request.ts'
import { argmax, firstIds, highestIds } from './selection.ts'
import { type Candidates, candidates, type Scored } from './warpers.ts'

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
    const isKnown = this.#matcher === null && choosesAmongLikeliest(this.#parameters, logits.likeliest.length)
    const id = isKnown ? this.#amongLikeliest(logits) : this.#amongAll(allOf(logits))
    this.#generated.push(id)
    this.#matcher?.accept(id)
    return { id, logprob: logitOf(logits, id) - normalizer }
  }

  #amongLikeliest({ likeliest, likeliestLogits }: Logits): number {
    const { temperature, topK } = this.#parameters
    if (temperature === 0) return likeliest[0] as number
    return this.#draw({ ids: Uint32Array.from(likeliest.subarray(0, topK)), scores: likeliestLogits.subarray(0, topK) })
  }

  #amongAll(logits: Float32Array): number {
    const { temperature, topK } = this.#parameters
    const processed = this.#processors.apply(logits, { prompt: this.#prompt, generated: this.#generated })
    const scores = this.#matcher?.constrain(processed) ?? processed
    const best = argmax(scores)
    if (scores[best] === Number.NEGATIVE_INFINITY) throw errors.generation('Every token is ruled out')
    if (temperature === 0) return best
    if (topK <= 0 || topK >= scores.length) return this.#draw({ ids: firstIds(scores.length), scores })
    const ids = highestIds(scores, topK)
    return this.#draw({ ids, scores: Float32Array.from(ids, (id) => scores[id] as number) })
  }

  #draw(scored: Scored): number {
    return draw(candidates(scored, this.#parameters), this.#uniform())
  }
}

/** Are so many of the likeliest tokens all that is looked at to choose one? */
export function choosesAmongLikeliest(parameters: SamplingParameters, known: number): boolean {
  const { temperature, topK } = parameters
  return known > 0 && changesNothing(parameters) && (temperature === 0 || (topK > 0 && topK < known))
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
