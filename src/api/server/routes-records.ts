import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { CachedAnswer } from '../../cache/index.ts'
import {
  type BulkInput,
  type KeyInput,
  type ListAnswer,
  type RecordSet,
  readListParameters,
  type StoredRecord,
} from '../../records/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { toJsonText } from '../../util/json.ts'
import { answerCached } from './cache-answer.ts'
import { entityTag, isKnown, readPrecondition } from './preconditions.ts'
import { requestSignal } from './request-signal.ts'
import { reserveRoom } from './reserve-room.ts'

/** A page of times that are relative to now stands still that long at most: rows that have left its window are still on it. */
const movingMs = 10_000

interface OfDataset {
  Params: { dataset: string }
}

const list = '/api/v1/datasets/:dataset/records'
/** Not a parameter: those are decoded before their commas could be told apart, and at most 100 characters long. */
const one = `${list}/*`
const bulk = '/api/v1/datasets/:dataset/bulk'

/**
 * Rows by their key. The OpenAPI document has these routes for each table, with its columns (src/api/contract/record-paths.ts), and
 * not as they are here.
 */
export function installRecordRoutes(app: FastifyInstance): void {
  const options = (access: 'query' | 'ingest') => ({
    schema: { hide: true },
    config: { access },
  })

  app.get<OfDataset>(list, options('query'), async (request, reply) => {
    const { body } = await answerList(request, request.tm.records(request.params.dataset), reply)
    return reply.type('application/json; charset=utf-8').send(body)
  })

  app.get<OfDataset>(one, options('query'), async (request, reply) => {
    const records = request.tm.records(request.params.dataset)
    const record = await records.get(keyOf(request, records), { signal: requestSignal(reply) })
    reply.header('etag', entityTag(record.version))
    if (isKnown(request, record.version)) return reply.code(304).send()
    return sendJson(reply, record.row)
  })

  app.post<OfDataset>(list, options('ingest'), async (request, reply) => {
    const records = request.tm.records(request.params.dataset)
    const { record } = await records.create(rowOf(request), { signal: requestSignal(reply) })
    if (record === null) return sendJson(reply.code(202), { merged: true })
    return sendRecord(reply.code(201).header('location', placeOf(records, record)), record)
  })

  app.put<OfDataset>(one, options('ingest'), async (request, reply) => {
    const records = request.tm.records(request.params.dataset)
    const key = keyOf(request, records)
    const precondition = readPrecondition(request)
    const { record, isNew } = await records.put(key, rowOf(request), precondition, {
      signal: requestSignal(reply),
    })
    if (isNew) reply.code(201).header('location', placeOf(records, record))
    return sendRecord(reply, record)
  })

  app.patch<OfDataset>(one, options('ingest'), async (request, reply) => {
    const records = request.tm.records(request.params.dataset)
    const key = keyOf(request, records)
    const precondition = readPrecondition(request)
    const record = await records.patch(key, rowOf(request), precondition, { signal: requestSignal(reply) })
    return sendRecord(reply, record)
  })

  app.delete<OfDataset>(one, options('ingest'), async (request, reply) => {
    const records = request.tm.records(request.params.dataset)
    const precondition = readPrecondition(request)
    await records.delete(keyOf(request, records), precondition, { signal: requestSignal(reply) })
    return reply.code(204).send()
  })

  app.post<OfDataset>(
    bulk,
    { ...options('ingest'), onRequest: (request, reply) => reserveRoom(request, reply) },
    async (request, reply) => {
      const records = request.tm.records(request.params.dataset)
      const answer = await records.bulk(rowOf(request) as unknown as BulkInput, {
        signal: requestSignal(reply),
      })
      const { created, updated, deleted, failed, records: found } = answer
      return sendJson(reply.code(failed.length > 0 ? 207 : 200), {
        created,
        updated,
        deleted,
        failed,
        ...(found === null
          ? {}
          : {
              rows: found.map((record) => record?.row ?? null),
              versions: found.map((record) => record?.version ?? null),
            }),
      })
    },
  )
}

/** A page that is kept (L2) is given out until a row of the table changes. */
function answerList(request: FastifyRequest, records: RecordSet, reply: FastifyReply): Promise<CachedAnswer> {
  const { searchParams } = new URL(request.raw.url as string, 'http://localhost')
  const { name } = records.definition
  const list = readListParameters(records.definition, searchParams)
  return answerCached(
    request,
    reply,
    { layer: 'lists', question: { records: name, list }, datasets: [name] },
    async (signal) => ({
      body: toJsonText(shownList(await records.list(list, { signal }))),
      ...(records.moves(list) ? { maxAgeMs: movingMs } : {}),
    }),
  )
}

function shownList({ rows, cursor, versions, count }: ListAnswer): object {
  return {
    rows,
    cursor,
    ...(versions === null ? {} : { versions }),
    ...(count === null ? {} : { count }),
  }
}

function sendRecord(reply: FastifyReply, { row, version }: StoredRecord): FastifyReply {
  return sendJson(reply.header('etag', entityTag(version)), row)
}

/** As text: what has no schema for its answer is written by JSON.stringify, which has no bigint. */
function sendJson(reply: FastifyReply, value: object): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(toJsonText(value))
}

/** As it was sent: what is percent-encoded in it is a part of a value. */
function keyOf(request: FastifyRequest, records: RecordSet): KeyInput {
  const text = /^[^?#]*\/records\/([^/?#]*)(?:$|[?#])/.exec(request.raw.url as string)?.[1]
  if (text !== undefined) return records.readKey(text)
  throw new TidemarkError('TM_QUERY', {
    path: 'key',
    problem:
      'has a slash; a value that holds one is written as "~" and its base64url (docs/guide/records.md)',
  })
}

function placeOf(records: RecordSet, { row }: StoredRecord): string {
  return `/api/v1/datasets/${encodeURIComponent(records.definition.name)}/records/${records.keyText(row)}`
}

function rowOf({ body }: FastifyRequest): Readonly<Record<string, unknown>> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as never
  throw new TidemarkError('TM_BODY', {
    problem: 'the body is not a JSON object',
    todo: 'send one as application/json',
  })
}
