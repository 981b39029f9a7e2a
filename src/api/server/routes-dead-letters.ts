import type { FastifyInstance, FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { DeadLetter, DeadLetterFilter, ExplainedDeadLetter } from '../../client/index.ts'
import type { ScopedTidemark } from '../../scoped.ts'
import { TidemarkError } from '../../util/errors.ts'
import {
  DeadLetterPage,
  DeadLetterQuery,
  ExplainedLetter,
  LetterChange,
  LetterChoice,
  LetterReplay,
  LetterReplayAnswer,
  LettersDeleted,
  Problem,
} from '../contract/index.ts'
import { readLetterChange, readLetterChoice, readLetterFilter } from './letter-requests.ts'
import { wholeOf } from './operators.ts'
import { requestSignal } from './request-signal.ts'

type Desk = ScopedTidemark['deadLetters']
type Found = Omit<Awaited<ReturnType<Desk['newest']>>['letters'][number], 'state'> & Pick<DeadLetter, 'state'>

interface ById {
  Params: { id: string }
}

const maxPage = 500

/** Rows that were not taken: of the caller's tenant, where he is of one. */
export function installDeadLetterRoutes(app: FastifyInstance, audit: AuditOf): void {
  const shared = { serializerCompiler: () => (data: unknown) => JSON.stringify(data) } as const
  const problems = { '4xx': Problem, '5xx': Problem }
  const tags = ['dead letters']
  const params = Type.Object({ id: Type.String() })
  const reading = { access: 'admin' } as const
  const act = { access: 'admin', isAudited: true } as const

  app.get<{ Querystring: DeadLetterFilter & { before?: string; limit?: string } }>(
    '/api/v1/dead-letters',
    {
      ...shared,
      config: reading,
      schema: {
        summary: 'Rows that were not taken, the newest first',
        tags,
        querystring: DeadLetterQuery,
        response: { 200: DeadLetterPage, ...problems },
      },
    },
    async (request, reply) => {
      const { before = null, limit = '100', ...filter } = request.query
      if (before !== null && !/^\d{1,18}$/.test(before)) notFound(before)
      const page = await request.tm.deadLetters.newest(readLetterFilter(filter, ''), {
        before,
        limit: wholeOf('limit', limit, maxPage),
        signal: requestSignal(reply),
      })
      return { ...page, letters: page.letters.map(toLetter) }
    },
  )
  app.get<ById>(
    '/api/v1/dead-letters/:id',
    {
      ...shared,
      config: reading,
      schema: {
        summary: 'What is wrong with it, what is allowed, and what to do',
        tags,
        params,
        response: { 200: ExplainedLetter, ...problems },
      },
    },
    async (request) => explain(request),
  )
  app.patch<ById>(
    '/api/v1/dead-letters/:id',
    {
      ...shared,
      config: act,
      schema: {
        summary: 'Puts another row in place of its own; replay stores it',
        tags,
        params,
        body: LetterChange,
        response: { 200: ExplainedLetter, ...problems },
      },
    },
    async (request) => {
      const row = readLetterChange(request.body)
      const { id } = await explain(request)
      const { changed, failed } = await request.tm.deadLetters.fix({ ids: [id] }, { row }, { apply: true })
      const [why] = Object.keys(failed)
      if (why !== undefined) throw new TidemarkError('TM_QUERY', { path: 'row', problem: why })
      await audit(request, 'dead-letters.fix', id, { changed })
      return explain(request)
    },
  )
  app.post(
    '/api/v1/dead-letters/replay',
    {
      ...shared,
      config: act,
      schema: {
        summary: 'Gives rows to the pipeline once more; letters of those that go in are gone',
        description:
          'However often it is sent, each row is written once. A client that goes away stops it: what went in by then is in.',
        tags,
        body: LetterReplay,
        response: { 200: LetterReplayAnswer, ...problems },
      },
    },
    async (request, reply) => {
      const { choice, onConflict } = readLetterChoice(request.body, true)
      const signal = requestSignal(reply)
      const report = await request.tm.deadLetters.replay(choice, {
        signal,
        ...(onConflict === null ? {} : { onConflict }),
      })
      await audit(request, 'dead-letters.replay', null, {
        ...shortOf(choice),
        replayed: report.replayed,
        rejected: report.rejected.count,
      })
      return report
    },
  )
  app.post(
    '/api/v1/dead-letters/delete',
    {
      ...shared,
      config: act,
      schema: {
        summary: 'Deletes letters for good: those that are named, or that match',
        tags,
        body: LetterChoice,
        response: { 200: LettersDeleted, ...problems },
      },
    },
    async (request) => {
      const { choice } = readLetterChoice(request.body, false)
      const deleted = await request.tm.deadLetters.drop(choice)
      await audit(request, 'dead-letters.drop', null, { ...shortOf(choice), deleted })
      return { deleted }
    },
  )
  app.delete<ById>(
    '/api/v1/dead-letters/:id',
    {
      ...shared,
      config: act,
      schema: { summary: 'Deletes it for good', tags, params, response: { 204: Type.Null(), ...problems } },
    },
    async (request, reply) => {
      const { id } = request.params
      const deleted = isId(id) ? await request.tm.deadLetters.drop({ ids: [id] }) : 0
      if (deleted === 0) notFound(id)
      await audit(request, 'dead-letters.drop', id, { deleted })
      return reply.code(204).send()
    },
  )
}

export type AuditOf = (
  request: FastifyRequest,
  act: string,
  subject: string | null,
  detail: Readonly<Record<string, unknown>>,
) => Promise<void>

async function explain(request: FastifyRequest<ById>): Promise<ExplainedDeadLetter> {
  const { id } = request.params
  const [letter] = isId(id) ? await request.tm.deadLetters.list({ ids: [id] }, { limit: 1 }) : []
  if (letter === undefined) return notFound(id)
  const explained = await request.tm.deadLetters.explain(id)
  const { row, problems, allowed, todo, canReplay } = explained
  return {
    ...toLetter(explained),
    ...(row === null ? {} : { row }),
    ...{ problems, allowed, todo, canReplay },
  }
}

function toLetter(letter: Found): DeadLetter {
  const { id, dataset, tenant, reason, column, value, message, source, line, state, createdAt } = letter
  const row = rowOf(letter)
  return {
    ...{ id, dataset, tenant, at: createdAt, reason, column, value, message },
    row,
    source,
    line,
    state,
  }
}

/** As it came: JSON, or the line of a file. */
function rowOf({ raw, state }: Found): unknown {
  if (raw === null || state === 'unreadable') return raw
  try {
    return JSON.parse(raw)
  } catch {
    return raw
  }
}

function isId(text: string): boolean {
  return /^\d{1,18}$/.test(text)
}

function notFound(key: string): never {
  throw new TidemarkError('TM_NOT_FOUND', { table: 'the list of dead letters', key })
}

/** Of many ids only how many. */
function shortOf({ ids, ...filter }: { readonly ids?: readonly unknown[] }): Record<string, unknown> {
  return ids === undefined ? filter : { ...filter, ids: ids.length > 20 ? ids.length : ids }
}
