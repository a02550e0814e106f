/** What `/evaluate` takes: examples with references, and how to answer and score them. */
import { z } from 'zod'
import { type MetricName, metrics } from '../evaluation/metrics.ts'
import type { GenerateRequest } from '../inference/request.ts'
import type { Example, Wanted } from './evaluations.ts'
import { AdapterId, type AllowedRanks, agree, decodingOf, Parameters } from './generate-request.ts'
import { ranksOf } from './rank-parameter.ts'

const rankDescription =
  'Ranks that the adapter was trained for, `max` (the default), `auto`, or `0` or `base`: one, or several'

/** Any value passes, so that the refusal can name what the adapter allows. */
export const EvaluateQuery = z.strictObject({
  rank: z
    .unknown()
    .optional()
    .meta({ description: `${rankDescription} with commas between`, type: 'string', examples: ['1,4,max', 'auto'] }),
  adapter_id: AdapterId.optional(),
})

const limits = { referenceLength: 4096 }

const metricNames = Object.keys(metrics) as [MetricName, ...MetricName[]]

const defaultMetrics: readonly MetricName[] = ['bleu', 'nist', 'rouge_l', 'chrf']

/** Of the sampling and of the bootstrap, so that the same question has the same answer. */
const defaultSeed = 42

const EvaluateExample = z
  .strictObject({
    inputs: z.string().describe('The prompt; an adapter puts its own prompt tokens around it'),
    references: z
      .array(z.string().max(limits.referenceLength).regex(/\S/, 'expected a text, got a blank one'))
      .min(1)
      .describe('Texts that would be right'),
  })
  .meta({ id: 'EvaluateExample' })

const EvaluateParameters = Parameters.omit({
  rank: true,
  details: true,
  seed: true,
  return_full_text: true,
  decoder_input_details: true,
  top_n_tokens: true,
  grammar: true,
}).extend({
  rank: z
    .unknown()
    .optional()
    .meta({
      description: rankDescription,
      type: ['integer', 'string', 'array', 'null'],
      examples: [[1, 4, 'max'], 4],
    }),
  metrics: z
    .array(z.enum(metricNames))
    .min(1)
    .max(metricNames.length)
    .refine((names) => new Set(names).size === names.length, { error: 'expected each metric once' })
    .nullish()
    .describe(`What to measure (default ${defaultMetrics.join(', ')})`),
  seed: Parameters.shape.seed.describe(
    `Of sampling and intervals: the same seed gives the same numbers (${defaultSeed})`,
  ),
  details: z.boolean().nullish().describe('Tell the outputs too'),
})

export const Evaluate = z
  .strictObject({
    examples: z.array(EvaluateExample).min(1).describe('Prompts with the texts that would be right'),
    parameters: EvaluateParameters.nullish(),
  })
  .meta({
    id: 'Evaluate',
    examples: [
      {
        examples: [
          {
            inputs: 'name : The Vaults | Type : pub | area : riverside',
            references: ['The Vaults is a pub by the riverside .', 'There is a pub by the river called The Vaults .'],
          },
        ],
        parameters: { adapter_id: 'e2e', metrics: ['bleu', 'rouge_l'], max_new_tokens: 60 },
      },
    ],
  })

export type EvaluateQuery = z.infer<typeof EvaluateQuery>
export type Evaluate = z.infer<typeof Evaluate>

/**
 * The client's words as those of the service.
 * @throws validation, rank_not_allowed, adapter_not_found
 */
export function evaluationOf(query: EvaluateQuery, body: Evaluate, allowed: AllowedRanks): Wanted {
  const given: z.infer<typeof EvaluateParameters> = body.parameters ?? {}
  const adapterId = agree(query.adapter_id, given.adapter_id ?? undefined)
  const seed = given.seed ?? defaultSeed
  const decoding: Omit<GenerateRequest, 'inputs'> = { adapterId, ...decodingOf({ ...given, seed }) }
  const examples: readonly Example[] = body.examples
  return {
    examples,
    ranks: ranksOf(query.rank, given.rank, () => allowed(adapterId)),
    decoding,
    metrics: given.metrics ?? defaultMetrics,
    seed,
    details: given.details ?? false,
  }
}
