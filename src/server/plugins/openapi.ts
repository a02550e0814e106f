/** `GET /openapi.json` and `GET /docs`: the routes' own schemas as an OpenAPI 3.1 document. */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import type { OpenAPIV3_1 } from 'openapi-types'
import { type Document, finished } from '../openapi-transforms.ts'

export interface OpenApiOptions {
  readonly version: string
}

const description = `Serves a base model and its DyLoRA adapters, with the LoRA rank chosen per request.
\`/generate\` and \`/generate_stream\` take and give what a text-generation-inference client expects; the rank is ours.
Failures are RFC 9457 problem documents that also carry \`error\` and \`error_type\`.`

/** The server speaks plain HTTP, on which the page must not ask for its files by HTTPS; nor does it ask anybody else for any. */
const plainHttpPolicy = (policy: string): string =>
  policy.replace(/ ?upgrade-insecure-requests;?| https:| validator\.swagger\.io/g, '')

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
      transformObject: (input) => finished(jsonSchemaTransformObject(input) as Document) as OpenAPIV3_1.Document,
    })
    await app.register(swaggerUi, {
      routePrefix: '/docs',
      staticCSP: true,
      transformStaticCSP: plainHttpPolicy,
    })
    app.get('/openapi.json', { schema: { hide: true } as object }, async () => app.swagger())
  },
  { name: 'openapi' },
)
