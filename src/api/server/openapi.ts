import swagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import type { Tidemark } from '../../engine.ts'
import { columnSchemas, type JsonSchema, Problem, recordPaths } from '../contract/index.ts'
import { sessionCookie } from './credentials.ts'

type Json = Record<string, unknown>

const problemRef = '#/components/schemas/Problem'
const methods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']

/** The plugin that looks at every route; before the first of them. */
export async function installOpenApi(app: FastifyInstance, tm: Tidemark): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Tidemark',
        version: tm.version,
        description:
          'Insert rows and ask one exact query over everything that is stored. Every error is a problem (RFC 9457) with a ' +
          '`code` that `GET /api/v1/problems` explains.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
    },
    refResolver: { buildLocalReference: (json, _base, _fragment, i) => String(json.$id ?? `schema${i}`) },
    transform: ({ schema, url, route }) => {
      const access = (route as { readonly config?: { readonly access?: string } }).config?.access
      const { 'x-access': _, ...rest } = (schema ?? {}) as Json
      return { schema: { ...rest, ...(access === undefined ? {} : { 'x-access': access }) } as never, url }
    },
  })
}

/** Serves the document: what the routes say of themselves, and for each table that has a key the routes of its rows. */
export function installOpenApiRoute(app: FastifyInstance, tm: Tidemark): void {
  let document: string | null = null
  app.get(
    '/openapi.json',
    { schema: { hide: true }, config: { access: 'public' } },
    async (_request, reply) => {
      document ??= JSON.stringify(completeDocument(app.swagger() as unknown as Json, tm))
      return reply.type('application/json; charset=utf-8').send(document)
    },
  )
}

function completeDocument(routes: Json, tm: Pick<Tidemark, 'datasets'>): Json {
  const keyed = tm.datasets.filter(({ primaryKey }) => primaryKey !== null).map(recordPaths)
  const paths = { ...(routes['paths'] as Json), ...Object.assign({}, ...keyed.map((table) => table.paths)) }
  const { $id: _, ...problem } = Problem as unknown as Json
  const components = routes['components'] as Json
  const document: Json = {
    ...routes,
    components: {
      ...components,
      schemas: {
        ...(components['schemas'] as Json),
        Problem: problem,
        ...(keyed.length === 0 ? {} : columnSchemas()),
        ...Object.assign({}, ...keyed.map((table) => table.schemas)),
      },
      responses: {
        Problem: {
          description: 'What was wrong: `code` tells it apart, `detail` says it, with the way out.',
          content: { 'application/problem+json': { schema: { $ref: problemRef } } },
        },
      },
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description:
            'An API key (`tm_…`), or a JWT where the server takes them. A server without `server.auth` asks for none.',
        },
        session: {
          type: 'apiKey',
          in: 'cookie',
          name: sessionCookie,
          description: 'Of a browser that has signed in (`POST /api/v1/session`).',
        },
      },
    },
    security: [{ bearer: [] }, { session: [] }],
    paths,
  }
  for (const path of Object.values(paths) as Json[])
    for (const method of methods) {
      const operation = path[method] as Json | undefined
      if (operation) path[method] = completeOperation(operation)
    }
  return document
}

/** Who may call it, and that it may answer with a problem. */
function completeOperation(operation: Json): Json {
  const access = operation['x-access'] as string | undefined
  const responses = Object.entries((operation['responses'] ?? {}) as Record<string, Json>).map(
    ([status, response]) =>
      [/^[45]xx$/i.test(status) ? status.toUpperCase() : status, asProblem(response)] as const,
  )
  const problem = { $ref: '#/components/responses/Problem' }
  const known = Object.fromEntries(responses)
  return {
    ...operation,
    responses: { ...known, '4XX': known['4XX'] ?? problem, '5XX': known['5XX'] ?? problem },
    ...(access === 'public' ? { security: [] } : {}),
  }
}

/** Routes say JSON of all their answers; problems have a type of their own. */
function asProblem(response: Json): Json {
  const content = response['content'] as Record<string, { readonly schema?: JsonSchema }> | undefined
  const schema = content?.['application/json']?.schema
  if (schema?.['$ref'] !== problemRef && schema?.['title'] !== 'Problem') return response
  return { ...response, content: { 'application/problem+json': { schema: { $ref: problemRef } } } }
}
