import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { Board, Sharer } from '../../boards/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import {
  BoardAnswer,
  BoardBody,
  BoardSummaryAnswer,
  IssuedShareAnswer,
  Problem,
  ShareAnswer,
  ShareBody,
} from '../contract/index.ts'
import { actorOf } from './access.ts'
import { entityTag, readPrecondition } from './preconditions.ts'

interface ById {
  Params: { id: string }
}

const url = '/api/v1/boards'
/** A board has 256 KiB at most, which may be written with more spaces. */
const bodyLimit = 1024 * 1024

/** Boards of the caller's tenant, those of files, and links to them. */
export function installBoardRoutes(app: FastifyInstance): void {
  const problems = { '4xx': Problem, '5xx': Problem }
  const shared = {
    config: { access: 'query' },
    serializerCompiler: () => (data: unknown) => JSON.stringify(data),
  } as const
  const tags = ['boards']
  const params = Type.Object({ id: Type.String() })
  const about = 'docs/guide/boards.md explains every part.'

  app.get(
    url,
    {
      ...shared,
      schema: {
        summary: 'Every board, without what is on it',
        tags,
        response: { 200: Type.Object({ boards: Type.Array(BoardSummaryAnswer) }), ...problems },
      },
    },
    async (request) => ({ boards: await request.tm.boards.list() }),
  )
  app.post(
    url,
    {
      ...shared,
      bodyLimit,
      schema: {
        summary: 'A new board',
        description: about,
        tags,
        body: BoardBody,
        response: { 201: BoardAnswer, ...problems },
      },
    },
    async (request, reply) => {
      const board = await request.tm.boards.create(request.body, request.principal.id)
      return withTag(reply.code(201).header('location', `${url}/${board.id}`), board)
    },
  )
  app.get<ById>(
    `${url}/:id`,
    {
      ...shared,
      schema: { summary: 'One board', tags, params, response: { 200: BoardAnswer, ...problems } },
    },
    async (request, reply) => withTag(reply, await request.tm.boards.find(request.params.id)),
  )
  app.put<ById>(
    `${url}/:id`,
    {
      ...shared,
      bodyLimit,
      schema: {
        summary: 'Changes a board; with If-Match while it is that version',
        description: about,
        tags,
        params,
        body: BoardBody,
        response: { 200: BoardAnswer, ...problems },
      },
    },
    async (request, reply) => {
      const { id } = request.params
      const version = versionOf(request)
      return withTag(reply, await request.tm.boards.save(id, request.body, version, request.principal.id))
    },
  )
  app.delete<ById>(
    `${url}/:id`,
    {
      ...shared,
      schema: {
        summary: 'Removes a board, and ends the links to it',
        tags,
        params,
        response: { 204: Type.Null(), ...problems },
      },
    },
    async (request, reply) => {
      await request.tm.boards.remove(request.params.id, versionOf(request))
      return reply.code(204).send()
    },
  )
  app.get<ById>(
    `${url}/:id/shares`,
    {
      ...shared,
      schema: {
        summary: 'Links to a board, the newest first; never their tokens',
        tags,
        params,
        response: { 200: Type.Object({ shares: Type.Array(ShareAnswer) }), ...problems },
      },
    },
    async (request) => ({ shares: await request.tm.boards.shares(request.params.id) }),
  )
  app.post<ById>(
    `${url}/:id/shares`,
    {
      ...shared,
      schema: {
        summary:
          'A link that shows the board to whoever has it, and nothing else; its token is told this once',
        description: about,
        tags,
        params,
        body: ShareBody,
        response: { 201: IssuedShareAnswer, ...problems },
      },
    },
    async (request, reply) => {
      const share = await request.tm.boards.share(request.params.id, request.body, sharerOf(request))
      return reply.code(201).send(share)
    },
  )
  app.delete<{ Params: { id: string; share: string } }>(
    `${url}/:id/shares/:share`,
    {
      ...shared,
      schema: {
        summary: 'Ends a link, everywhere at once',
        tags,
        params: Type.Object({ id: Type.String(), share: Type.String() }),
        response: { 200: ShareAnswer, ...problems },
      },
    },
    async (request) => {
      const { id, share } = request.params
      return request.tm.boards.unshare(id, share, sharerOf(request))
    },
  )
}

function withTag(reply: FastifyReply, board: Board): Board {
  reply.header('etag', entityTag(String(board.version)))
  return board
}

/** Null: whichever it is. @throws TidemarkError TM_QUERY */
function versionOf(request: FastifyRequest): number | null {
  const precondition = readPrecondition(request)
  if (precondition.kind === 'none' || precondition.kind === 'exists') return null
  const [version] = precondition.kind === 'versions' ? precondition.versions : []
  if (version !== undefined && /^[1-9]\d{0,8}$/.test(version)) return Number(version)
  throw new TidemarkError('TM_QUERY', {
    path: 'if-match',
    problem: 'must be the version of a board, such as "3"',
  })
}

function sharerOf(request: FastifyRequest): Sharer {
  return { actor: actorOf(request), keyId: request.verified?.keyId ?? null }
}
