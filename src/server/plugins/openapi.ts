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
        tags: [
          { name: 'inference', description: 'Text, at a rank' },
          {
            name: 'openai',
            description: 'The same for clients of OpenAI and vLLM; errors are `{error: {message, type, param, code}}`',
          },
          { name: 'adapters', description: 'What each rank is worth and costs' },
          { name: 'operation', description: 'For orchestrators and dashboards' },
        ],
      },
      transform: jsonSchemaTransform,
      transformObject: (input) => withoutUnused(jsonSchemaTransformObject(input) as Document) as OpenAPIV3_1.Document,
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
