import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { Principal } from '../../access/index.ts'
import type { OpenShare, ShareRules } from '../../boards/index.ts'
import type { Tidemark } from '../../engine.ts'
import type { Answer } from '../../query/index.ts'
import { scopedTo } from '../../scoped.ts'
import { TidemarkError } from '../../util/errors.ts'
import { toJsonText } from '../../util/json.ts'
import { Problem, QueryAnswer, SharedBoardAnswer, SharedQuestionBody } from '../contract/index.ts'
import { actorOf } from './access.ts'
import { answerQuery } from './cache-query.ts'

interface ByToken {
  Params: { token: string }
}

declare module 'fastify' {
  interface FastifyRequest {
    /** The link that the request came by; null: by none. */
    share: OpenShare | null
  }
}

const url = '/api/v1/shared/:token'
/** Two ends of a range. */
const bodyLimit = 16 * 1024

/** What somebody sees who has a link to a board, and no key: the board, and answers of its panels. */
export function installSharedRoutes(app: FastifyInstance, tm: Tidemark): void {
  const problems = { '4xx': Problem, '5xx': Problem }
  const config = { access: 'public' } as const
  const tags = ['boards']
  const rules = rulesOf(tm)
  app.decorateRequest('share', null)
  // before anything of a body is read
  const onRequest = (request: FastifyRequest, reply: FastifyReply): Promise<void> =>
    enter(tm, rules, request as FastifyRequest<ByToken>, reply)
  const token = Type.String({ description: 'Of the link.' })

  app.get<ByToken>(
    url,
    {
      config,
      onRequest,
      serializerCompiler: () => (data: unknown) => JSON.stringify(data),
      schema: {
        summary: 'The board of a link; needs no key',
        tags,
        security: [],
        params: Type.Object({ token }),
        response: { 200: SharedBoardAnswer, ...problems },
      },
    },
    async (request) => {
      const share = request.share as OpenShare
      if (await share.opened())
        await tm.access.audit.record(actorOf(request), {
          act: 'board.open',
          subject: share.boardId,
          outcome: 'done',
        })
      return share.board
    },
  )
  app.post<{ Params: { token: string; panel: string } }>(
    `${url}/panels/:panel`,
    {
      config,
      onRequest,
      bodyLimit,
      serializerCompiler: () => (data) => (typeof data === 'string' ? data : toJsonText(data)),
      schema: {
        summary: 'The answer of one panel of the board of a link; needs no key',
        tags,
        security: [],
        params: Type.Object({ token, panel: Type.String() }),
        body: SharedQuestionBody,
        response: { 200: QueryAnswer, ...problems },
      },
    },
    async (request, reply) => {
      const { dataset, query } = (request.share as OpenShare).ask(request.params.panel, request.body)
      const answer = await answerQuery(request, reply, {
        layer: 'dashboard',
        definition: request.tm.queryable(dataset),
        query,
        timeoutMs: null,
        ask: (signal): Promise<Answer> => request.tm.queryUnknown(dataset, query, { signal }),
      })
      return reply.type('application/json; charset=utf-8').send(answer)
    },
  )
}

/** From here on the request is of somebody who may see what the link shows, and nothing else. */
async function enter(
  tm: Tidemark,
  rules: ShareRules,
  request: FastifyRequest<ByToken>,
  reply: FastifyReply,
): Promise<void> {
  const { rateLimits } = request.server
  // of a request that is refused the body is not read, to its end neither
  if (request.raw.method === 'POST') reply.header('connection', 'close')
  // links are guessed no faster than keys
  await rateLimits.assertFewFailures(request.ip)
  let share: OpenShare
  try {
    share = await tm.openShare(request.params.token, rules)
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'TM_UNKNOWN_SHARE')
      await rateLimits.countFailure(request.ip)
    throw error
  }
  const principal: Principal = {
    kind: 'share',
    id: share.id,
    name: null,
    tenant: share.scope,
    scopes: new Set(['query']),
    datasets: share.datasets,
  }
  request.principal = principal
  request.tm = scopedTo(tm, share.scope, share.datasets)
  request.share = share
  await rateLimits.takeShare(request, reply)
  reply.removeHeader('connection')
}

function rulesOf({ config }: Tidemark): ShareRules {
  const { auth } = config.server
  if (auth === null || auth === 'none') return { anonymous: true, keys: true, tokens: true }
  return { anonymous: false, keys: auth.keys, tokens: auth.jwt !== null }
}
