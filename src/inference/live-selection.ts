/** What may stand between a request and its weights beside its own words, each off by default: decisions, all of them pure. */
import { createHash } from 'node:crypto'
import type { GenerateRequest } from './request.ts'

/** Requests for `adapter` of which a share is answered by `canary`, another adapter or another version of it. */
interface Canary {
  readonly adapter: string
  readonly canary: string
  /** From 0 to 1. */
  readonly share: number
}

/** While `waiting` requests or more wait, `auto` takes no rank above `maxRank`. */
export interface PressureCap {
  readonly maxRank: number
  readonly waiting: number
}

export interface LiveSelection {
  readonly canary?: Canary | undefined
  readonly pressure?: PressureCap | undefined
  /** The share of requests that are scored again at the highest rank, from 0 to 1. */
  readonly shadowShare?: number | undefined
}

/** Is this one among the share? The same key is always, or never, and what is in a share is in every larger one. */
export function isInShare(purpose: string, key: string, share: number): boolean {
  if (share <= 0) return false
  const drawn = createHash('sha256').update(`${purpose}\n${key}`).digest().readUInt32BE(0)
  return drawn / 2 ** 32 < share
}

/** What decides for a request: its family; its seed, so that the same seed gives the same text; else its id; else its words. */
export const keyOf = ({ sampling: { seed }, family, key, inputs }: GenerateRequest): string =>
  family ?? (seed === null ? (key ?? inputs) : `seed ${seed}`)

/** The highest rank that `auto` may take now; undefined for any. */
export const rankCap = (pressure: PressureCap | undefined, waiting: number): number | undefined =>
  pressure !== undefined && waiting >= pressure.waiting ? pressure.maxRank : undefined

/** Can the tokens of this request be compared with those of another rank: one text, each token the likeliest? */
export function isComparable({ sampling, beamSearch, grammar, bestOf = 1 }: GenerateRequest): boolean {
  const { temperature, repetitionPenalty, frequencyPenalty, presencePenalty, noRepeatNgramSize } = sampling
  const isPlain = repetitionPenalty === 1 && frequencyPenalty === 0 && presencePenalty === 0 && noRepeatNgramSize === 0
  return isPlain && temperature === 0 && beamSearch === undefined && grammar === undefined && bestOf === 1
}
