/** Who may wait: bounds on requests and prompt tokens, and whether a request can ever fit. */
import { errors } from '../errors.ts'
import type { GenerateRequest } from './request.ts'

export interface QueueLimits {
  readonly maxWaiting: number
  readonly maxWaitingTokens: number
}

/** Throws `overloaded` unless one more request may wait. Asked before tokenizing, so that a burst costs nothing. */
export function expectRoom(
  waiting: number,
  waitingTokens: number,
  { maxWaiting, maxWaitingTokens }: QueueLimits,
): void {
  if (waiting >= maxWaiting) {
    throw errors.overloaded(`The queue is full: ${waiting} requests are waiting, ${maxWaiting} may`, {
      waiting,
      limit: maxWaiting,
    })
  }
  if (waitingTokens >= maxWaitingTokens) {
    const facts = { waitingTokens, limit: maxWaitingTokens }
    throw errors.overloaded(
      `The queue is full: ${waitingTokens} prompt tokens are waiting, ${maxWaitingTokens} may`,
      facts,
    )
  }
}

/** Throws `validation` when prompt and output exceed the model's positions; the last token is never fed. */
export function expectFit(promptTokens: number, { maxNewTokens }: GenerateRequest, positions: number): void {
  const needed = promptTokens + maxNewTokens - 1
  if (needed <= positions) return
  throw errors.validation(
    `The request does not fit: ${promptTokens} prompt tokens and ${maxNewTokens} new ones need ${needed} positions, the model has ${positions}`,
    { pointer: '/parameters/max_new_tokens', promptTokens, maxNewTokens, positions },
  )
}
