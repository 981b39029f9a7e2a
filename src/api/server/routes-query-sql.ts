import type { FastifyInstance } from 'fastify'
import Type from 'typebox'
import { TidemarkError } from '../../util/errors.ts'
import { Problem, QueryBody } from '../contract/index.ts'

/** A query as SQL, for whoever wants to take it elsewhere, or to see what an answer means. */
export function installQuerySqlRoute(app: FastifyInstance): void {
  app.post(
    '/api/v1/query/sql',
    {
      schema: {
        summary: 'The query as one statement of SQL that gives the same rows, of what is in PostgreSQL',
        description:
          'Nothing is asked. `tidemark sql` and psql run it; it calls functions of schema `tidemark` (docs/reference/sql.md). ' +
          'Relative times are of now. What has no such form is 422 TM_NO_SQL.',
        tags: ['query'],
        body: QueryBody,
        response: { 200: Type.Object({ sql: Type.String() }), '4xx': Problem, '5xx': Problem },
      },
      config: { access: 'query' },
      serializerCompiler: () => (data) => JSON.stringify(data),
    },
    async ({ body, tm }) => {
      if (typeof body !== 'object' || body === null || Array.isArray(body))
        throw new TidemarkError('TM_BODY', {
          problem: 'the body is not a JSON object',
          todo: 'send one query as JSON',
        })
      // those two are about asking it
      const { dataset, timeoutMs, cache, ...query } = body as Readonly<Record<string, unknown>>
      if (typeof dataset !== 'string')
        throw new TidemarkError('TM_QUERY', {
          path: 'dataset',
          problem: 'give the name of a dataset, e.g. "metrics.cpu"',
        })
      return { sql: tm.sqlOf(dataset, query) }
    },
  )
}
