/** What `/generate` and `/generate_stream` give: text-generation-inference's objects, plus which weights answered. */
import { z } from 'zod'
import {
  type Completion,
  type GenerateResult,
  type Generation as Running,
  rankReasons,
  type Served,
  type TokenEvent,
} from '../inference/request.ts'
import type { Wanted } from './generate-request.ts'

const Token = z
  .object({
    id: z
      .int()
      .min(0)
      .max(2 ** 31),
    text: z.string(),
    logprob: z.number().nullable().describe('Natural logarithm; null for the first token of a prompt'),
    special: z.boolean(),
  })
  .meta({ id: 'Token' })

const count = z
  .int()
  .min(0)
  .max(2 ** 31)

/** Which weights answered, as it is told. */
export const served = {
  adapter_id: z.string().nullable().describe('The adapter that answered; null is the bare base model'),
  adapter_digest: z.string().nullable().describe('Over its factors and configuration'),
  rank: count.describe('The rank that answered; 0 is the base model'),
  rank_requested: z.union([count, z.enum(['max', 'auto'])]).describe('The rank as asked for'),
  rank_reason: z.enum(rankReasons).describe('Why this rank answered'),
  canary_of: z.string().optional().describe('The adapter that was asked for, where its canary answered'),
  shadow: z.literal(true).optional().describe('The tokens will be scored again at the highest rank, for the metrics'),
}

const ended = {
  finish_reason: z.enum(['length', 'eos_token', 'stop_sequence']),
  generated_tokens: count,
  seed: z.number().nullable().describe('The seed of the sampling; null when greedy'),
}

const finished = {
  ...ended,
  prompt_tokens: count,
  cached_tokens: count.describe('Prompt tokens that were known from an earlier request and not computed again'),
}

const text = {
  tokens: z.array(Token),
  top_tokens: z.array(z.array(Token)).optional().describe('The likeliest tokens at each step, with `top_n_tokens`'),
  score: z
    .number()
    .optional()
    .describe(
      'What the text was chosen by. With `num_beams`: its summed log-probability, penalties included, over length to ' +
        'the power of `length_penalty`. With `best_of`: the mean log-probability of its tokens',
    ),
}

const BestOfSequence = z.object({ generated_text: z.string(), ...ended, ...text }).meta({ id: 'BestOfSequence' })

const Details = z
  .object({
    ...finished,
    prefill: z.array(Token).describe("The prompt's tokens, with `decoder_input_details`"),
    ...text,
    best_of_sequences: z.array(BestOfSequence).optional().describe('The other texts, best first, with `best_of`'),
    ...served,
  })
  .meta({ id: 'Details' })

export const Generation = z
  .object({ generated_text: z.string(), details: Details.optional() })
  .meta({ id: 'Generation' })

const StreamDetails = z
  .object({ ...finished, input_length: count.describe('Same as prompt_tokens'), ...served })
  .meta({ id: 'StreamDetails' })

export const StreamEvent = z
  .object({
    index: count,
    token: Token,
    top_tokens: z.array(Token).optional(),
    generated_text: z.string().nullable().describe('The whole text, in the last event'),
    details: StreamDetails.nullable().describe('In the last event'),
  })
  .meta({ id: 'StreamEvent', description: 'The data of one server-sent event' })

export type Generation = z.infer<typeof Generation>
export type StreamEvent = z.infer<typeof StreamEvent>

export const servedOf = (from: Served) => ({
  adapter_id: from.adapterId,
  adapter_digest: from.adapterDigest,
  rank: from.rank,
  rank_requested: from.rankRequested,
  rank_reason: from.rankReason,
  ...(from.canaryOf !== null && { canary_of: from.canaryOf }),
  ...(from.shadow && { shadow: true as const }),
})

const endedOf = ({ finishReason, tokens, seed }: Completion) => ({
  finish_reason: finishReason,
  generated_tokens: tokens.length,
  seed,
})

const finishedOf = (result: GenerateResult) => ({
  ...endedOf(result),
  prompt_tokens: result.promptTokens,
  cached_tokens: result.cachedTokens,
})

const tokensOf = ({ tokens, topTokens, score }: Completion, wanted: Wanted) => ({
  tokens: [...tokens],
  ...(wanted.topTokens ? { top_tokens: topTokens.map((top) => [...top]) } : {}),
  ...(score === null ? {} : { score }),
})

const textOf = ({ text }: Completion, { request, fullText }: Wanted): string =>
  fullText ? request.inputs + text : text

/** The body of a reply that comes in one piece. */
export function generationOf(result: GenerateResult, wanted: Wanted): Generation {
  const generated_text = textOf(result, wanted)
  if (!wanted.details) return { generated_text }
  const others = result.others.map((other) => ({
    generated_text: textOf(other, wanted),
    ...endedOf(other),
    ...tokensOf(other, wanted),
  }))
  const details = {
    ...finishedOf(result),
    prefill: [...result.prefill],
    ...tokensOf(result, wanted),
    ...(others.length === 0 ? {} : { best_of_sequences: others }),
    ...servedOf(result),
  }
  return { generated_text, details }
}

/**
 * The data of one server-sent event; the last one carries the result. Texts of tokens add up to the generated text,
 * also where a character spans tokens, so a token that ends in the middle of one has none.
 */
export function streamEventOf(event: TokenEvent, wanted: Wanted, result?: GenerateResult): StreamEvent {
  const { index, token, topTokens, delta } = event
  return {
    index,
    token: token.special ? token : { ...token, text: delta },
    ...(wanted.topTokens ? { top_tokens: [...topTokens] } : {}),
    generated_text: result === undefined ? null : textOf(result, wanted),
    details: result === undefined ? null : streamDetailsOf(result),
  }
}

const streamDetailsOf = (result: GenerateResult) => ({
  ...finishedOf(result),
  input_length: result.promptTokens,
  ...servedOf(result),
})

/** What is known when a request is accepted. */
export const acceptedHeaders = ({ served, promptTokens }: Pick<Running, 'served' | 'promptTokens'>) => ({
  'x-adapter-id': encodeURIComponent(served.adapterId ?? ''),
  'x-adapter-rank': String(served.rank),
  'x-prompt-tokens': String(promptTokens),
})

const milliseconds = (value: number): string => value.toFixed(2)

/** What is known when it is done; times in milliseconds. */
export const doneHeaders = ({ tokens, timings }: Pick<GenerateResult, 'tokens' | 'timings'>) => ({
  'x-generated-tokens': String(tokens.length),
  'x-queue-time': milliseconds(timings.queueMs),
  'x-inference-time': milliseconds(timings.inferenceMs),
  'x-total-time': milliseconds(timings.totalMs),
  'x-time-per-token': milliseconds(timings.inferenceMs / Math.max(1, tokens.length)),
})
