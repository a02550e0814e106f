/** Notices a client that goes away before its reply is complete. */
import type { FastifyReply } from 'fastify'

/**
 * Aborts when the connection closes under an unfinished reply. (`request.signal` will not do: it also aborts when the
 * body of a request has been read to its end.)
 */
export function disconnectSignal({ raw }: FastifyReply): AbortSignal {
  const controller = new AbortController()
  raw.once('close', () => {
    if (!raw.writableEnded) controller.abort()
  })
  return controller.signal
}
