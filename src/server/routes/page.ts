/** `GET /`: the page that shows ranks, as `npm run build` made it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyPluginAsync } from 'fastify'

export interface PageOptions {
  /** Where its files are; null, or a place without them, leaves `/` to the documentation. */
  readonly directory: string | null
}

/** Nothing but this server's own files, no frame around it, no script or style in the document. */
const contentSecurityPolicy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const headers = {
  'content-security-policy': contentSecurityPolicy,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
} as const

export const pageRoutes: FastifyPluginAsync<PageOptions> = async (app, { directory }) => {
  if (directory === null || !existsSync(join(directory, 'index.html'))) {
    app.get('/', { schema: { hide: true } as object }, (_request, reply) => reply.redirect('/docs'))
    return
  }
  await app.register(fastifyStatic, {
    root: directory,
    // Of the document only, and of what it names: nothing else in the directory has a route.
    wildcard: false,
    globIgnore: ['**/*.{br,gz}'],
    // As a list: of a plain name the plugin finds no compressed form.
    index: ['index.html'],
    preCompressed: true,
    cacheControl: false,
    schemaHide: true,
    decorateReply: false,
    setHeaders: (reply, path) => {
      for (const [name, value] of Object.entries(headers)) reply.header(name, value)
      // A file under assets has its content's hash in its name.
      const lasts = path.startsWith(join(directory, 'assets'))
      reply.header('cache-control', lasts ? 'public, max-age=31536000, immutable' : 'no-cache')
    },
  })
}
