/** What is done to the OpenAPI document that the routes' schemas give, before anybody sees it. */
import type { OpenAPIV3_1 } from 'openapi-types'
import { exchanges, failureExample } from './openapi-examples.ts'

export type Document = Partial<OpenAPIV3_1.Document>

interface Content {
  readonly schema?: unknown
  readonly example?: unknown
}

interface Body {
  readonly content?: Readonly<Record<string, Content>>
}

interface Operation {
  readonly operationId?: string
  readonly requestBody?: Body
  readonly responses?: Readonly<Record<string, Body>>
}

export const finished = (document: Document): Document => withExamples(withForm(withRefusals(withoutUnused(document))))

/** Every schema comes in an input and an output form; keeps those that something refers to. */
function withoutUnused(document: Document): Document {
  const all = document.components?.schemas ?? {}
  const used = new Set<string>()
  const visit = (value: unknown): void => {
    for (const [, name] of JSON.stringify(value ?? null).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (name === undefined || used.has(name)) continue
      used.add(name)
      visit(all[name])
    }
  }
  visit(document.paths)
  const schemas = Object.fromEntries(Object.entries(all).filter(([name]) => used.has(name)))
  return { ...document, components: { ...document.components, schemas } }
}

function mapOperations(document: Document, change: (operation: Operation, path: string) => Operation): Document {
  const paths = Object.entries(document.paths ?? {}).map(([path, item]) => [
    path,
    Object.fromEntries(
      Object.entries(item ?? {}).map(([method, operation]) => [method, change(operation as Operation, path)]),
    ),
  ])
  return { ...document, paths: Object.fromEntries(paths) }
}

/** Asked by machines, which have no key. */
const open: ReadonlySet<string> = new Set(['/health', '/ready', '/metrics'])

const refusals = {
  401: 'No key, or one that is not known, where the server wants one',
  403: 'The key may not do this',
  429: 'Too many requests, in all or of this key',
} as const

/** What may meet any request before its route is reached; the operation's own descriptions come first. */
const withRefusals = (document: Document): Document =>
  mapOperations(document, (operation, path) => {
    if (open.has(path)) return operation
    const schema = { $ref: `#/components/schemas/${path.startsWith('/v1') ? 'OpenAiError' : 'Problem'}` }
    const type = path.startsWith('/v1') ? 'application/json' : 'application/problem+json'
    const added = Object.entries(refusals).map(([status, description]) => [
      status,
      { description, content: { [type]: { schema } } },
    ])
    return { ...operation, responses: { ...Object.fromEntries(added), ...operation.responses } }
  })

const lines = (description: string) => ({ type: 'string', contentMediaType: 'application/jsonl', description })

/** Routes have one schema for a body; a job's is a form too, of that JSON and its files. */
const withForm = (document: Document): Document =>
  mapOperations(document, (operation) => {
    const content = operation.requestBody?.content ?? {}
    const { 'application/json': json, 'multipart/form-data': form } = content
    if (json?.schema === undefined || form === undefined) return operation
    const schema = {
      type: 'object',
      required: ['job', 'data'],
      properties: {
        job: json.schema,
        data: lines('What is trained on: `{"context", "completion"}` a line'),
        validation: lines('What every rank is measured on, in the same form'),
      },
    }
    const encoding = {
      job: { contentType: 'application/json' },
      data: { contentType: 'application/jsonl' },
      validation: { contentType: 'application/jsonl' },
    }
    const multipart = { schema, encoding }
    return {
      ...operation,
      requestBody: { ...operation.requestBody, content: { ...content, 'multipart/form-data': multipart } },
    }
  })

/** Each body has one example. */
const withExamples = (document: Document): Document =>
  mapOperations(document, (operation, path) => {
    const { request, reply } = exchanges[operation.operationId ?? ''] ?? { request: undefined, reply: {} }
    const responses = Object.entries(operation.responses ?? {}).map(([status, response]) => [
      status,
      bodyWith(response, (type) => (status.startsWith('2') ? reply[type] : failureExample(path, Number(status)))),
    ])
    const requestBody =
      operation.requestBody && bodyWith(operation.requestBody, (type) => requestExample(type, request))
    return { ...operation, ...(requestBody && { requestBody }), responses: Object.fromEntries(responses) }
  })

function bodyWith(body: Body, exampleOf: (type: string) => unknown): Body {
  if (body.content === undefined) return body
  const content = Object.entries(body.content).map(([type, media]) => {
    const example = exampleOf(type)
    return [type, example === undefined ? media : { ...media, example }]
  })
  return { ...body, content: Object.fromEntries(content) }
}

function requestExample(type: string, request: unknown): unknown {
  if (type !== 'multipart/form-data') return request
  const { dataset: _, ...job } = request as Record<string, unknown>
  const example = '{"context": "name : The Vaults | Type : pub", "completion": "The Vaults is a pub ."}\n'
  return { job, data: example, validation: example }
}
