/** What the OpenAI routes take: the fields of OpenAI and of vLLM that are implemented, with the rank as ours. */
import { z } from 'zod'
import { maxStopTexts } from '../generate-request.ts'

const limits = { texts: 128, stops: maxStopTexts, stopLength: 256, tokens: 1_000_000, topLogprobs: 20, messages: 4096 }

/** A field that is known but not implemented: only the values that change nothing pass. */
const notImplemented = (name: string, ...neutral: readonly unknown[]) => {
  const texts = neutral.map((value) => JSON.stringify(value))
  return z
    .unknown()
    .refine((value) => value === undefined || value === null || texts.includes(JSON.stringify(value)), {
      error: `'${name}' is not implemented${texts.length > 0 ? `; only ${texts.join(' or ')} is accepted` : ''}`,
    })
    .optional()
    .meta({ description: 'Not implemented: only a value that changes nothing is accepted', enum: [...neutral, null] })
}

const rank = z
  .unknown()
  .optional()
  .meta({
    description: 'A rank of the adapter, `max`, `auto`, `0` or `base`; or write it into the model, as `name:r4`',
    type: ['integer', 'string', 'null'],
    examples: [4, 'max', 'auto'],
  })

const stopText = z.string().min(1).max(limits.stopLength)

const schema = z.record(z.string(), z.unknown())

const ResponseFormat = z
  .discriminatedUnion('type', [
    z.looseObject({ type: z.literal('text') }),
    z.looseObject({ type: z.literal('json_object') }),
    z.looseObject({
      type: z.literal('json_schema'),
      json_schema: z.looseObject({ name: z.string().max(limits.stopLength).optional(), schema: schema.nullish() }),
    }),
  ])
  .describe('What the text must be: any text, a JSON object, or JSON of a schema')

const StructuredOutputs = z
  .strictObject({
    json: z.union([z.string(), schema]).optional().describe('A JSON schema'),
    regex: z.string().optional().describe('The whole text matches this expression'),
  })
  .refine(({ json, regex }) => json === undefined || regex === undefined, { error: 'expected json or regex, got both' })
  .describe("What the text must be, in vLLM's words")

/** What both routes take. */
const common = {
  model: z
    .string()
    .min(1)
    .max(1000)
    .nullish()
    .describe('An adapter or the base model, with or without a rank: `e2e`, `e2e:r4`; by default the default adapter'),
  rank,
  min_quality: z
    .number()
    .gt(0)
    .max(1)
    .nullish()
    .describe('For rank `auto`: the share of the best validation quality that is good enough (default 0.99)'),
  n: z.int().min(1).max(limits.texts).nullish().describe('So many texts for each prompt (default 1)'),
  stream: z.boolean().nullish().describe('Answer with server-sent events, ended by `data: [DONE]`'),
  stream_options: z
    .looseObject({
      include_usage: z.boolean().nullish().describe('One more event before the end tells the usage'),
    })
    .nullish(),
  temperature: z.number().min(0).max(100).nullish().describe('Default 1, as OpenAI has it; 0 is greedy'),
  top_p: z.number().gt(0).max(1).nullish().describe('Sample from the likeliest tokens of this total probability'),
  top_k: z.int().min(-1).max(limits.tokens).nullish().describe('Sample from the k likeliest; 0 and -1 are all of them'),
  min_p: z
    .number()
    .min(0)
    .max(1)
    .nullish()
    .describe('Sample from tokens at least this share as likely as the likeliest'),
  frequency_penalty: z.number().min(-2).max(2).nullish().describe('Subtracted for each time a token was generated'),
  presence_penalty: z.number().min(-2).max(2).nullish().describe('Subtracted once for a token that was generated'),
  repetition_penalty: z.number().gt(0).max(100).nullish().describe('Above 1 makes tokens of prompt and output rarer'),
  no_repeat_ngram_size: z.int().min(0).max(1000).nullish().describe('No run of so many tokens comes twice'),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullish().describe('The same seed gives the same texts'),
  stop: z
    .union([stopText, z.array(stopText).max(limits.stops)])
    .nullish()
    .describe('Generation ends at the first of these texts, which is left out'),
  truncate_prompt_tokens: z
    .int()
    .min(1)
    .max(limits.tokens)
    .nullish()
    .describe('Keep only the last so many prompt tokens'),
  do_sample: z.boolean().nullish().describe('`false` is greedy, as text-generation-inference has it'),
  ignore_eos: notImplemented('ignore_eos', false),
  min_tokens: notImplemented('min_tokens', 0),
  stop_token_ids: notImplemented('stop_token_ids', []),
  use_beam_search: notImplemented('use_beam_search', false),
  logit_bias: notImplemented('logit_bias', {}),
  response_format: ResponseFormat.nullish(),
  prompt_logprobs: notImplemented('prompt_logprobs', 0),
  structured_outputs: StructuredOutputs.nullish(),
  guided_json: notImplemented('guided_json'),
  guided_regex: notImplemented('guided_regex'),
  guided_choice: notImplemented('guided_choice'),
  guided_grammar: notImplemented('guided_grammar'),
}

const tokenIds = z
  .array(
    z
      .int()
      .min(0)
      .max(2 ** 31),
  )
  .max(limits.tokens)

export const CompletionRequest = z
  .looseObject({
    ...common,
    prompt: z
      .union([
        z.string(),
        tokenIds.min(1),
        z.array(z.string()).min(1).max(limits.texts),
        z.array(tokenIds.min(1)).min(1).max(limits.texts),
      ])
      .describe('A text, its token ids, or several of either'),
    max_tokens: z.int().min(0).max(limits.tokens).nullish().describe('Default 16; 0 with `echo` scores the prompt'),
    best_of: z
      .int()
      .min(1)
      .max(limits.texts)
      .nullish()
      .describe('Sample so many and give the `n` likeliest by token; not when streaming'),
    echo: z.boolean().nullish().describe('Put the prompt before the text, and its tokens before the log-probabilities'),
    logprobs: z.int().min(0).max(limits.topLogprobs).nullish().describe('Tell the tokens and so many likeliest ones'),
    suffix: notImplemented('suffix', ''),
  })
  .meta({ id: 'CompletionRequest', description: 'Unknown fields are ignored' })

const ContentPart = z.looseObject({
  type: z.literal('text', { error: 'expected a part of type text, the only one that is implemented' }),
  text: z.string(),
})

const Message = z.looseObject({
  role: z
    .enum(['system', 'developer', 'user', 'assistant'], {
      error: 'expected system, developer, user or assistant; tools are not implemented',
    })
    .describe('Whose turn it is'),
  content: z.union([z.string(), z.array(ContentPart).max(limits.messages)]).nullish(),
  name: z.string().max(limits.stopLength).nullish(),
  tool_calls: notImplemented('tool_calls', []),
  function_call: notImplemented('function_call'),
})

export const ChatCompletionRequest = z
  .looseObject({
    ...common,
    messages: z.array(Message).min(1).max(limits.messages),
    max_tokens: z.int().min(1).max(limits.tokens).nullish().describe('Older name of `max_completion_tokens`'),
    max_completion_tokens: z
      .int()
      .min(1)
      .max(limits.tokens)
      .nullish()
      .describe('At most so many new tokens; by default as many as the model has positions for'),
    logprobs: z.boolean().nullish().describe('Tell the tokens with their log-probabilities'),
    top_logprobs: z.int().min(0).max(limits.topLogprobs).nullish().describe('And so many likeliest ones in each place'),
    add_generation_prompt: z.boolean().nullish().describe("Open the assistant's turn (default true)"),
    chat_template_kwargs: z.record(z.string(), z.unknown()).nullish().describe('Further variables of the template'),
    tools: notImplemented('tools', []),
    tool_choice: notImplemented('tool_choice', 'none', 'auto'),
    functions: notImplemented('functions', []),
    function_call: notImplemented('function_call', 'none', 'auto'),
    modalities: notImplemented('modalities', ['text']),
    audio: notImplemented('audio'),
    web_search_options: notImplemented('web_search_options'),
    chat_template: notImplemented('chat_template'),
    continue_final_message: notImplemented('continue_final_message', false),
    documents: notImplemented('documents', []),
  })
  .meta({ id: 'ChatCompletionRequest', description: 'Unknown fields are ignored' })

export type CompletionRequest = z.infer<typeof CompletionRequest>
export type ChatCompletionRequest = z.infer<typeof ChatCompletionRequest>
