import type { FastifyInstance } from 'fastify'

/**
 * `app.close()` takes no more requests and waits for those that run; after `timeoutMs` their connections are cut, so that it always
 * comes to an end.
 */
export function boundClose(app: FastifyInstance, timeoutMs: number): void {
  app.addHook('preClose', async () => {
    const { server } = app
    if (!server.listening) return
    const timer = setTimeout(() => {
      app.log.warn({ timeoutMs }, 'requests still run after the time for closing; their connections are cut')
      server.closeAllConnections()
    }, timeoutMs)
    timer.unref()
    server.once('close', () => clearTimeout(timer))
  })
}
