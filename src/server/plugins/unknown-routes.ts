/** What no route answers: 405 with `Allow` for a wrong method, 204 for OPTIONS, 404 for the rest. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { httpError } from '../problem.ts'

/** Registered before all routes, to see every one of them. */
export const unknownRoutes = fp(
  async (app) => {
    const methods = new Map<string, Set<string>>()
    app.addHook('onRoute', ({ url, method }) => {
      const known = methods.get(url) ?? new Set()
      for (const one of [method].flat()) known.add(one)
      methods.set(url, known)
    })

    const allowedAt = (path: string): string[] =>
      [...methods].flatMap(([pattern, known]) => (pathPattern(pattern).test(path) ? [...known] : []))

    app.setNotFoundHandler((request: FastifyRequest, reply: FastifyReply) => {
      const path = request.url.split('?')[0] ?? ''
      const allowed = allowedAt(path)
      if (allowed.length === 0) throw httpError(404, `There is nothing at this address: see /docs`)
      reply.header('allow', [...new Set([...allowed, 'OPTIONS'])].join(', '))
      if (request.method === 'OPTIONS') return reply.code(204).send()
      throw httpError(405, `${request.method} is not allowed here: expected ${allowed.join(' or ')}`)
    })
  },
  { name: 'unknown-routes' },
)

/** `/adapters/:id` matches one segment, `*` the rest. */
function pathPattern(route: string): RegExp {
  const source = route
    .replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replaceAll(/:[^/]+/g, '[^/]+')
    .replaceAll('*', '.*')
  return new RegExp(`^${source}/?$`)
}
