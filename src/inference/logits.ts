/** What the model says of the token that comes next, and what choosing it mostly needs of that. */
import { errors } from '../errors.ts'
import { highestIds } from './selection.ts'

/** A row of the model's output. */
export interface Logits {
  /** [vocabSize] */
  readonly values: Float32Array
  /** The likeliest tokens, likeliest first, of equals the lower id first. */
  readonly likeliest: Int32Array
  /** ln of the sum of the exponentials of all logits; not finite where they are no distribution. */
  readonly normalizer: number
}

/** A token with the natural logarithm of its probability by the raw logits. */
export interface ScoredToken {
  readonly id: number
  readonly logprob: number
}

/** Minus infinity at some tokens rules them out; anything else that is not finite is a fault of the model. Throws `generation`. */
export function checkedNormalizer({ values, normalizer }: Logits): number {
  if (Number.isFinite(normalizer)) return normalizer
  const id = values.findIndex((logit) => !Number.isFinite(logit) && logit !== Number.NEGATIVE_INFINITY)
  throw errors.generation(
    id < 0 ? 'The model rules out every token' : `The model's logit of token ${id} is ${values[id]}`,
  )
}

/** Natural logarithms of the probabilities of these tokens. */
export function logprobsAt(logits: Logits, ids: readonly number[]): number[] {
  const normalizer = checkedNormalizer(logits)
  return ids.map((id) => {
    const logit = logits.values[id]
    if (logit === undefined) throw new RangeError(`expected a token id below ${logits.values.length}, got ${id}`)
    return logit - normalizer
  })
}

/** The n likeliest tokens, likeliest first, of equals the lower id first. */
export function topTokens(logits: Logits, n: number): ScoredToken[] {
  if (n <= 0) return []
  const normalizer = checkedNormalizer(logits)
  return Array.from(likeliestIds(logits, n), (id) => ({ id, logprob: (logits.values[id] as number) - normalizer }))
}

/** The ids of the n likeliest, likeliest first. */
export const likeliestIds = ({ values, likeliest }: Logits, n: number): Int32Array | Uint32Array =>
  n <= likeliest.length ? likeliest.subarray(0, n) : highestIds(values, n)
