/** OpenAI's words as the engine's: prompts, how many texts of each, and how they are decoded. */
import type { ChatMessage, ChatTemplate } from '../../dylora/chat-template.ts'
import { errors } from '../../errors.ts'
import type { GrammarSpec } from '../../inference/grammar/grammars.ts'
import type { GenerateRequest } from '../../inference/request.ts'
import { decodingOf } from '../generate-request.ts'
import type { Serving } from '../serving.ts'
import { namedModel } from './model-name.ts'
import type { ChatCompletionRequest, CompletionRequest } from './openai-request.ts'

type Prompt = Pick<GenerateRequest, 'inputs' | 'inputIds'>

/** One request: `n` texts for each of the prompts, all decoded alike. */
export interface Asked {
  readonly prompts: readonly Prompt[]
  readonly n: number
  readonly request: Omit<GenerateRequest, 'inputs'>
  /** Still to be prepared. */
  readonly grammar: GrammarSpec | null
  /** As the client named it; null where it left it to us. */
  readonly model: string | null
  /** How many likeliest tokens are told in each place; null tells no log-probabilities. */
  readonly logprobs: number | null
  readonly echo: boolean
  /** Is nothing but the prompt wanted? The one token that is generated then is dropped. */
  readonly onlyPrompt: boolean
  readonly includeUsage: boolean
}

type Body = CompletionRequest | ChatCompletionRequest

/** How far the decoding goes: what the two routes say in different words. */
interface Extent {
  readonly maxNewTokens: number
  readonly shortensToFit?: boolean
  readonly bestOf?: number
  readonly topNTokens: number
  readonly prefillDetails?: boolean
}

const refuse = (name: string, message: string): never => {
  throw errors.validation(message, { pointer: `/${name}` })
}

/**
 * @param texts what one request may ask for over all its prompts: more could never wait together
 * @throws validation, rank_not_allowed, adapter_not_found
 */
export function askedCompletion(body: CompletionRequest, engine: Serving, texts: number): Asked {
  const n = body.n ?? 1
  const bestOf = body.best_of ?? n
  const maxTokens = body.max_tokens ?? 16
  const scoresPrompt = body.echo === true && body.logprobs != null
  const prompts = promptsOf(body.prompt, engine)
  expectTexts(prompts.length * bestOf, texts)
  if (bestOf < n) refuse('best_of', `best_of: expected at least n, ${n}, got ${bestOf}`)
  if (maxTokens === 0 && body.echo !== true)
    refuse('max_tokens', 'max_tokens: expected at least 1, or 0 with echo, got 0')
  if (body.stream === true)
    expectStreamable({ best_of: bestOf > n, logprobs: scoresPrompt, max_tokens: maxTokens === 0 })
  const extent = {
    maxNewTokens: Math.max(1, maxTokens),
    bestOf: bestOf > n ? bestOf : 1,
    topNTokens: body.logprobs ?? 0,
    prefillDetails: scoresPrompt,
  }
  return {
    ...sharedOf(body, engine, extent),
    ...{ prompts, logprobs: body.logprobs ?? null, echo: body.echo ?? false, onlyPrompt: maxTokens === 0 },
  }
}

/** @throws validation, rank_not_allowed, adapter_not_found */
export function askedChat(
  body: ChatCompletionRequest,
  engine: Serving,
  { template, texts }: { readonly template: ChatTemplate | null; readonly texts: number },
): Asked {
  if (template === null) throw errors.validation(noTemplate, { pointer: '/messages' })
  const topLogprobs = body.top_logprobs ?? 0
  if (topLogprobs > 0 && body.logprobs !== true) refuse('top_logprobs', 'top_logprobs needs logprobs: true')
  expectTexts(body.n ?? 1, texts)
  const limit = body.max_completion_tokens ?? body.max_tokens ?? null
  const extent = {
    maxNewTokens: limit ?? Number.MAX_SAFE_INTEGER,
    shortensToFit: limit === null,
    topNTokens: topLogprobs,
  }
  return {
    ...sharedOf(body, engine, extent),
    ...{ prompts: [{ inputs: promptOf(body, template) }], logprobs: body.logprobs === true ? topLogprobs : null },
    ...{ echo: false, onlyPrompt: false },
  }
}

const noTemplate =
  'The base model has no chat template: put a chat_template.jinja beside it, or name one by CHAT_TEMPLATE; /v1/completions needs none'

function sharedOf(body: Body, { registry }: Serving, extent: Extent) {
  const { adapterId, rank } = namedModel(body.model, body.rank, registry)
  return {
    n: body.n ?? 1,
    model: adapterId === undefined ? null : (body.model ?? null),
    includeUsage: body.stream_options?.include_usage === true,
    grammar: grammarOf(body),
    request: { ...decodingOf(parametersOf(body)), ...extent, adapterId, rank },
  }
}

function grammarOf({ response_format: format, structured_outputs: outputs }: Body): GrammarSpec | null {
  if (outputs?.regex != null) return { kind: 'regex', text: outputs.regex, pointer: '/structured_outputs/regex' }
  const asked = [
    ['/structured_outputs/json', outputs?.json],
    ['/response_format', format?.type === 'json_object' ? anyObject : undefined],
    ['/response_format/json_schema', format?.type === 'json_schema' ? (format.json_schema.schema ?? {}) : undefined],
  ] as const
  for (const [pointer, schema] of asked) {
    if (schema !== undefined) {
      return { kind: 'json', text: typeof schema === 'string' ? schema : JSON.stringify(schema), pointer }
    }
  }
  return null
}

const anyObject = { type: 'object' }

/** In the words of `/generate`, where everything but the defaults is the same. */
const parametersOf = (body: Body) => ({
  min_quality: body.min_quality,
  temperature: body.do_sample === false ? 0 : (body.temperature ?? 1),
  top_p: body.top_p,
  top_k: Math.max(0, body.top_k ?? 0),
  min_p: body.min_p,
  frequency_penalty: body.frequency_penalty,
  presence_penalty: body.presence_penalty,
  repetition_penalty: body.repetition_penalty,
  no_repeat_ngram_size: body.no_repeat_ngram_size,
  seed: body.seed,
  stop: typeof body.stop === 'string' ? [body.stop] : body.stop,
  truncate: body.truncate_prompt_tokens,
})

function promptsOf(prompt: CompletionRequest['prompt'], { tokenizer }: Serving): Prompt[] {
  const ids = (inputIds: readonly number[]): Prompt => ({ inputs: tokenizer.decode(inputIds), inputIds })
  if (typeof prompt === 'string') return [{ inputs: prompt }]
  if (prompt.every((item) => typeof item === 'number')) return [ids(prompt)]
  return prompt.map((item) => (typeof item === 'string' ? { inputs: item } : ids(item)))
}

function expectTexts(wanted: number, texts: number): void {
  if (wanted > texts)
    refuse('n', `The request asks for ${wanted} texts over all its prompts: expected at most ${texts}`)
}

const notStreamed = {
  best_of: 'best_of above n is not streamed: the best texts are known at the end',
  logprobs: 'logprobs of an echoed prompt are not streamed',
  max_tokens: 'max_tokens 0 is not streamed',
} as const

function expectStreamable(asks: Readonly<Record<keyof typeof notStreamed, boolean>>): void {
  for (const [name, message] of Object.entries(notStreamed)) if (asks[name as keyof typeof asks]) refuse(name, message)
}

function promptOf(body: ChatCompletionRequest, template: ChatTemplate): string {
  const messages = body.messages.map(
    ({ role, content, name }): ChatMessage => ({
      // OpenAI's newer word for the same, which templates do not know.
      role: role === 'developer' ? 'system' : role,
      content: typeof content === 'string' ? content : (content ?? []).map(({ text }) => text).join('\n'),
      ...(name != null && { name }),
    }),
  )
  return template.render(messages, {
    ...body.chat_template_kwargs,
    add_generation_prompt: body.add_generation_prompt ?? true,
  })
}
