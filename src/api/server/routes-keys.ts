import type { FastifyInstance, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { type Authenticator, readNewKey, readRotation } from '../../access/index.ts'
import type { Tidemark } from '../../engine.ts'
import { TidemarkError } from '../../util/errors.ts'
import {
  ApiKeyAnswer,
  AuditAnswer,
  IssuedKeyAnswer,
  NewKeyBody,
  Problem,
  RotationBody,
} from '../contract/index.ts'
import { actorOf } from './access.ts'

const maxEntries = 1000
const outcomes = ['done', 'refused', 'failed'] as const

/** API keys, and what was done by whom. A tenant's administrator has those of that tenant. */
export function installKeyRoutes(
  app: FastifyInstance,
  tm: Tidemark,
  authenticator: Authenticator | null,
): void {
  const { keys, audit } = tm.access
  const problems = { '4xx': Problem, '5xx': Problem }
  const tags = ['access']
  const asJson = { serializerCompiler: () => (data: unknown) => JSON.stringify(data) }
  const byId = Type.Object({ id: Type.String() })
  const act = { access: 'admin', isAudited: true } as const

  app.get<{ Querystring: { all?: string } }>(
    '/api/v1/keys',
    {
      schema: {
        summary: 'API keys, the newest first; never their secrets',
        tags,
        querystring: Type.Object({
          all: Type.Optional(Type.String({ description: 'true: with those that were revoked.' })),
        }),
        response: { 200: Type.Object({ keys: Type.Array(ApiKeyAnswer) }), ...problems },
      },
      config: { access: 'admin' },
      ...asJson,
    },
    async (request) => ({ keys: await keys.list(actorOf(request), { all: request.query.all === 'true' }) }),
  )
  app.post(
    '/api/v1/keys',
    {
      schema: {
        summary: 'Makes an API key; its secret is told this once',
        tags,
        body: NewKeyBody,
        response: { 201: IssuedKeyAnswer, ...problems },
      },
      config: act,
      ...asJson,
    },
    async (request, reply) => {
      const wanted = readNewKey(request.body, contextOf(request, tm))
      const datasets = wanted.datasets?.map((name) => request.tm.queryable(name).name) ?? null
      return reply.code(201).send(await keys.create({ ...wanted, datasets }, actorOf(request)))
    },
  )
  app.post<{ Params: { id: string } }>(
    '/api/v1/keys/:id/rotate',
    {
      schema: {
        summary: 'A new secret for a key; the one before goes on for a while',
        tags,
        params: byId,
        body: RotationBody,
        response: { 200: IssuedKeyAnswer, ...problems },
      },
      config: act,
      ...asJson,
    },
    async (request) => {
      const { id } = request.params
      const issued = await keys.rotate(id, actorOf(request), readRotation(request.body))
      authenticator?.forget(id)
      return issued
    },
  )
  app.delete<{ Params: { id: string } }>(
    '/api/v1/keys/:id',
    {
      schema: {
        summary: 'Ends a key for good: here at once, in other processes within seconds',
        tags,
        params: byId,
        response: { 200: ApiKeyAnswer, ...problems },
      },
      config: act,
      ...asJson,
    },
    async (request) => {
      const { id } = request.params
      const revoked = await keys.revoke(id, actorOf(request))
      authenticator?.forget(id)
      return revoked
    },
  )
  app.get<{
    Querystring: Partial<Record<'limit' | 'before' | 'act' | 'actor' | 'subject' | 'outcome', string>>
  }>(
    '/api/v1/audit',
    {
      schema: {
        summary: 'What administrators did, the newest first',
        tags,
        querystring: Type.Object({
          limit: Type.Optional(
            Type.Integer({ minimum: 1, maximum: maxEntries, description: 'Default 100.' }),
          ),
          before: Type.Optional(Type.String({ description: '`next` of the page before.' })),
          act: Type.Optional(Type.String({ description: 'Of this kind alone: `key.create`.' })),
          actor: Type.Optional(Type.String({ description: 'Of this key, subject or user alone.' })),
          subject: Type.Optional(Type.String({ description: 'Done to this alone: the id of a key.' })),
          outcome: Type.Optional(Type.Union(outcomes.map((one) => Type.Literal(one)))),
        }),
        response: { 200: AuditAnswer, ...problems },
      },
      config: { access: 'admin' },
      ...asJson,
    },
    async (request) => {
      const { before = null, act: kind = null, actor = null, subject = null } = request.query
      const limit = wholeOf('limit', request.query.limit ?? '100', maxEntries)
      const outcome = outcomeOf(request.query.outcome)
      if (before !== null) wholeOf('before', before, Number.MAX_SAFE_INTEGER)
      const entries = await audit.list(actorOf(request), {
        limit,
        before,
        act: kind,
        actor,
        subject,
        outcome,
      })
      return { entries, next: entries.length === limit ? (entries.at(-1)?.id ?? null) : null }
    },
  )
}

function contextOf(request: FastifyRequest, tm: Tidemark) {
  return {
    now: tm.now(),
    tenant: request.principal.tenant,
    hasTenants: tm.datasets.some(({ tenant }) => tenant !== null),
  }
}

function outcomeOf(text: string | undefined): (typeof outcomes)[number] | null {
  if (text === undefined) return null
  const outcome = outcomes.find((one) => one === text)
  if (outcome !== undefined) return outcome
  throw new TidemarkError('TM_QUERY', {
    path: 'outcome',
    problem: `"${text}" is not one of ${outcomes.join(', ')}`,
  })
}

function wholeOf(path: string, text: string, most: number): number {
  const value = Number(text)
  if (/^[1-9]\d*$/.test(text) && value <= most) return value
  throw new TidemarkError('TM_QUERY', { path, problem: `must be a whole number from 1 to ${most}` })
}
