/** `POST /generate` and `POST /generate_stream`: one prompt, answered at the rank that the request asks for. */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { errors } from '../../errors.ts'
import type { GenerateRequest, Generation as Running } from '../../inference/request.ts'
import { disconnectSignal } from '../disconnect.ts'
import {
  acceptedHeaders,
  doneHeaders,
  Generation,
  generationOf,
  StreamEvent,
  streamEventOf,
} from '../generate-reply.ts'
import { Generate, GenerateQuery, type Wanted, wantedOf } from '../generate-request.ts'
import { problemOf, problemResponse } from '../problem.ts'
import type { Serving } from '../serving.ts'
import { sseData, withHeartbeat } from '../sse.ts'

export interface GenerateOptions {
  readonly engine: Serving
  /** A comment is sent on a stream that was quiet for so long. */
  readonly heartbeatMs: number
}

type GenerateRoute = FastifyRequest<{ Body: unknown; Querystring: unknown }> & {
  readonly body: Generate
  readonly query: GenerateQuery
}

const failures = {
  400: problemResponse('The body is not JSON'),
  404: problemResponse('No such adapter'),
  413: problemResponse('The body is too large'),
  415: problemResponse('The body is not declared as JSON'),
  422: problemResponse('Well-formed, but a value, a rank or an unknown key is not allowed; names what is'),
  429: problemResponse('Too many requests wait; see Retry-After'),
  500: problemResponse('A failure here; says nothing but the request id'),
  503: problemResponse('Not ready, or shutting down'),
}

const eventStream = {
  description:
    'Server-sent events, one a token; the last carries the text and the details. A failure is an event with `error`',
  content: { 'text/event-stream': { schema: StreamEvent } },
}

export const generateRoutes: FastifyPluginAsyncZod<GenerateOptions> = async (app, options) => {
  app.post(
    '/generate',
    {
      schema: {
        operationId: 'generate',
        summary: 'Generate text at a chosen rank',
        tags: ['inference'],
        querystring: GenerateQuery,
        body: Generate,
        response: {
          200: {
            description: 'The text; or, with `stream` in the body, what `/generate_stream` gives',
            content: { 'application/json': { schema: Generation }, ...eventStream.content },
          },
          ...failures,
        },
      },
    },
    (request, reply) => (request.body.stream === true ? stream : whole)(request, reply, options),
  )
  app.post(
    '/',
    {
      schema: {
        operationId: 'generateCompatibly',
        summary: 'The same, in the form that older clients of text-generation-inference send to `/`',
        tags: ['inference'],
        querystring: GenerateQuery,
        body: Generate,
        response: {
          200: {
            description: 'The text in a list of one; or, with `stream` in the body, what `/generate_stream` gives',
            content: { 'application/json': { schema: z.array(Generation).length(1) }, ...eventStream.content },
          },
          ...failures,
        },
      },
    },
    async (request, reply) => {
      if (request.body.stream === true) return stream(request, reply, options)
      return [await whole(request, reply, options)]
    },
  )
  app.post(
    '/generate_stream',
    {
      schema: {
        operationId: 'generateStream',
        summary: 'Generate text at a chosen rank, token by token',
        tags: ['inference'],
        querystring: GenerateQuery,
        body: Generate,
        response: { 200: eventStream, ...failures },
      },
    },
    (request, reply) => stream(request, reply, options),
  )
}

async function wantedBy({ query, body, id }: GenerateRoute, reply: FastifyReply, engine: Serving): Promise<Wanted> {
  const { registry } = engine
  const wanted = wantedOf(query, body, (adapterId) => registry.allowedRanks(adapterId), disconnectSignal(reply))
  const grammar = wanted.grammar === null ? undefined : await engine.prepareGrammar(wanted.grammar)
  return { ...wanted, request: { ...wanted.request, grammar, key: id } }
}

async function whole(request: GenerateRoute, reply: FastifyReply, { engine }: GenerateOptions) {
  const wanted = await wantedBy(request, reply, engine)
  const running = engine.submit(wanted.request)
  const result = await running.result
  reply.headers({ ...acceptedHeaders(running), ...doneHeaders(result) })
  return generationOf(result, wanted)
}

async function stream(request: GenerateRoute, reply: FastifyReply, { engine, heartbeatMs }: GenerateOptions) {
  const wanted = await wantedBy(request, reply, engine)
  expectStreamable(wanted.request)
  const running = engine.submit(wanted.request)
  return reply
    .headers({ ...acceptedHeaders(running), 'cache-control': 'no-cache', 'x-accel-buffering': 'no' })
    .type('text/event-stream')
    .send(Readable.from(withHeartbeat(eventsOf(running, wanted, request.id), heartbeatMs)))
}

function expectStreamable({ prefillDetails, beamSearch, bestOf = 1 }: GenerateRequest): void {
  const refuse = (name: string, message: string) => {
    throw errors.validation(message, { pointer: `/parameters/${name}` })
  }
  if (prefillDetails) refuse('decoder_input_details', 'decoder_input_details is not told when streaming')
  if (beamSearch) refuse('num_beams', 'num_beams above 1 is not streamed: no token is sure before the end')
  if (bestOf > 1) refuse('best_of', 'best_of above 1 is not streamed: the best text is known at the end')
}

/** One event a token; the last one carries the result, a failure is an event of its own. */
async function* eventsOf(running: Running, wanted: Wanted, requestId: string): AsyncGenerator<string> {
  try {
    for await (const event of running.tokens) {
      const result = event.last ? await running.result : undefined
      yield sseData(streamEventOf(event, wanted, result))
    }
  } catch (error) {
    yield sseData(problemOf(error, requestId))
  }
}
