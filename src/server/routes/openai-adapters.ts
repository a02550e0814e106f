/** `POST /v1/load_lora_adapter` and `/v1/unload_lora_adapter`, with the fields that vLLM gives them. */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { errors } from '../../errors.ts'
import { openAiFailure } from '../openai/openai-error.ts'
import type { RuntimeAdapters } from '../runtime-adapters.ts'

export interface RuntimeAdapterOptions {
  /** Null where adapters come from their directory alone. */
  readonly adapters: RuntimeAdapters | null
}

const name = z
  .string()
  .regex(/^[A-Za-z0-9][\w.-]{0,199}$/, 'expected letters, digits, dots, dashes and underscores, at most 200')
  .describe('What requests name it by')

const Load = z
  .looseObject({
    lora_name: name,
    lora_path: z.string().min(1).max(1000).describe('A directory inside the adapter directory'),
    load_inplace: z.boolean().nullish().describe('Replace the adapter of this name, if there is one'),
  })
  .meta({ id: 'LoadLoraAdapter', description: 'Unknown fields are ignored' })

const Unload = z
  .looseObject({
    lora_name: name,
    lora_int_id: z
      .int()
      .min(0)
      .max(2 ** 31)
      .nullish()
      .describe('Ignored'),
  })
  .meta({ id: 'UnloadLoraAdapter', description: 'Unknown fields are ignored' })

const responses = {
  200: { description: 'Done', content: { 'text/plain': { schema: z.string() } } },
  400: openAiFailure('Not JSON, or a name, a path or an adapter that cannot be taken'),
  403: openAiFailure('Switched off: see ALLOW_RUNTIME_LORA_UPDATING'),
  404: openAiFailure('No such adapter'),
  413: openAiFailure('The body is too large'),
  415: openAiFailure('The body is not declared as JSON'),
  500: openAiFailure('A failure here; says nothing but the request id'),
  503: openAiFailure('Shutting down'),
}

/** Text as it is, where replies are JSON otherwise. */
const plain = 'text/plain; charset=utf-8'

export const runtimeAdapterRoutes: FastifyPluginAsyncZod<RuntimeAdapterOptions> = async (app, { adapters }) => {
  const allowed = (): RuntimeAdapters => {
    if (adapters !== null) return adapters
    throw errors.forbidden('Adapters are not loaded by request here: see ALLOW_RUNTIME_LORA_UPDATING')
  }
  app.post(
    '/v1/load_lora_adapter',
    {
      config: { admin: true },
      schema: {
        ...{ operationId: 'loadLoraAdapter', summary: 'Load an adapter under a name, as vLLM has it' },
        ...{ tags: ['openai'], body: Load, response: responses },
      },
    },
    async ({ body }, reply) => {
      await allowed().load(body.lora_name, body.lora_path, { inPlace: body.load_inplace === true })
      return reply.type(plain).serializer(String).send(`Success: LoRA adapter '${body.lora_name}' added successfully.`)
    },
  )
  app.post(
    '/v1/unload_lora_adapter',
    {
      config: { admin: true },
      schema: {
        ...{ operationId: 'unloadLoraAdapter', summary: 'Unload an adapter, as vLLM has it' },
        ...{ tags: ['openai'], body: Unload, response: responses },
      },
    },
    async ({ body }, reply) => {
      allowed().unload(body.lora_name)
      return reply
        .type(plain)
        .serializer(String)
        .send(`Success: LoRA adapter '${body.lora_name}' removed successfully.`)
    },
  )
}
