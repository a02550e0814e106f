/** Is it alive, is it warm, and what is it: `/health`, `/ready`, `/info`. */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { errors } from '../../errors.ts'
import { maxStopTexts } from '../generate-request.ts'
import { problemResponse } from '../problem.ts'
import type { ServiceInfo, Serving } from '../serving.ts'

export interface HealthOptions {
  readonly engine: Serving
  readonly info: ServiceInfo
  /** Null when requests can be answered; else why not. */
  readonly notReadyBecause: () => string | null
}

const Status = z.object({ status: z.literal('ok') })

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER)

const Info = z
  .object({
    service: z.string(),
    version: z.string(),
    versions: z.record(z.string(), z.string()).describe('Of the runtime and of Node.js'),
    base_model: z.object({
      name: z.string(),
      digest: z.string(),
      architecture: z.string(),
      positions: count.describe('Prompt and generated tokens together'),
      vocabulary: count,
      quantization: z.string().describe('How its matrices are stored: `none` is float32'),
    }),
    device: z.object({
      kind: z.enum(['cpu', 'cuda']),
      provider: z.string().describe('The execution provider that ONNX Runtime takes'),
      reason: z.string().describe('Why this one was taken'),
    }),
    limits: z.record(z.string(), z.number()),
    default_adapter: z.string().nullable(),
    adapters: z.array(z.string()).describe('Names of those that serve'),
    model_id: z.string().describe('As text-generation-inference tells it, like what follows: the base model'),
    model_sha: z.string(),
    model_device_type: z.enum(['cpu', 'cuda']),
    router: z.string(),
    max_concurrent_requests: count,
    max_best_of: count,
    max_stop_sequences: count,
    max_input_tokens: count,
    max_total_tokens: count,
    max_client_batch_size: count,
  })
  .meta({ id: 'Info' })

export const healthRoutes: FastifyPluginAsyncZod<HealthOptions> = async (app, { engine, info, notReadyBecause }) => {
  app.get(
    '/health',
    {
      config: { open: true },
      schema: {
        operationId: 'health',
        summary: 'Is the process alive',
        tags: ['operation'],
        response: { 200: { description: 'Alive', content: { 'application/json': { schema: Status } } } },
      },
    },
    async () => ({ status: 'ok' as const }),
  )
  app.get(
    '/ready',
    {
      config: { open: true },
      schema: {
        operationId: 'ready',
        summary: 'Can requests be answered now',
        tags: ['operation'],
        response: {
          200: { description: 'Warm', content: { 'application/json': { schema: Status } } },
          503: problemResponse('Not yet, or not any more'),
        },
      },
    },
    async () => readiness(notReadyBecause()),
  )
  app.get(
    '/info',
    {
      schema: {
        operationId: 'info',
        summary: 'What serves here',
        tags: ['operation'],
        response: {
          200: {
            description: 'Versions, base model, device, limits',
            content: { 'application/json': { schema: Info } },
          },
        },
      },
    },
    async () => describe(engine, info),
  )
}

function readiness(reason: string | null): { status: 'ok' } {
  if (reason !== null) throw errors.notReady(reason)
  return { status: 'ok' }
}

function describe({ registry }: Serving, info: ServiceInfo): z.infer<typeof Info> {
  return {
    service: 'dylora-serve',
    version: info.version,
    versions: { ...info.versions },
    base_model: { ...info.baseModel },
    device: { ...info.device },
    limits: { ...info.limits },
    default_adapter: registry.defaultAdapter,
    adapters: registry
      .list()
      .filter(({ state }) => state === 'serving')
      .map(({ name }) => name),
    ...forTgi(info),
  }
}

/** What clients of text-generation-inference read. */
function forTgi({ baseModel, device, limits }: ServiceInfo) {
  const { max_batch_size: batch = 1, max_waiting_requests: waiting = 0 } = limits
  return {
    model_id: baseModel.name,
    model_sha: baseModel.digest,
    model_device_type: device.kind,
    router: 'dylora-serve',
    max_concurrent_requests: batch + waiting,
    max_best_of: batch,
    max_stop_sequences: maxStopTexts,
    max_input_tokens: baseModel.positions,
    max_total_tokens: baseModel.positions + 1,
    max_client_batch_size: 1,
  }
}
