/** What `/generate` takes: text-generation-inference's body, with the rank and the adapter as ours. */
import { z } from 'zod'
import { errors } from '../errors.ts'
import type { GenerateRequest, SamplingParameters } from '../inference/request.ts'
import { rankOf } from './rank-parameter.ts'

const limits = { stop: 16, stopLength: 256, newTokens: 1_000_000, topK: 1_000_000, topNTokens: 20 }

const rankDescription =
  'A rank that the adapter was trained for, `max` (the default), `auto` (the smallest that is good enough), or `0` or `base`'

/** Any value passes, so that the refusal can name what the adapter allows. */
const Rank = z
  .unknown()
  .optional()
  .meta({ description: rankDescription, type: ['integer', 'string', 'null'], examples: [4, 'max', 'auto'] })

const AdapterId = z
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

const Parameters = z.strictObject({
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
  typical_p: notImplemented('typical_p', 1),
  repetition_penalty: z.number().gt(0).max(100).nullish().describe('Above 1 makes tokens seen before less likely'),
  frequency_penalty: z
    .number()
    .min(-2)
    .max(2)
    .nullish()
    .describe('Subtracted for each time that a token was generated'),
  presence_penalty: z.number().min(-2).max(2).nullish().describe('Subtracted once for a token that was generated'),
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
  best_of: notImplemented('best_of', 1),
  num_beams: notImplemented('num_beams', 1),
  length_penalty: notImplemented('length_penalty', 1),
  no_repeat_ngram_size: notImplemented('no_repeat_ngram_size', 0),
  watermark: notImplemented('watermark', false),
  grammar: notImplemented('grammar'),
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
type Parameters = z.infer<typeof Parameters>

const noParameters: Parameters = {}

/** What a client asked to see, beside what the engine is asked to do. */
export interface Wanted {
  readonly request: GenerateRequest
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
      minQuality: given.min_quality ?? undefined,
      maxNewTokens: given.max_new_tokens ?? 100,
      sampling: samplingOf(given),
      stop: given.stop ?? [],
      truncate: given.truncate ?? undefined,
      prefillDetails: given.decoder_input_details ?? false,
      topNTokens: given.top_n_tokens ?? 0,
      signal,
    },
    details: (given.details ?? false) || (given.decoder_input_details ?? false),
    fullText: given.return_full_text ?? false,
    topTokens: (given.top_n_tokens ?? 0) > 0,
  }
}

function agree(fromQuery: string | undefined, fromBody: string | undefined): string | undefined {
  if (fromQuery === undefined || fromBody === undefined || fromQuery === fromBody) return fromQuery ?? fromBody
  throw errors.validation('The query and parameters.adapter_id name different adapters: expected one, or the same', {
    errors: [{ detail: 'contradicts the query', pointer: '#/parameters/adapter_id' }],
  })
}

/** Greedy unless a parameter of sampling is given; a temperature of 0 is greedy whatever else is. */
function samplingOf(given: Parameters): SamplingParameters {
  const topK = given.top_k ?? 0
  const topP = given.top_p ?? 1
  const minP = given.min_p ?? 0
  const samples = given.do_sample === true || topK > 0 || topP < 1 || minP > 0
  return {
    temperature: given.temperature ?? (samples ? 1 : 0),
    topK,
    topP,
    minP,
    typicalP: 1,
    repetitionPenalty: given.repetition_penalty ?? 1,
    frequencyPenalty: given.frequency_penalty ?? 0,
    presencePenalty: given.presence_penalty ?? 0,
    noRepeatNgramSize: 0,
    seed: given.seed ?? null,
  }
}
