import type { FastifyInstance } from 'fastify'
import type { Authenticator, Verified } from '../../access/index.ts'
import { isUpgrade } from './credentials.ts'

const defaultEveryMs = 5000

/**
 * WebSockets and event streams stay open for days: they are cut when the key behind them is revoked, or what was shown has expired.
 */
export function watchOpen(
  app: FastifyInstance,
  authenticator: Authenticator,
  everyMs: number = defaultEveryMs,
): void {
  const open = new Map<
    object,
    { readonly verified: Verified; readonly cut: () => void; readonly isLong: () => boolean }
  >()
  app.addHook('onRequest', async (request, reply) => {
    const { verified } = request
    if (verified === null || (verified.keyId === null && verified.expiresAt === null)) return
    const { socket } = request.raw
    const { raw } = reply
    const isSocket = isUpgrade(request)
    open.set(raw, {
      verified,
      cut: () => socket.destroy(),
      isLong: () =>
        isSocket ||
        (raw.headersSent && String(raw.getHeader('content-type')).startsWith('text/event-stream')),
    })
    const over = (): void => void open.delete(raw)
    // a response that was switched to another protocol ends with its socket
    if (isSocket) socket.once('close', over)
    else raw.once('close', over)
  })
  let looking: Promise<void> | null = null
  const look = async (): Promise<void> => {
    for (const [raw, { verified, cut, isLong }] of open) {
      if (!isLong()) continue
      try {
        if (await authenticator.isStillGood(verified)) continue
      } catch (error) {
        // what was good goes on while nobody can be asked
        app.log.warn({ err: error }, 'whether open connections are still good could not be found out')
        return
      }
      open.delete(raw)
      cut()
    }
  }
  const timer = setInterval(() => {
    looking ??= look().finally(() => {
      looking = null
    })
  }, everyMs)
  timer.unref()
  app.addHook('onClose', async () => {
    clearInterval(timer)
    await looking
  })
}
