/** `POST /evaluate`: labelled examples in, what each rank is worth on them out. */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { rankReasons } from '../../inference/request.ts'
import { disconnectSignal } from '../disconnect.ts'
import { Evaluate, EvaluateQuery, evaluationOf } from '../evaluate-request.ts'
import type { EvaluatedRank, Evaluations, Wanted } from '../evaluations.ts'
import { problemResponse } from '../problem.ts'
import type { Serving } from '../serving.ts'

export interface EvaluateOptions {
  readonly engine: Serving
  readonly evaluations: Evaluations
}

const count = z
  .int()
  .min(0)
  .max(2 ** 31)

const Score = z
  .object({
    metric: z.string(),
    value: z.number().nullable().describe('In the units of the metric; null where these texts have none'),
    ci95: z
      .tuple([z.number(), z.number()])
      .nullable()
      .describe('95 % interval by bootstrap over the examples; null where there is none'),
    n: count.describe('Examples that the value rests on'),
    higher_is_better: z.boolean(),
  })
  .meta({ id: 'Score' })

const RankEvaluation = z
  .object({
    rank: count.describe('The rank that answered; 0 is the base model'),
    rank_requested: z.union([count, z.enum(['max', 'auto'])]).describe('The rank as asked for'),
    rank_reason: z.enum(rankReasons).describe('Why this rank answered'),
    metrics: z.array(Score),
    outputs: z.array(z.string()).optional().describe('The texts that were scored, with `details`'),
  })
  .meta({ id: 'RankEvaluation' })

const Evaluation = z
  .object({
    adapter_id: z.string().nullable().describe('The adapter that answered; null is the bare base model'),
    adapter_digest: z.string().nullable().describe('Over its factors and configuration'),
    examples: count,
    seed: z.number().describe('Of the sampling and of the intervals'),
    ranks: z.array(RankEvaluation).describe('As they were asked for'),
  })
  .meta({
    id: 'Evaluation',
    examples: [
      {
        adapter_id: 'e2e',
        adapter_digest: 'sha256:5f0c',
        examples: 100,
        seed: 42,
        ranks: [
          {
            rank: 8,
            rank_requested: 'max',
            rank_reason: 'max',
            metrics: [{ metric: 'bleu', value: 61.2, ci95: [58.9, 63.4], n: 100, higher_is_better: true }],
          },
        ],
      },
    ],
  })

const failures = {
  400: problemResponse('The body is not JSON'),
  404: problemResponse('No such adapter'),
  413: problemResponse('The body is too large'),
  415: problemResponse('The body is not declared as JSON'),
  422: problemResponse('Well-formed, but a value, a rank or an unknown key is not allowed, or there is too much of it'),
  429: problemResponse('As many evaluations as may be are under way, or live requests left no room; see Retry-After'),
  500: problemResponse('A failure here; says nothing but the request id'),
  503: problemResponse('Not ready, or shutting down'),
}

export const evaluateRoutes: FastifyPluginAsyncZod<EvaluateOptions> = async (app, { engine, evaluations }) => {
  app.post(
    '/evaluate',
    {
      schema: {
        operationId: 'evaluate',
        summary: 'Measure quality at chosen ranks on labelled examples',
        description:
          'Answers every example at every rank in the background of live requests, which go first, and scores the outputs.',
        tags: ['inference'],
        querystring: EvaluateQuery,
        body: Evaluate,
        response: {
          200: { description: 'Each rank in turn', content: { 'application/json': { schema: Evaluation } } },
          ...failures,
        },
      },
    },
    async ({ query, body }, reply) => {
      const wanted = evaluationOf(query, body, (id) => engine.registry.allowedRanks(id))
      return evaluationReply(await evaluations.run(wanted, disconnectSignal(reply)), wanted)
    },
  )
}

function evaluationReply(ranks: readonly EvaluatedRank[], wanted: Wanted): z.infer<typeof Evaluation> {
  const [first] = ranks
  return {
    adapter_id: first?.served.adapterId ?? null,
    adapter_digest: first?.served.adapterDigest ?? null,
    examples: wanted.examples.length,
    seed: wanted.seed,
    ranks: ranks.map((each) => rankReply(each, wanted)),
  }
}

const rankReply = (
  { served, scores, outputs }: EvaluatedRank,
  { details }: Wanted,
): z.infer<typeof RankEvaluation> => ({
  rank: served.rank,
  rank_requested: served.rankRequested,
  rank_reason: served.rankReason,
  metrics: scores.map(({ metric, value, ci95, n, higherIsBetter }) => ({
    metric,
    value: Number.isFinite(value) ? value : null,
    ci95: ci95 && [...ci95],
    n,
    higher_is_better: higherIsBetter,
  })),
  ...(details && { outputs: [...outputs] }),
})
