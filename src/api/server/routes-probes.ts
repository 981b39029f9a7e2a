import type { FastifyInstance } from 'fastify'
import type { Tidemark } from '../../engine.ts'
import { Liveness, Readiness } from '../contract/index.ts'

/** For so long an answer serves everybody who asks: the route is open to all. */
const maxAgeMs = 1000
const timeoutMs = 3000

type Checks = Awaited<ReturnType<Tidemark['readiness']>>

/** Whether the process runs, and whether it can answer: two questions, because only the first one is a reason to restart it. */
export function installProbeRoutes(app: FastifyInstance, tm: Tidemark): void {
  const startedAt = performance.now()
  let kept: { readonly at: number; readonly checks: Promise<Checks> } | null = null
  const readiness = (): Promise<Checks> => {
    if (kept === null || performance.now() - kept.at > maxAgeMs) {
      const checks = tm.readiness({ signal: AbortSignal.timeout(timeoutMs) })
      kept = { at: performance.now(), checks }
    }
    return kept.checks
  }
  app.get(
    '/healthz',
    {
      config: { access: 'public', isQuiet: true },
      schema: {
        summary: 'Whether the process runs; asks nobody else',
        tags: ['operations'],
        response: { 200: Liveness },
      },
      serializerCompiler: () => (data) => JSON.stringify(data),
    },
    async () => ({
      status: 'ok',
      version: tm.version,
      uptimeMs: Math.round(performance.now() - startedAt),
    }),
  )
  app.get(
    '/readyz',
    {
      config: { access: 'public', isQuiet: true },
      schema: {
        summary:
          'Whether requests can be answered: database, catalog, datasets, spool; with what to do where not',
        tags: ['operations'],
        response: { 200: Readiness, 503: Readiness },
      },
      serializerCompiler: () => (data) => JSON.stringify(data),
    },
    async (_request, reply) => {
      const checks = await readiness()
      const isReady = checks.every(({ ok }) => ok)
      return reply.code(isReady ? 200 : 503).send({ status: isReady ? 'ready' : 'not ready', checks })
    },
  )
}
