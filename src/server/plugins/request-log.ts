/** One log line a request, and its id on every reply. Prompts and completions are never logged. */
import fp from 'fastify-plugin'

/** Asked every few seconds by machines: only their failures are worth a line. */
const quiet: ReadonlySet<string> = new Set(['/health', '/ready', '/metrics'])

export const requestLog = fp(
  async (app) => {
    app.addHook('onRequest', async (request, reply) => {
      reply.header('x-request-id', request.id)
    })
    app.addHook('onResponse', async (request, reply) => {
      // The pattern, not the URL: what a client put into it is its own.
      const route = request.routeOptions.url ?? 'unknown'
      const level = quiet.has(route) && reply.statusCode < 400 ? 'debug' : 'info'
      const { method } = request
      request.log[level](
        {
          method,
          route,
          status: reply.statusCode,
          adapter: reply.getHeader('x-adapter-id'),
          rank: reply.getHeader('x-adapter-rank'),
          durationMs: Math.round(reply.elapsedTime * 100) / 100,
        },
        'request done',
      )
    })
  },
  { name: 'request-log' },
)
