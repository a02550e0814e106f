/** `GET /v1/models` and `GET /v1/models/{id}`: the base and its adapters as OpenAI's clients list them. */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { errors } from '../../errors.ts'
import type { AdapterCard } from '../../inference/residency.ts'
import { namedModel } from '../openai/model-name.ts'
import { openAiFailure } from '../openai/openai-error.ts'
import type { ServiceInfo, Serving } from '../serving.ts'

export interface ModelsOptions {
  readonly engine: Serving
  readonly info: ServiceInfo
}

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER)

const Model = z
  .object({
    id: z.string(),
    object: z.literal('model'),
    created: count.describe('Seconds since 1970, when this server started'),
    owned_by: z.string(),
    root: z.string().describe('The base model'),
    parent: z.string().nullable().describe('For an adapter, the base model'),
    max_model_len: count.describe('Prompt and generated tokens together'),
    dylora: z
      .object({
        digest: z.string(),
        ranks: z.array(count).describe('What `rank` may be, beside `max`, `auto` and `base`; write `name:r4` for 4'),
        is_default: z.boolean(),
      })
      .nullable()
      .describe('Null for the base model; `/adapters/{id}` tells more'),
  })
  .meta({ id: 'Model' })

type Model = z.infer<typeof Model>

const ModelList = z.object({ object: z.literal('list'), data: z.array(Model) }).meta({ id: 'ModelList' })

const json = <S extends z.ZodType>(description: string, schema: S) => ({
  description,
  content: { 'application/json': { schema } },
})

export const openAiModelRoutes: FastifyPluginAsyncZod<ModelsOptions> = async (app, { engine, info }) => {
  const created = Math.floor(Date.now() / 1000)
  const { registry } = engine
  const describe = (id: string, adapter: AdapterCard | null): Model => ({
    ...{ id, object: 'model', created, owned_by: 'dylora-serve', root: info.baseModel.name },
    parent: adapter === null ? null : info.baseModel.name,
    max_model_len: info.baseModel.positions + 1,
    dylora: adapter && {
      digest: adapter.digest,
      ranks: [...adapter.ranks],
      is_default: registry.defaultAdapter === adapter.name,
    },
  })
  app.get(
    '/v1/models',
    {
      schema: {
        operationId: 'listModels',
        summary: 'The base model and the adapters that serve',
        tags: ['openai'],
        response: { 200: json('The base first', ModelList) },
      },
    },
    async () => ({
      object: 'list' as const,
      data: [
        describe(info.baseModel.name, null),
        ...registry.list().flatMap(({ name, adapter }) => (adapter === null ? [] : [describe(name, adapter)])),
      ],
    }),
  )
  app.get(
    '/v1/models/:id',
    {
      schema: {
        operationId: 'retrieveModel',
        summary: 'One of the models, also with a rank, as `name:r4`',
        tags: ['openai'],
        params: z.object({ id: z.string().describe('Name of an adapter or of the base model') }),
        response: {
          200: json('The model', Model),
          400: openAiFailure('A rank that it does not have'),
          404: openAiFailure('No such model'),
        },
      },
    },
    async ({ params: { id } }) => describe(id, modelOf(id, engine, info)),
  )
}

/** @throws adapter_not_found; rank_not_allowed for a rank in the name that it does not have */
function modelOf(id: string, { registry }: Serving, info: ServiceInfo): AdapterCard | null {
  const { adapterId = id, rank } = namedModel(id, undefined, registry)
  const allowed = registry.allowedRanks(adapterId)
  if (rank !== undefined && !allowed.includes(rank)) throw errors.rankNotAllowed(rank, allowed)
  return adapterId === info.baseModel.name ? null : (registry.get(adapterId)?.adapter ?? null)
}
