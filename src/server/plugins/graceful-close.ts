/** Closing waits for the requests under way and for nothing else: no idle connection holds it up. */
import fp from 'fastify-plugin'

/** Until then the server has stopped listening, and no new connection can slip in. */
const settleMs = 50

export const gracefulClose = fp(
  async (app) => {
    let active = 0
    let closing = false
    const finish = () => {
      if (closing && active === 0) app.server.closeAllConnections()
    }
    app.server.on('request', (_request, response) => {
      active += 1
      response.once('close', () => {
        active -= 1
        finish()
      })
    })
    app.addHook('preClose', async () => {
      closing = true
      // Node alone would wait for connections that never sent a request, and for the keep-alive time of busy ones.
      app.server.keepAliveTimeout = 1
      setTimeout(finish, settleMs)
    })
  },
  { name: 'graceful-close' },
)
