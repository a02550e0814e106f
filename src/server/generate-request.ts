/** What `/generate` takes: text-generation-inference's body, with the rank and the adapter as ours. */
import { z } from 'zod'
import { errors } from '../errors.ts'
import type { GrammarSpec } from '../inference/grammar/grammars.ts'
import type { BeamSearchParameters, GenerateRequest, SamplingParameters } from '../inference/request.ts'
import { rankOf } from './rank-parameter.ts'

/** Stop texts of one request. */
export const maxStopTexts = 16

const limits = {
  stop: maxStopTexts,
  stopLength: 256,
  newTokens: 1_000_000,
  topK: 1_000_000,
  topNTokens: 20,
  texts: 64,
  ngram: 1000,
}

const rankDescription =
  'A rank that the adapter was trained for, `max` (the default), `auto` (the smallest that is good enough), or `0` or `base`'

/** Any value passes, so that the refusal can name what the adapter allows. */
const Rank = z
  .unknown()
  .optional()
  .meta({ description: rankDescription, type: ['integer', 'string', 'null'], examples: [4, 'max', 'auto'] })

export const AdapterId = z
  .string()
  .min(1)
  .max(200)
  .describe('Name of the adapter (see `GET /adapters`), or of the base model for none')

export const GenerateQuery = z.strictObject({
  rank: z
    .unknown()
    .optional()
    .meta({ description: rankDescription, type: 'string', examples: ['4', 'max', 'auto', 'base'] }),
  adapter_id: AdapterId.optional(),
})

/** A parameter that is known but not implemented: only the values that change nothing pass. */
const notImplemented = (name: string, ...neutral: readonly (number | boolean | string)[]) =>
  z
    .unknown()
    .refine((value) => value === undefined || value === null || neutral.includes(value as number), {
      error: `'${name}' is not implemented${neutral.length > 0 ? `; only ${neutral.join(' or ')} is accepted` : ''}`,
    })
    .optional()
    .meta({ description: 'Not implemented: only a value that changes nothing is accepted', enum: [...neutral, null] })

const Grammar = z
  .discriminatedUnion('type', [
    z.strictObject({
      type: z.enum(['json', 'json_schema']),
      value: z
        .union([z.string(), z.record(z.string(), z.unknown())])
        .describe('A JSON schema, as an object or written out'),
    }),
    z.strictObject({ type: z.literal('regex'), value: z.string().describe('The whole text matches this expression') }),
  ])
  .describe('What the text must be. Tokens that it does not allow are never chosen; not with `num_beams`')

/** The parameters of one generation. */
export const Parameters = z.strictObject({
  adapter_id: AdapterId.nullish(),
  rank: Rank,
  min_quality: z
    .number()
    .gt(0)
    .max(1)
    .nullish()
    .describe('For rank `auto`: the share of the best validation quality that is good enough (default 0.99)'),
  max_new_tokens: z.int().min(1).max(limits.newTokens).nullish().describe('At most so many tokens (default 100)'),
  temperature: z.number().min(0).max(100).nullish().describe('0 is greedy; by default 1 when sampling'),
  top_k: z.int().min(0).max(limits.topK).nullish().describe('Sample from the k likeliest tokens; 0 is all of them'),
  top_p: z.number().gt(0).max(1).nullish().describe('Sample from the likeliest tokens of this total probability'),
  min_p: z
    .number()
    .min(0)
    .max(1)
    .nullish()
    .describe('Sample from tokens at least this share as likely as the likeliest'),
  typical_p: z
    .number()
    .gt(0)
    .max(1)
    .nullish()
    .describe('Sample from the tokens whose information is closest to the entropy, of this total probability'),
  repetition_penalty: z
    .number()
    .gt(0)
    .max(100)
    .nullish()
    .describe('Above 1 makes tokens of prompt and output less likely'),
  frequency_penalty: z
    .number()
    .min(-2)
    .max(2)
    .nullish()
    .describe('Subtracted for each time that a token was generated; the prompt does not count'),
  presence_penalty: z
    .number()
    .min(-2)
    .max(2)
    .nullish()
    .describe('Subtracted once for a token that was generated; the prompt does not count'),
  do_sample: z.boolean().nullish().describe('Sample, at temperature 1 unless another is given'),
  seed: z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullish().describe('The same seed gives the same text'),
  stop: z
    .array(z.string().min(1).max(limits.stopLength))
    .max(limits.stop)
    .nullish()
    .describe('Generation ends at the first of these texts'),
  truncate: z.int().min(1).max(limits.newTokens).nullish().describe('Keep only the last so many prompt tokens'),
  return_full_text: z.boolean().nullish().describe('Put the prompt before the generated text'),
  details: z.boolean().nullish().describe('Tell tokens, log-probabilities, adapter and rank'),
  decoder_input_details: z.boolean().nullish().describe("Tell the prompt's tokens too; not when streaming"),
  top_n_tokens: z.int().min(0).max(limits.topNTokens).nullish().describe('Tell the n likeliest tokens at each step'),
  best_of: z
    .int()
    .min(1)
    .max(limits.texts)
    .nullish()
    .describe(
      'Sample so many texts, with the seeds from `seed` on, and give the likeliest by token; not when streaming',
    ),
  num_beams: z
    .int()
    .min(1)
    .max(limits.texts)
    .nullish()
    .describe('Search for the likeliest text with so many hypotheses; 1 is none. Not when sampling or streaming'),
  length_penalty: z
    .number()
    .min(-10)
    .max(10)
    .nullish()
    .describe('For beams: a text scores its summed log-probability over its length to this power (default 1)'),
  early_stopping: z
    .union([z.boolean(), z.literal('never')])
    .nullish()
    .describe('For beams: stop at as many ended texts as beams; `false` (default) and `never` look for better ones'),
  no_repeat_ngram_size: z
    .int()
    .min(0)
    .max(limits.ngram)
    .nullish()
    .describe('No run of so many tokens comes twice in prompt and output; 0 bans none'),
  no_repeat_ngram_scope: z
    .enum(['prompt_and_output', 'output'])
    .nullish()
    .describe('`output` lets the text say again what the prompt says, such as a long name, as the paper decodes'),
  watermark: notImplemented('watermark', false),
  grammar: Grammar.nullish(),
  ignore_eos_token: notImplemented('ignore_eos_token', false),
  return_k_alternatives: notImplemented('return_k_alternatives', 0),
  apply_chat_template: notImplemented('apply_chat_template', false),
  response_format: notImplemented('response_format'),
  adapter_source: notImplemented('adapter_source'),
  adapter_parameters: notImplemented('adapter_parameters'),
  merged_adapters: notImplemented('merged_adapters'),
  api_token: notImplemented('api_token'),
})

export const Generate = z
  .strictObject({
    inputs: z.string().describe('The prompt; an adapter puts its own prompt tokens around it'),
    parameters: Parameters.nullish(),
    stream: z.boolean().nullish().describe('Answer with server-sent events, as `/generate_stream` does'),
  })
  .meta({ id: 'Generate' })

export type GenerateQuery = z.infer<typeof GenerateQuery>
export type Generate = z.infer<typeof Generate>
export type Parameters = z.infer<typeof Parameters>

const noParameters: Parameters = {}

/** What a client asked to see, beside what the engine is asked to do. */
export interface Wanted {
  readonly request: GenerateRequest
  /** Still to be prepared. */
  readonly grammar: GrammarSpec | null
  readonly details: boolean
  readonly fullText: boolean
  readonly topTokens: boolean
}

/** What the adapter of this name (undefined: the default one) allows as rank; throws adapter_not_found. */
export type AllowedRanks = (adapterId: string | undefined) => readonly (number | string)[]

/**
 * The client's words as the engine's.
 * @throws validation, rank_not_allowed, adapter_not_found
 */
export function wantedOf(query: GenerateQuery, body: Generate, allowed: AllowedRanks, signal: AbortSignal): Wanted {
  const given: Parameters = body.parameters ?? noParameters
  const adapterId = agree(query.adapter_id, given.adapter_id ?? undefined)
  return {
    request: {
      inputs: body.inputs,
      adapterId,
      rank: rankOf(query.rank, given.rank, () => allowed(adapterId)),
      ...decodingOf(given),
      prefillDetails: given.decoder_input_details ?? false,
      topNTokens: given.top_n_tokens ?? 0,
      signal,
    },
    grammar: grammarOf(given.grammar),
    details: (given.details ?? false) || (given.decoder_input_details ?? false),
    fullText: given.return_full_text ?? false,
    topTokens: (given.top_n_tokens ?? 0) > 0,
  }
}

function grammarOf(given: Parameters['grammar']): GrammarSpec | null {
  if (given == null) return null
  const text = typeof given.value === 'string' ? given.value : JSON.stringify(given.value)
  return { kind: given.type === 'regex' ? 'regex' : 'json', text, pointer: '/parameters/grammar' }
}

/** How to generate, the same for one text and for many; throws validation for what contradicts itself. */
export function decodingOf(given: Omit<Parameters, 'rank'>) {
  return {
    minQuality: given.min_quality ?? undefined,
    maxNewTokens: given.max_new_tokens ?? 100,
    sampling: samplingOf(given),
    beamSearch: beamSearchOf(given),
    bestOf: given.best_of ?? 1,
    stop: given.stop ?? [],
    truncate: given.truncate ?? undefined,
  } satisfies Partial<GenerateRequest>
}

/** The one adapter that query and body name, undefined when neither does. Throws validation when they differ. */
export function agree(fromQuery: string | undefined, fromBody: string | undefined): string | undefined {
  if (fromQuery === undefined || fromBody === undefined || fromQuery === fromBody) return fromQuery ?? fromBody
  throw errors.validation('The query and parameters.adapter_id name different adapters: expected one, or the same', {
    errors: [{ detail: 'contradicts the query', pointer: '#/parameters/adapter_id' }],
  })
}

/** Greedy unless a parameter of sampling is given; a temperature of 0 is greedy whatever else is. */
function samplingOf(given: Omit<Parameters, 'rank'>): SamplingParameters {
  const topK = given.top_k ?? 0
  const topP = given.top_p ?? 1
  const minP = given.min_p ?? 0
  const typicalP = given.typical_p ?? 1
  const samples = given.do_sample === true || topK > 0 || topP < 1 || minP > 0 || typicalP < 1
  return {
    temperature: given.temperature ?? (samples ? 1 : 0),
    topK,
    topP,
    minP,
    typicalP,
    repetitionPenalty: given.repetition_penalty ?? 1,
    frequencyPenalty: given.frequency_penalty ?? 0,
    presencePenalty: given.presence_penalty ?? 0,
    noRepeatNgramSize: given.no_repeat_ngram_size ?? 0,
    noRepeatNgramScope: given.no_repeat_ngram_scope ?? 'prompt_and_output',
    seed: given.seed ?? null,
  }
}

/** One beam is none. What only a search knows is refused without one, unless it changes nothing. */
function beamSearchOf(given: Omit<Parameters, 'rank'>): BeamSearchParameters | undefined {
  const beams = given.num_beams ?? 1
  const lengthPenalty = given.length_penalty ?? 1
  const earlyStopping = given.early_stopping ?? false
  if (beams > 1) return { beams, lengthPenalty, earlyStopping }
  for (const [name, changes] of [
    ['length_penalty', lengthPenalty !== 1],
    ['early_stopping', earlyStopping !== false],
  ] as const) {
    if (changes) throw errors.validation(`${name} needs num_beams above 1`, { pointer: `/parameters/${name}` })
  }
  return undefined
}
