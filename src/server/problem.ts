/** Failures as RFC 9457 problem documents that a text-generation-inference client understands too. */
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { DyloraError, type ErrorCode, errors } from '../errors.ts'

/** The status of every failure that a request can meet. */
export const STATUS: Readonly<Record<ErrorCode, number>> = {
  validation: 422,
  rank_not_allowed: 422,
  adapter_not_found: 404,
  adapter_invalid: 422,
  dataset_invalid: 422,
  checkpoint_invalid: 422,
  job_not_found: 404,
  conflict: 409,
  too_large: 413,
  storage_full: 507,
  unauthorized: 401,
  forbidden: 403,
  overloaded: 429,
  cancelled: 499,
  generation: 500,
  base_model_invalid: 500,
  configuration_invalid: 500,
  device_unavailable: 503,
  not_ready: 503,
}

export const errorTypes = [
  'validation',
  'adapter_not_found',
  'adapter_invalid',
  'unauthorized',
  'overloaded',
  'not_ready',
  'generation',
] as const
type ErrorType = (typeof errorTypes)[number]

/** What a text-generation-inference client switches on. */
const ERROR_TYPE: Readonly<Record<ErrorCode, ErrorType>> = {
  validation: 'validation',
  rank_not_allowed: 'validation',
  adapter_not_found: 'adapter_not_found',
  adapter_invalid: 'adapter_invalid',
  dataset_invalid: 'validation',
  checkpoint_invalid: 'validation',
  job_not_found: 'validation',
  conflict: 'validation',
  too_large: 'validation',
  storage_full: 'overloaded',
  unauthorized: 'unauthorized',
  forbidden: 'unauthorized',
  overloaded: 'overloaded',
  cancelled: 'generation',
  generation: 'generation',
  base_model_invalid: 'generation',
  configuration_invalid: 'generation',
  device_unavailable: 'not_ready',
  not_ready: 'not_ready',
}

/** These 5xx speak, because they say when to come back; all others stay silent. */
const SPOKEN: ReadonlySet<ErrorCode> = new Set(['not_ready', 'storage_full'])

/** Seconds after which a refused client may try again. */
const RETRY_AFTER: Readonly<Record<number, string>> = { 429: '1', 503: '5' }

const SILENCE = 'Something went wrong here; the log has it under this request id'

export const Problem = z
  .looseObject({
    type: z.string().describe('What clients switch on, `urn:dylora:problem:<code>`'),
    title: z.string().describe('The type in words'),
    status: z.int().min(400).max(599).describe('The HTTP status'),
    detail: z.string().describe('What happened, with expected and got'),
    instance: z.string().describe('The request id, found in the log'),
    error: z.string().describe('Same as detail, for text-generation-inference clients'),
    error_type: z.enum(errorTypes).describe('The kind of failure, for text-generation-inference clients'),
    errors: z
      .array(z.object({ detail: z.string(), pointer: z.string().optional(), parameter: z.string().optional() }))
      .optional()
      .describe('Every mistake: a JSON pointer into the body, or the name of a query parameter'),
  })
  .meta({ id: 'Problem', description: 'RFC 9457 problem details; facts of the failure are further members' })

export type ProblemDocument = z.infer<typeof Problem>

/** How a failure is declared in the OpenAPI document. */
export const problemResponse = (description: string) => ({
  description,
  content: { 'application/problem+json': { schema: Problem } },
})

interface Described {
  readonly code: string
  readonly status: number
  readonly errorType: ErrorType
  readonly detail: string
  readonly facts: Readonly<Record<string, unknown>>
}

function render({ code, status, errorType, detail, facts }: Described, instance: string): ProblemDocument {
  return {
    ...facts,
    type: `urn:dylora:problem:${code.replaceAll('_', '-')}`,
    title: code.replaceAll('_', ' '),
    status,
    detail,
    instance,
    error: detail,
    error_type: errorType,
  }
}

/** Any thrown value as a problem document; what is no `DyloraError` and no 4xx of the HTTP layer is a silent 500. */
export function problemOf(thrown: unknown, requestId: string): ProblemDocument {
  return render(describe(asDyloraError(thrown)), requestId)
}

function describe(error: unknown): Described {
  if (error instanceof DyloraError) {
    const status = STATUS[error.code]
    const spoken = status < 500 || SPOKEN.has(error.code)
    return {
      code: error.code,
      status,
      errorType: ERROR_TYPE[error.code],
      detail: spoken ? error.message : SILENCE,
      facts: spoken ? error.facts : {},
    }
  }
  const status = httpStatus(error)
  const known = HTTP_CODES[status]
  if (known === undefined) return { code: 'internal', status: 500, errorType: 'generation', detail: SILENCE, facts: {} }
  return { code: known, status, errorType: 'validation', detail: (error as Error).message, facts: {} }
}

/** What the HTTP layer itself refuses, before a route sees it. */
const HTTP_CODES: Readonly<Record<number, string>> = {
  400: 'bad_request',
  404: 'route_not_found',
  405: 'method_not_allowed',
  408: 'request_timeout',
  413: 'body_too_large',
  414: 'uri_too_long',
  415: 'unsupported_media_type',
  431: 'headers_too_large',
}

const httpStatus = (error: unknown): number =>
  error instanceof Error && 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 500

/** A body may hold any number of mistakes of any length; the reply may not. */
const shown = { mistakes: 20, characters: 200 }

/** Schema validation failures, given as the one `validation` error with a list of mistakes. */
function asDyloraError(error: unknown): unknown {
  if (!hasZodFastifySchemaValidationErrors(error)) return error
  const inBody = (error as Partial<FastifyError>).validationContext === 'body'
  const mistakes = error.validation
    .flatMap(({ instancePath, message, params }) => mistakesOf(instancePath, message ?? 'invalid', params.keys))
    .slice(0, shown.mistakes)
    .map(({ detail, path }) => ({ detail, ...(inBody ? { pointer: `#${path}` } : { parameter: path.slice(1) }) }))
  return errors.validation(mistakes.map(sentence).join('; '), { errors: mistakes })
}

interface Mistake {
  readonly detail: string
  /** As a JSON pointer. */
  readonly path: string
}

/** Unknown keys are reported together at their parent; here each is a mistake of its own. */
function mistakesOf(instancePath: string, message: string, keys: unknown): Mistake[] {
  const parent = instancePath === '/' ? '' : instancePath
  if (!Array.isArray(keys)) return [{ detail: message.slice(0, shown.characters), path: parent }]
  return keys.map((key) => ({ detail: 'unknown key', path: `${parent}/${escapePointer(String(key))}` }))
}

const sentence = ({ detail, pointer, parameter }: { detail: string; pointer?: string; parameter?: string }): string =>
  `${parameter ?? pointer}: ${detail}`

/** RFC 6901. */
const escapePointer = (key: string): string =>
  key.slice(0, shown.characters).replaceAll('~', '~0').replaceAll('/', '~1')

/** Logs what is our fault, and says when to come back. */
export function tellFailure(error: unknown, status: number, request: FastifyRequest, reply: FastifyReply): void {
  if (status >= 500 && status !== 503) request.log.error({ err: error }, 'request failed')
  const retryAfter = RETRY_AFTER[status]
  if (retryAfter !== undefined && !reply.hasHeader('retry-after')) reply.header('retry-after', retryAfter)
}

/** The application's error handler: logs 5xx with the error, sends the document. */
export function sendProblem(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const problem = problemOf(error, request.id)
  tellFailure(error, problem.status, request, reply)
  // Serialised here, so that no response schema of the route can get in the way of its failures.
  reply
    .code(problem.status)
    .type('application/problem+json')
    .serializer((value: unknown) => JSON.stringify(value))
    .send(problem)
}

/** What the HTTP layer refuses, in the form in which Fastify throws. */
export const httpError = (statusCode: number, message: string): Error =>
  Object.assign(new Error(message), { statusCode })
