import type { FastifyInstance } from 'fastify'
import type { AuditLog } from '../../access/index.ts'
import { withoutSecrets } from '../../access/index.ts'
import { actorOf } from './access.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What the route does is in the audit log already when it answers with success. */
    readonly isAudited?: boolean
  }
}

/** Routes of administrators that change something: who called which, and what came of it, is in the audit log. */
export function auditActs(app: FastifyInstance, audit: AuditLog): void {
  // those that are being written when the server closes
  const open = new Set<Promise<void>>()
  app.addHook('onResponse', async (request, reply) => {
    const { config, url, method } = request.routeOptions
    const isAct = config?.access === 'admin' && request.method !== 'GET' && request.method !== 'HEAD'
    if (!isAct || request.is404) return
    // nobody is known whom it could name; the log of the server has it
    if (reply.statusCode === 401) return
    if (config.isAudited === true && reply.statusCode < 400) return
    const params = Object.values((request.params ?? {}) as Record<string, string>)
    const written = audit
      .record(actorOf(request), {
        act: `${Array.isArray(method) ? request.method : method} ${url}`,
        subject: params.length === 0 ? null : withoutSecrets(params.join(' ')),
        outcome: reply.statusCode < 400 ? 'done' : reply.statusCode < 500 ? 'refused' : 'failed',
        detail: { status: reply.statusCode },
      })
      .catch((error: unknown) =>
        request.log.error({ err: error }, 'an act could not be written to the audit log'),
      )
    open.add(written)
    void written.then(() => open.delete(written))
  })
  app.addHook('onClose', async () => {
    await Promise.all(open)
  })
}
