/** `GET /openapi.json` and `GET /docs`: the routes' own schemas as an OpenAPI 3.1 document. */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import type { OpenAPIV3_1 } from 'openapi-types'

export interface OpenApiOptions {
  readonly version: string
}

type Document = Partial<OpenAPIV3_1.Document>

const description = `Serves a base model and its DyLoRA adapters, with the LoRA rank chosen per request.
\`/generate\` and \`/generate_stream\` take and give what a text-generation-inference client expects; the rank is ours.
Failures are RFC 9457 problem documents that also carry \`error\` and \`error_type\`.`

/** Registered before the routes, whose schemas it collects. */
export const openapi = fp<OpenApiOptions>(
  async (app, { version }) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'dylora-serve',
          version,
          description,
          license: { name: 'MIT', identifier: 'MIT' },
        },
        servers: [{ url: '/' }],
        // The empty one: where the server asks for no key.
        security: [{ apiKey: [] }, {}],
        components: {
          securitySchemes: {
            apiKey: { type: 'http', scheme: 'bearer', description: 'An API key, where the server wants one' },
          },
        },
        tags: [
          { name: 'inference', description: 'Text, at a rank' },
          {
            name: 'openai',
            description: 'The same for clients of OpenAI and vLLM; errors are `{error: {message, type, param, code}}`',
          },
          { name: 'adapters', description: 'What each rank is worth and costs' },
          { name: 'training', description: 'Adapters trained on request' },
          { name: 'operation', description: 'For orchestrators and dashboards' },
        ],
      },
      transform: jsonSchemaTransform,
      transformObject: (input) =>
        withRefusals(withoutUnused(jsonSchemaTransformObject(input) as Document)) as OpenAPIV3_1.Document,
    })
    await app.register(swaggerUi, { routePrefix: '/docs', staticCSP: true })
    app.get('/openapi.json', { schema: { hide: true } as object }, async () => app.swagger())
  },
  { name: 'openapi' },
)

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

/** Asked by machines, which have no key. */
const open: ReadonlySet<string> = new Set(['/health', '/ready', '/metrics'])

const refusals = {
  401: 'No key, or one that is not known, where the server wants one',
  403: 'The key may not do this',
  429: 'Too many requests, in all or of this key',
} as const

interface Operation {
  readonly responses?: Readonly<Record<string, unknown>>
}

/** The operation's own descriptions come first. */
const withResponses = (operation: Operation, more: Readonly<Record<string, unknown>>) => ({
  ...operation,
  responses: { ...more, ...operation.responses },
})

/** What may meet any request before its route is reached. */
function withRefusals(document: Document): Document {
  const paths = Object.entries(document.paths ?? {}).map(([path, item]) => {
    if (open.has(path)) return [path, item]
    const schema = { $ref: `#/components/schemas/${path.startsWith('/v1') ? 'OpenAiError' : 'Problem'}` }
    const type = path.startsWith('/v1') ? 'application/json' : 'application/problem+json'
    const added = Object.entries(refusals).map(([status, description]) => [
      status,
      { description, content: { [type]: { schema } } },
    ])
    const operations = Object.entries(item ?? {}).map(([method, operation]) => [
      method,
      withResponses(operation as Operation, Object.fromEntries(added)),
    ])
    return [path, Object.fromEntries(operations)]
  })
  return { ...document, paths: Object.fromEntries(paths) }
}
