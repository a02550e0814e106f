/** `GET /adapters` and `GET /adapters/{id}`: what each rank of each adapter is worth, and what it costs. */
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { AdapterDescription, type AdapterView, describeAdapter, describeAdapters } from '../adapter-description.ts'
import { problemResponse } from '../problem.ts'

const json = <S extends z.ZodType>(description: string, schema: S) => ({
  description,
  content: { 'application/json': { schema } },
})

const AdapterList = z.object({ adapters: z.array(AdapterDescription) }).meta({ id: 'AdapterList' })

export const adapterRoutes: FastifyPluginAsyncZod<AdapterView> = async (app, view) => {
  app.get(
    '/adapters',
    {
      schema: {
        operationId: 'listAdapters',
        summary: 'Every adapter, serving or refused',
        tags: ['adapters'],
        response: { 200: json('Adapters by name', AdapterList) },
      },
    },
    async () => ({ adapters: describeAdapters(view) }),
  )
  app.get(
    '/adapters/:id',
    {
      schema: {
        operationId: 'getAdapter',
        summary: 'Quality and live latency of each rank',
        tags: ['adapters'],
        params: z.object({ id: z.string().describe('Name of the adapter') }),
        response: { 200: json('The adapter', AdapterDescription), 404: problemResponse('No such adapter') },
      },
    },
    async ({ params }) => describeAdapter(view, params.id),
  )
}
