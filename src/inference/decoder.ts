/** How the logits of a request's rows become texts: a table's worth of ways behind one interface. */
import type { Logits } from './logits.ts'
import type { Completion, TokenEvent } from './request.ts'

/** A row of the next step. It goes on from a row of this one; several may go on from the same. */
export interface Branch {
  /** Index among the request's rows. */
  readonly parent: number
  /** Tokens since the prompt; the last of them is to be fed. */
  readonly generated: readonly number[]
}

export interface Advance {
  /** None when the request is over. Never more than `width`, and after the first step never more than rows were given. */
  readonly branches: readonly Branch[]
  /** What can be published by now. */
  readonly events: readonly TokenEvent[]
}

export interface Decoder {
  /** Rows that it needs at once. */
  readonly width: number
  /** Tokens generated so far, of all texts that count. */
  readonly generatedTokens: number
  /** What must be known before the next `advance`; null where nothing is missing. */
  readonly ready?: Promise<unknown> | null
  /**
   * `rows`: the logits of each row, in the order of the branches last given; at first the prompt's alone. Throws
   * `generation` where they are no distribution.
   */
  advance(rows: readonly Logits[]): Advance
  /** The texts, best first, once the request is over. */
  completions(): readonly Completion[]
  /** Gives up what it holds elsewhere. Idempotent. */
  close?(): void
}
