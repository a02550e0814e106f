/** Failures as OpenAI's clients expect them, on every route under `/v1`. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { type ProblemDocument, problemOf, tellFailure } from '../problem.ts'

const errorKinds = [
  'invalid_request_error',
  'authentication_error',
  'permission_error',
  'not_found_error',
  'rate_limit_error',
  'server_error',
] as const

const OpenAiError = z
  .object({
    error: z.object({
      message: z.string().describe('What happened, with expected and got'),
      type: z.enum(errorKinds),
      param: z.string().nullable().describe('The field that it is about'),
      code: z.string().nullable().describe('What clients switch on'),
    }),
  })
  .meta({ id: 'OpenAiError' })

type OpenAiError = z.infer<typeof OpenAiError>

export const isOpenAiPath = (url: string): boolean => /^\/v1(\/|\?|$)/.test(url)

/** How a failure is declared in the OpenAPI document. */
export const openAiFailure = (description: string) => ({
  description,
  content: { 'application/json': { schema: OpenAiError } },
})

const KINDS: Readonly<Record<number, (typeof errorKinds)[number]>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  429: 'rate_limit_error',
}

/** Where OpenAI has a code of its own. */
const CODES: Readonly<Record<string, string>> = {
  'adapter-not-found': 'model_not_found',
  overloaded: 'rate_limit_exceeded',
}

/** The fields of `/v1` by what the engine calls them. */
const PARAMS: Readonly<Record<string, string>> = { inputs: 'prompt', max_new_tokens: 'max_tokens' }

const BY_CODE: Readonly<Record<string, string>> = { 'adapter-not-found': 'model', 'rank-not-allowed': 'rank' }

export interface OpenAiFailure {
  readonly status: number
  readonly body: OpenAiError
}

/** Any thrown value; what the native routes answer with 422, OpenAI answers with 400. */
export function openAiErrorOf(thrown: unknown, requestId: string): OpenAiFailure {
  const problem = problemOf(thrown, requestId)
  const status = problem.status === 422 ? 400 : problem.status
  const code = problem.type.replace(/^urn:dylora:problem:/, '')
  const type = KINDS[status] ?? (status >= 500 ? 'server_error' : 'invalid_request_error')
  const message = problem.errors?.[0]?.detail === undefined ? problem.detail : sentence(problem.errors)
  return {
    status,
    body: { error: { message, type, param: paramOf(problem, code), code: CODES[code] ?? code.replaceAll('-', '_') } },
  }
}

const sentence = (mistakes: NonNullable<ProblemDocument['errors']>): string =>
  mistakes.map(({ detail, pointer, parameter }) => `${parameter ?? fieldOf(pointer ?? '')}: ${detail}`).join('; ')

function paramOf({ errors, pointer }: ProblemDocument, code: string): string | null {
  const [mistake] = errors ?? []
  const path = mistake?.pointer ?? mistake?.parameter ?? (typeof pointer === 'string' ? pointer : undefined)
  return path === undefined ? (BY_CODE[code] ?? null) : fieldOf(path) || null
}

/** `#/messages/0/role` and `/parameters/best_of` as `messages[0].role` and `best_of`. */
function fieldOf(pointer: string): string {
  const path = pointer.replace(/^#?\/?(parameters\/)?/, '')
  const name = path
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((field, part) => (/^\d+$/.test(part) ? `${field}[${part}]` : field === '' ? part : `${field}.${part}`), '')
  return PARAMS[name] ?? name
}

/** The error handler of `/v1`. */
export function sendOpenAiError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const { status, body } = openAiErrorOf(error, request.id)
  tellFailure(error, status, request, reply)
  reply
    .code(status)
    .type('application/json')
    .serializer((value: unknown) => JSON.stringify(value))
    .send(body)
}
