/** `/jobs`: training on request, watched as it goes. */
import { Readable } from 'node:stream'
import multipart from '@fastify/multipart'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { errors } from '../../errors.ts'
import { isOver, type Job, type JobEvent, JobSpec, jobStates } from '../../jobs/job.ts'
import type { JobQueue } from '../../jobs/job-queue.ts'
import { disconnectSignal } from '../disconnect.ts'
import type { JobService } from '../job-service.ts'
import { problemResponse } from '../problem.ts'
import { receiveJob } from '../receive-job.ts'
import { withHeartbeat } from '../sse.ts'

export interface JobRouteOptions {
  /** Null where this server trains nothing. */
  readonly jobs: JobService | null
  readonly heartbeatMs: number
}

const count = z.int().min(0).max(Number.MAX_SAFE_INTEGER)
const time = z.iso.datetime()

const Progress = z
  .object({
    step: count.describe('Steps done'),
    steps: count.describe('Steps in all'),
    loss: z.number().nullable().describe('Running mean, in nats a predicted token'),
    loss_by_rank: z.record(z.string(), z.number().nullable()).describe('The same of the steps at one rank'),
    tokens_per_second: z.number().nullable(),
    seconds_left: z.number().nullable(),
  })
  .meta({ id: 'JobProgress' })

const JobView = z
  .object({
    id: z.uuid(),
    state: z.enum(jobStates).describe('`refused`: trained and measured, and kept from service by its gate'),
    reason: z.string().nullable().describe('Why it failed or was refused'),
    attempt: count.describe('How often it was begun: once more for each worker that died'),
    worker: z.string().nullable(),
    adapter_digest: z.string().nullable().describe('Of what was published'),
    progress: Progress.nullable().describe('What it told last: null before its first step'),
    files_kept: z
      .boolean()
      .describe('False once data, checkpoints and events are removed (JOB_RETENTION): it cannot be tried again'),
    created_at: time,
    started_at: time.nullable(),
    ended_at: time.nullable(),
    spec: JobSpec,
  })
  .meta({ id: 'Job' })

const JobList = z
  .object({ jobs: z.array(JobView), next_cursor: z.string().nullable().describe('For the page after this one') })
  .meta({ id: 'JobList' })

const json = <S extends z.ZodType>(description: string, schema: S) => ({
  description,
  content: { 'application/json': { schema } },
})

const Id = z.object({ id: z.uuid('expected the id of a job').describe('Of the job') })

const Watch = z.looseObject({
  'last-event-id': z
    .string()
    .regex(/^\d{0,15}$/, 'expected the id of an event')
    .optional()
    .describe('Go on after this event'),
})

const Filter = z.strictObject({
  state: z.enum(jobStates).optional().describe('Only those in this state'),
  adapter: z.string().max(100).optional().describe('Only those for this adapter'),
  limit: z
    .string()
    .regex(/^([1-9]\d?|100)$/, 'expected 1 to 100')
    .transform(Number)
    .optional()
    .describe('Jobs on a page (20)'),
  cursor: z
    .string()
    .regex(/^\d{1,15}$/, 'expected a next_cursor')
    .optional()
    .describe('The page after the one that gave it'),
})

const failures = {
  400: problemResponse('The request cannot be read'),
  413: problemResponse('The body is too large'),
  415: problemResponse('A body that is not JSON'),
  404: problemResponse('No such job, or this server trains nothing'),
  422: problemResponse('Not as documented'),
}

const view = ({ adapterDigest, progress, filesKept, createdAt, startedAt, endedAt, ...job }: Job) => ({
  ...job,
  adapter_digest: adapterDigest,
  progress: progressOf(progress?.step),
  files_kept: filesKept,
  created_at: createdAt.toISOString(),
  started_at: startedAt?.toISOString() ?? null,
  ended_at: endedAt?.toISOString() ?? null,
})

/** Of the last `step` that it told. */
function progressOf(step: Readonly<Record<string, unknown>> | undefined): z.infer<typeof Progress> | null {
  if (step === undefined) return null
  const parsed = Progress.safeParse({ loss_by_rank: {}, ...step })
  return parsed.success ? parsed.data : null
}

export const jobRoutes: FastifyPluginAsyncZod<JobRouteOptions> = async (app, { jobs, heartbeatMs }) => {
  const service = (): JobService => {
    if (jobs === null) throw errors.forbidden('This server trains nothing')
    return jobs
  }
  const queue = (): Promise<JobQueue> => service().queue()
  await app.register(multipart, {
    limits: { fields: 1, files: 2, fieldSize: 65_536, fileSize: jobs?.options.dataLimitBytes ?? 1, parts: 3 },
  })
  app.post(
    '/jobs',
    {
      config: { admin: true },
      schema: {
        operationId: 'createJob',
        summary: 'Train an adapter',
        description:
          'As JSON with a `dataset`, or as multipart/form-data: `job` (this JSON), then `data` and, to measure every rank, ' +
          '`validation`, both JSON lines of `{"context", "completion"}`.',
        tags: ['training'],
        consumes: ['application/json', 'multipart/form-data'],
        body: z.unknown().meta({ $ref: '#/components/schemas/JobSpecInput' }).optional() as unknown as z.ZodType,
        response: {
          201: json('The job, in the queue', JobView),
          ...failures,
          400: problemResponse('Not JSON, or no form'),
          413: problemResponse('The body, or a file of it, is too large'),
          415: problemResponse('Neither JSON nor a form'),
          429: problemResponse('The queue is full'),
          503: problemResponse('This server trains nothing, or is shutting down'),
          507: problemResponse('There is no room for the files'),
        },
      },
    },
    async (request, reply) => {
      const giveBack = await service().admit()
      try {
        return await reply.code(201).send(view(await receiveJob(request, service())))
      } finally {
        giveBack()
      }
    },
  )
  app.get(
    '/jobs',
    {
      config: { admin: true },
      schema: {
        operationId: 'listJobs',
        summary: 'Jobs, the newest first',
        tags: ['training'],
        querystring: Filter,
        response: {
          200: json('A page of jobs', JobList),
          ...failures,
          503: problemResponse('This server trains nothing'),
        },
      },
    },
    async ({ query }) => {
      const opened = await service().opened
      if (opened === null) return { jobs: [], next_cursor: null }
      const { state, adapter, limit = 20, cursor } = query
      const page = await opened.list({
        state,
        adapter,
        limit,
        before: cursor === undefined ? undefined : Number(cursor),
      })
      return { jobs: page.jobs.map(view), next_cursor: page.next === null ? null : String(page.next) }
    },
  )
  app.get(
    '/jobs/:id',
    {
      config: { admin: true },
      schema: {
        operationId: 'getJob',
        summary: 'One job',
        tags: ['training'],
        params: Id,
        response: { 200: json('The job', JobView), ...failures, 503: problemResponse('This server trains nothing') },
      },
    },
    async ({ params }) => view(await (await queue()).get(params.id)),
  )
  app.get(
    '/jobs/:id/events',
    {
      config: { admin: true },
      schema: {
        operationId: 'watchJob',
        summary: 'What a job tells, as it goes',
        description:
          'Server-sent events: `state`, `step` (loss by rank, rate, seconds left), `validation`, `evaluation`, `written`. Ends with ' +
          'the job. `Last-Event-ID` goes on after that event.',
        tags: ['training'],
        params: Id,
        headers: Watch,
        response: {
          200: { description: 'Server-sent events', content: { 'text/event-stream': { schema: z.string() } } },
          ...failures,
          503: problemResponse('This server trains nothing'),
        },
      },
    },
    async ({ params, headers }, reply) => {
      const opened = await queue()
      await opened.get(params.id)
      const after = Number(headers['last-event-id'] ?? 0)
      const events = follow(opened, params.id, Number.isSafeInteger(after) ? after : 0, disconnectSignal(reply))
      return reply
        .type('text/event-stream')
        .header('cache-control', 'no-cache')
        .serializer((body: unknown) => body as string)
        .send(Readable.from(withHeartbeat(events, heartbeatMs)) as unknown as string)
    },
  )
  app.delete(
    '/jobs/:id',
    {
      config: { admin: true },
      schema: {
        operationId: 'cancelJob',
        summary: 'Cancel a job that waits or runs',
        tags: ['training'],
        params: Id,
        response: {
          200: json('The job, cancelled', JobView),
          ...failures,
          409: problemResponse('It is over'),
          503: problemResponse('This server trains nothing'),
        },
      },
    },
    async ({ params }) => view(await (await queue()).cancel(params.id)),
  )
  app.post(
    '/jobs/:id/retry',
    {
      config: { admin: true },
      schema: {
        operationId: 'retryJob',
        summary: 'Go on with a job that failed or was cancelled, from its checkpoint',
        tags: ['training'],
        params: Id,
        response: {
          200: json('The job, queued', JobView),
          ...failures,
          409: problemResponse('It did not fail'),
          503: problemResponse('This server trains nothing'),
        },
      },
    },
    async ({ params }) => view(await (await queue()).retry(params.id, service().options.maxQueued)),
  )
}

const lookEveryMs = 500

/** Events as they come, until the job is over and everything told. */
async function* follow(queue: JobQueue, id: string, after: number, signal: AbortSignal): AsyncGenerator<string> {
  let last = after
  while (!signal.aborted) {
    const { state } = await queue.get(id)
    const events = await queue.events(id, last)
    for (const event of events) {
      last = event.id
      yield frame(event)
    }
    if (events.length === 0 && isOver(state)) return
    if (events.length === 0) await new Promise((resolve) => setTimeout(resolve, lookEveryMs))
  }
}

const frame = ({ id, type, data, at }: JobEvent): string =>
  `id:${id}\nevent:${type}\ndata:${JSON.stringify({ ...data, at: at.toISOString() })}\n\n`
