import type { FastifyInstance } from 'fastify'

/**
 * `app.close()` takes no more requests and waits for those that run; after `timeoutMs` their connections are cut, so that it always
 * comes to an end.
 */
export function boundClose(app: FastifyInstance, timeoutMs: number): void {
  let isClosing = false
  app.addHook('preClose', async () => {
    isClosing = true
    const { server } = app
    if (!server.listening) return
    const timer = setTimeout(() => {
      app.log.warn({ timeoutMs }, 'requests still run after the time for closing; their connections are cut')
      server.closeAllConnections()
    }, timeoutMs)
    timer.unref()
    server.once('close', () => clearTimeout(timer))
  })
  // otherwise the client keeps the connection for its next request, and the server waits for it
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (isClosing) reply.header('connection', 'close')
    done(null, payload)
  })
}
