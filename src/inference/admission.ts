/** Who may wait: bounds on requests and prompt tokens, and whether a request can ever fit. */
import type { Tokenizer } from '../dylora/tokenizer.ts'
import { errors } from '../errors.ts'
import type { GenerateRequest } from './request.ts'

export interface QueueLimits {
  readonly maxWaiting: number
  readonly maxWaitingTokens: number
}

/** Who waits already. */
export interface Queued {
  readonly client: string
  readonly promptTokens: number
}

/**
 * Throws `overloaded` unless one more request may wait. Asked before tokenizing, so that a burst costs nothing. A client that
 * has none waiting may have one although others have filled the queue, until it is twice as long.
 */
export function expectRoom(
  queue: readonly Queued[],
  client: string,
  { maxWaiting, maxWaitingTokens }: QueueLimits,
): void {
  const [waiting, waitingTokens] = [queue.length, queue.reduce((sum, { promptTokens }) => sum + promptTokens, 0)]
  const times = queue.some((other) => other.client === client) ? 1 : 2
  if (waiting >= times * maxWaiting) {
    throw errors.overloaded(`The queue is full: ${waiting} requests are waiting, ${maxWaiting} may`, {
      waiting,
      limit: maxWaiting,
    })
  }
  if (waitingTokens >= times * maxWaitingTokens) {
    const facts = { waitingTokens, limit: maxWaitingTokens }
    throw errors.overloaded(
      `The queue is full: ${waitingTokens} prompt tokens are waiting, ${maxWaitingTokens} may`,
      facts,
    )
  }
}

export interface SlotLimits {
  readonly maxBatchSize: number
  /** Can the cache copy a slot on this device, as rows that branch need? */
  readonly copiesSlots: boolean
}

/** Throws `validation` for beams or texts that the batch has no slots for, or that contradict the other parameters. */
export function expectSlots(request: GenerateRequest, { maxBatchSize, copiesSlots }: SlotLimits): void {
  const { beamSearch, bestOf = 1, sampling, grammar } = request
  const [name, width] = beamSearch ? ['num_beams', beamSearch.beams] : ['best_of', bestOf]
  const refuse = (message: string) => {
    throw errors.validation(message, { pointer: `/parameters/${name}`, [name]: width })
  }
  if (!(Number.isSafeInteger(width) && width >= 1))
    refuse(`${name}: expected a whole number of at least 1, got ${width}`)
  if (width > maxBatchSize) {
    refuse(`The request does not fit: ${name} ${width} needs ${width} places in the batch, there are ${maxBatchSize}`)
  }
  if (width > 1 && !copiesSlots) refuse(`${name} is not implemented on this device: its cache cannot be copied`)
  if (beamSearch && sampling.temperature !== 0) refuse('num_beams: a beam search does not sample')
  if (beamSearch && grammar) refuse('num_beams: a beam search follows no grammar')
  if (beamSearch && bestOf > 1) refuse('num_beams: a beam search has one best text, best_of samples several')
  if (bestOf > 1 && sampling.temperature === 0)
    refuse('best_of: expected sampling, without which all texts are the same')
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

/** Bytes of a prompt that are tokenized without a look at them, for each position: it takes milliseconds. */
const bytesPerPosition = 4
/** Bytes of a prompt of which the end is kept: all of it must be tokenized for that. */
const truncatedBytes = 65_536

/**
 * Throws `validation` for a prompt that cannot fit, before it is tokenized: that takes seconds for a megabyte, in which no
 * other request would go on.
 */
export function expectTokenizable(
  { inputs, truncate }: Pick<GenerateRequest, 'inputs' | 'truncate'>,
  { atLeast }: Pick<Tokenizer, 'atLeast'>,
  positions: number,
): void {
  const bytes = Buffer.byteLength(inputs)
  if (bytes <= positions * bytesPerPosition) return
  if (truncate !== undefined) {
    const most = Math.max(truncatedBytes, positions * bytesPerPosition)
    if (bytes <= most) return
    throw errors.validation(`inputs: expected at most ${most} bytes to truncate, got ${bytes}`, { pointer: '/inputs' })
  }
  if (atLeast(inputs, positions) <= positions) return
  throw errors.validation(
    `The request does not fit: ${bytes} bytes are more than ${positions} prompt tokens, and the model has ${positions} positions`,
    { pointer: '/inputs', positions },
  )
}

/** The request with no more new tokens than there are positions for, and at least one. */
export function shortened(request: GenerateRequest, promptTokens: number, positions: number): GenerateRequest {
  const room = positions + 1 - promptTokens
  return { ...request, maxNewTokens: Math.max(1, Math.min(request.maxNewTokens, room)) }
}

/** Throws `validation` for ids that the model does not have. */
export function expectTokenIds(ids: readonly number[], vocabSize: number): void {
  const wrong = ids.find((id) => !(Number.isSafeInteger(id) && id >= 0 && id < vocabSize))
  if (wrong === undefined) return
  throw errors.validation(`expected token ids from 0 to ${vocabSize - 1}, got ${wrong}`, { pointer: '/inputs' })
}
