/** What the model says of the token that comes next, and what choosing it mostly needs of that. */
import { errors } from '../errors.ts'
import { highestIds } from './selection.ts'

/** A row of the model's output. */
export interface Logits {
  /** [vocabSize]; null where they were not asked for, and stay on the device. */
  readonly values: Float32Array | null
  /** The likeliest tokens, likeliest first, of equals the lower id first. */
  readonly likeliest: Int32Array
  /** Theirs. */
  readonly likeliestLogits: Float32Array
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
  if (values === null) throw errors.generation("The model's logits are no distribution")
  const id = values.findIndex((logit) => !Number.isFinite(logit) && logit !== Number.NEGATIVE_INFINITY)
  throw errors.generation(
    id < 0 ? 'The model rules out every token' : `The model's logit of token ${id} is ${values[id]}`,
  )
}

/** Every logit. Throws a TypeError where they were not asked for. */
export function allOf({ values }: Logits): Float32Array {
  if (values === null) throw new TypeError('expected every logit, got the likeliest alone')
  return values
}

/** The logit of a token; of one that is not among the likeliest, every logit must be there. */
export function logitOf(logits: Logits, id: number): number {
  const place = logits.likeliest.indexOf(id)
  const logit = place < 0 ? allOf(logits)[id] : logits.likeliestLogits[place]
  if (logit === undefined) throw new RangeError(`expected a token id below ${logits.values?.length}, got ${id}`)
  return logit
}

/** Natural logarithms of the probabilities of these tokens. */
export function logprobsAt(logits: Logits, ids: readonly number[]): number[] {
  const normalizer = checkedNormalizer(logits)
  return ids.map((id) => logitOf(logits, id) - normalizer)
}

/** The n likeliest tokens, likeliest first, of equals the lower id first. */
export function topTokens(logits: Logits, n: number): ScoredToken[] {
  if (n <= 0) return []
  const normalizer = checkedNormalizer(logits)
  const known = n <= logits.likeliest.length
  const ids = known ? logits.likeliest.subarray(0, n) : highestIds(allOf(logits), n)
  return Array.from(ids, (id) => ({ id, logprob: logitOf(logits, id) - normalizer }))
}
