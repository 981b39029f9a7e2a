import { readFile } from 'node:fs/promises'
import { isTidemarkError, type Tidemark } from 'tidemark'
import { createServer } from 'tidemark/server'
import { getPopularAssetTypes, getSummary } from './queries.ts'
import type config from './tidemark.config.ts'

/** Tidemark's server, which takes the tracker's events, and beside its routes a page with the tracker on it and two questions. */
export async function createSite(
  tm: Tidemark<typeof config>,
  files: { readonly page: string; readonly tracker: string },
): ReturnType<typeof createServer> {
  const app = await createServer(tm)
  // every route says who may call it
  const forAll = { config: { access: 'public' } } as const
  const forReaders = { config: { access: 'query' } } as const
  app.get('/', forAll, async (_request, reply) =>
    reply
      .type('text/html; charset=utf-8')
      // the server's own policy lets no page do anything
      .header(
        'content-security-policy',
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'unsafe-inline'",
      )
      .send(await readFile(files.page)),
  )
  app.get('/tracker.script.js', forAll, async (_request, reply) =>
    reply.type('text/javascript; charset=utf-8').send(await readFile(files.tracker)),
  )
  app.get<{ Querystring: { start?: string; end?: string } }>(
    '/api/v1/analytics/summary',
    forReaders,
    async (request, reply) => {
      const end = new Date(request.query.end ?? Date.now())
      const start = new Date(request.query.start ?? end.getTime() - 86_400_000)
      if (Number.isNaN(start.getTime()) || Number.isNaN(end.getTime()))
        return reply.code(400).send({ detail: 'start and end are times such as 2026-01-31T00:00:00Z' })
      try {
        return await getSummary(tm, start, end)
      } catch (error) {
        if (!isTidemarkError(error) || error.status >= 500) throw error
        return reply.code(error.status).send({ detail: error.message })
      }
    },
  )
  app.get('/api/v1/analytics/popular-assets', forReaders, () => getPopularAssetTypes(tm))
  return app
}
