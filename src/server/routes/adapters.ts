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

const ranks = z
  .stringbool({ truthy: ['true'], falsy: ['false'], case: 'sensitive', error: 'expected true or false' })
  .default(true)
  .describe('`false` leaves out what each rank is worth: short, for those who only watch which adapters there are')

const AdaptersQuery = z.strictObject({ ranks })

const AdapterQuery = z.strictObject({
  ranks,
  min_quality: z
    .string()
    .regex(/^(0?\.\d{1,6}|1(\.0{1,6})?)$/, 'expected a share above 0 and at most 1')
    .transform(Number)
    .refine((share) => share > 0, 'expected a share above 0 and at most 1')
    .optional()
    .describe('Tells what `auto` would take at this budget (default 0.99)'),
})

export const adapterRoutes: FastifyPluginAsyncZod<AdapterView> = async (app, view) => {
  app.get(
    '/adapters',
    {
      schema: {
        operationId: 'listAdapters',
        summary: 'Every adapter, serving or refused',
        tags: ['adapters'],
        querystring: AdaptersQuery,
        response: { 200: json('Adapters by name', AdapterList), 422: problemResponse('Not as documented') },
      },
    },
    async ({ query }) => ({ adapters: describeAdapters(view, query) }),
  )
  app.get(
    '/adapters/:id',
    {
      schema: {
        operationId: 'getAdapter',
        summary: 'Quality and live latency of each rank',
        tags: ['adapters'],
        params: z.object({ id: z.string().describe('Name of the adapter') }),
        querystring: AdapterQuery,
        response: {
          200: json('The adapter', AdapterDescription),
          404: problemResponse('No such adapter'),
          422: problemResponse('Not as documented'),
        },
      },
    },
    async ({ params, query }) =>
      describeAdapter(view, params.id, { ranks: query.ranks, minQuality: query.min_quality }),
  )
}
