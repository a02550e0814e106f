/** Log-probabilities in the two shapes that OpenAI has: lists side by side for completions, objects for chats. */
import { z } from 'zod'
import type { Token } from '../../inference/request.ts'
import type { Serving } from '../serving.ts'

type Bytes = Pick<Serving['tokenizer'], 'tokenBytes'>

const logprob = z.number().describe('Natural logarithm')

export const CompletionLogprobs = z
  .object({
    tokens: z.array(z.string()),
    token_logprobs: z.array(logprob.nullable()).describe('Null for the first token of an echoed prompt'),
    top_logprobs: z.array(z.record(z.string(), logprob).nullable()).describe('The likeliest tokens, and the one taken'),
    text_offset: z
      .array(
        z
          .int()
          .min(0)
          .max(2 ** 31),
      )
      .describe('Where each token begins, in characters (code points)'),
  })
  .meta({ id: 'CompletionLogprobs' })

const bytes = z.array(z.int().min(0).max(255)).describe('UTF-8; a character may be spread over tokens')
const ChatToken = z.object({ token: z.string(), logprob, bytes })

export const ChatLogprobs = z
  .object({
    content: z.array(ChatToken.extend({ top_logprobs: z.array(ChatToken) })),
    refusal: z.null(),
  })
  .meta({ id: 'ChatLogprobs' })

/** A token, and those that were likeliest in its place. */
export interface Place {
  readonly token: Token
  readonly top: readonly Token[]
}

export const placesOf = (tokens: readonly Token[], tops: readonly (readonly Token[])[]): Place[] =>
  tokens.map((token, i) => ({ token, top: tops[i] ?? [] }))

/** JSON has no minus infinity. */
const finite = (value: number): number => Math.max(value, -9999)

/** `before` is the number of characters before the first of these tokens. */
export function completionLogprobs(
  places: readonly Place[],
  tokenizer: Bytes,
  before: number,
): z.infer<typeof CompletionLogprobs> {
  let offset = before
  return {
    tokens: places.map(({ token }) => token.text),
    token_logprobs: places.map(({ token }) => token.logprob && finite(token.logprob)),
    top_logprobs: places.map(({ token, top }) => (token.logprob === null ? null : byText([...top, token]))),
    text_offset: places.map(({ token }) => {
      const start = offset
      offset += characters(tokenizer.tokenBytes(token.id))
      return start
    }),
  }
}

const byText = (tokens: readonly Token[]) =>
  Object.fromEntries(tokens.map(({ text, logprob }) => [text, finite(logprob ?? 0)]))

/** Characters that begin in these bytes of UTF-8. */
export const characters = (utf8: Uint8Array): number => utf8.filter((byte) => (byte & 0xc0) !== 0x80).length

export function chatLogprobs(places: readonly Place[], tokenizer: Bytes): z.infer<typeof ChatLogprobs> {
  const told = ({ id, text, logprob }: Token) => ({
    token: text,
    logprob: finite(logprob ?? 0),
    bytes: [...tokenizer.tokenBytes(id)],
  })
  return {
    content: places.map(({ token, top }) => ({ ...told(token), top_logprobs: top.map(told) })),
    refusal: null,
  }
}
