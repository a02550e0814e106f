/** What the OpenAI routes give: the objects of OpenAI's clients, plus which weights answered. */
import { z } from 'zod'
import type { FinishReason, GenerateResult, Served } from '../../inference/request.ts'
import { served, servedOf } from '../generate-reply.ts'
import type { Asked } from './asked.ts'
import {
  ChatLogprobs,
  CompletionLogprobs,
  characters,
  chatLogprobs,
  completionLogprobs,
  type Place,
  placesOf,
} from './logprobs.ts'
import type { Choice, ChoiceEvent } from './texts.ts'

const count = z
  .int()
  .min(0)
  .max(2 ** 31)

const Usage = z
  .object({
    prompt_tokens: count.describe('Of each prompt once, with the tokens that the adapter puts around it'),
    completion_tokens: count.describe('Of all texts, with `best_of` of those too that were not the best'),
    total_tokens: count,
    prompt_tokens_details: z.object({
      cached_tokens: count.describe('Prompt tokens that were known from an earlier request and not computed again'),
    }),
  })
  .meta({ id: 'Usage' })

const ServedBy = z.object(served).meta({ id: 'ServedBy', description: 'Which weights answered, and why these' })

const finishReason = z.enum(['stop', 'length'])
const seed = z.number().nullable().describe('The seed of the sampling; null when greedy')
const head = {
  id: z.string(),
  created: count.describe('Seconds since 1970'),
  model: z.string().describe('As it was asked for'),
}

export const Completion = z
  .object({
    ...head,
    object: z.literal('text_completion'),
    choices: z.array(
      z.object({
        index: count.describe('Texts of the first prompt come first'),
        text: z.string(),
        logprobs: CompletionLogprobs.nullable(),
        finish_reason: finishReason.nullable().describe('In a stream, null before the last event of this text'),
        seed: seed.optional(),
      }),
    ),
    usage: Usage.nullable()
      .optional()
      .describe('In a stream only with `stream_options.include_usage`, in the last event'),
    dylora: ServedBy,
  })
  .meta({ id: 'Completion' })

const chatHead = { index: count, logprobs: ChatLogprobs.nullable(), seed: seed.optional() }

export const ChatCompletion = z
  .object({
    ...head,
    object: z.literal('chat.completion'),
    choices: z.array(
      z.object({
        ...chatHead,
        message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
        finish_reason: finishReason,
      }),
    ),
    usage: Usage,
    dylora: ServedBy,
  })
  .meta({ id: 'ChatCompletion' })

export const ChatCompletionChunk = z
  .object({
    ...head,
    object: z.literal('chat.completion.chunk'),
    choices: z.array(
      z.object({
        ...chatHead,
        delta: z.object({ role: z.literal('assistant').optional(), content: z.string().optional() }),
        finish_reason: finishReason.nullable(),
      }),
    ),
    usage: Usage.nullable().optional(),
    dylora: ServedBy,
  })
  .meta({ id: 'ChatCompletionChunk' })

/** What every object of one reply says. */
export interface Frame {
  readonly id: string
  readonly created: number
  readonly model: string
  readonly dylora: z.infer<typeof ServedBy>
}

export function frameOf(
  prefix: string,
  requestId: string,
  { asked, served: from, baseName }: { asked: Asked; served: Served; baseName: string },
): Frame {
  return {
    id: `${prefix}-${requestId}`,
    created: Math.floor(Date.now() / 1000),
    model: asked.model ?? from.adapterId ?? baseName,
    dylora: servedOf(from),
  }
}

export const usageOf = (
  { prompt, cached }: { readonly prompt: number; readonly cached: number },
  completion: number,
): z.infer<typeof Usage> => ({
  prompt_tokens: prompt,
  completion_tokens: completion,
  total_tokens: prompt + completion,
  prompt_tokens_details: { cached_tokens: cached },
})

const FINISH: Readonly<Record<FinishReason, z.infer<typeof finishReason>>> = {
  length: 'length',
  eos_token: 'stop',
  stop_sequence: 'stop',
}

/** What the replies need to know of the models beside the result. */
export interface Reading {
  readonly tokenizer: { tokenBytes(id: number): Uint8Array }
  /** Tokens that the adapter of this name puts before and after the prompt. */
  readonly around: (adapterId: string | null) => { readonly before: number; readonly after: number }
}

export function completionChoice({ index, prompt, result, completion }: Choice, asked: Asked, reading: Reading) {
  const generated = asked.onlyPrompt ? [] : placesOf(completion.tokens, completion.topTokens)
  const echoed = asked.echo ? promptPlaces(result, prompt.inputs, reading) : []
  // Without its own tokens, the characters of the prompt are still before those of the text.
  const before = asked.echo && echoed.length === 0 ? [...prompt.inputs].length : 0
  return {
    index,
    text: (asked.echo ? prompt.inputs : '') + (asked.onlyPrompt ? '' : completion.text),
    logprobs: asked.logprobs === null ? null : completionLogprobs([...echoed, ...generated], reading.tokenizer, before),
    finish_reason: asked.onlyPrompt ? ('length' as const) : FINISH[completion.finishReason],
    seed: completion.seed,
  }
}

/** The client's own tokens: none of the adapter's, nor the one that stands for an empty prompt. */
function promptPlaces(result: GenerateResult, inputs: string, { around }: Reading): Place[] {
  if (inputs === '') return []
  const { before, after } = around(result.adapterId)
  const places = placesOf(result.prefill, result.prefillTopTokens)
  return places.slice(before, places.length - after)
}

export function chatChoice({ index, completion }: Choice, { logprobs }: Asked, { tokenizer }: Reading) {
  return {
    index,
    message: { role: 'assistant' as const, content: completion.text, refusal: null },
    logprobs: logprobs === null ? null : chatLogprobs(placesOf(completion.tokens, completion.topTokens), tokenizer),
    finish_reason: FINISH[completion.finishReason],
    seed: completion.seed,
  }
}

const ending = (result: GenerateResult | null) => ({
  finish_reason: result === null ? null : FINISH[result.finishReason],
  ...(result !== null && { seed: result.seed }),
})

/** Choices of a stream, in the shape of the route. Counts characters, so it is made for each stream anew. */
export type Chunker = (event: ChoiceEvent) => { readonly choice: object; readonly isEmpty: boolean }

export function completionChunker(asked: Asked, { tokenizer }: Reading): Chunker {
  const characterCounts = new Map<number, number>()
  return ({ index, prompt, event, result }) => {
    const isFirst = !characterCounts.has(index)
    const echoed = asked.echo && isFirst ? prompt.inputs : ''
    const before = characterCounts.get(index) ?? (asked.echo ? [...prompt.inputs].length : 0)
    characterCounts.set(index, before + characters(tokenizer.tokenBytes(event.token.id)))
    const text = echoed + event.delta
    const places = [{ token: event.token, top: event.topTokens }]
    const logprobs = asked.logprobs === null ? null : completionLogprobs(places, tokenizer, before)
    const choice = { index, text, logprobs, ...ending(result) }
    return { choice, isEmpty: text === '' && logprobs === null && result === null }
  }
}

export function chatChunker(asked: Asked, { tokenizer }: Reading): Chunker {
  const opened = new Set<number>()
  return ({ index, event, result }) => {
    const role = opened.has(index) ? {} : { role: 'assistant' as const }
    opened.add(index)
    const places = [{ token: event.token, top: event.topTokens }]
    const logprobs = asked.logprobs === null ? null : chatLogprobs(places, tokenizer)
    const choice = { index, delta: { ...role, content: event.delta }, logprobs, ...ending(result) }
    const isEmpty = event.delta === '' && logprobs === null && result === null && !('role' in role)
    return { choice, isEmpty }
  }
}
