import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createHotWriter, type HotWriter } from '../../src/hot/index.ts'
import { createPipeline, deleteOldBatches, type Pipeline } from '../../src/pipeline/index.ts'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { testChunks } from '../hot/create-test-hypertable.ts'
import { batchOf, createTables, devices, events, readings, testPipeline } from './fixture.ts'

let test: TestDatabase
/** Two processes: each with connections of its own. */
let other: Database
let pipelines: readonly [Pipeline, Pipeline]

beforeAll(async () => {
  test = await createTestDatabase()
  await createTables(test.db)
  other = createDatabase({ connectionString: test.connectionString, max: 4 })
  pipelines = [testPipeline(test.db), testPipeline(other)]
})
afterAll(async () => {
  for (const pipeline of pipelines) await pipeline.close()
  await other.close()
  await test.drop()
})
beforeEach(() =>
  test.db.execute('truncate events, samples, devices, tidemark.dead_letter, tidemark.ingest_batch'),
)

const time = '2026-01-01T00:00:00Z'
const rows = [
  { time, tag: 'a', value: 1 },
  { time, tag: 'b', value: 'bad' },
  { time, tag: 'c', value: 5000 },
  { time, tag: 'd', value: 4 },
]

async function count(table: 'events' | 'samples' | 'devices' | 'tidemark.dead_letter'): Promise<number> {
  const answer = await test.db.query({
    kind: 'sql',
    parts: [{ kind: 'text', text: `select count(*) from ${table}` }],
  })
  return Number(answer.rows[0]![0])
}

describe('a batch with an idempotency key', () => {
  it('is written once, and answered the same every time, by any process and in any form of its values', async () => {
    const batch = batchOf(events, rows, { idempotencyKey: 'key 1' })
    const first = await pipelines[0].ingest(batch)
    expect(first).toMatchObject({ accepted: 2, inserted: 2, rejected: { count: 2 }, isReplayed: false })
    const again = rows.map((row) => ({ ...row, time: new Date(time) }))
    for (const pipeline of pipelines) {
      const replayed = await pipeline.ingest({ ...batch, rows: again })
      expect(replayed).toEqual({ ...first, isReplayed: true })
    }
    expect([await count('events'), await count('tidemark.dead_letter')]).toEqual([2, 2])
  })

  it('may be sent many times at once, to several processes', async () => {
    for (const [definition, given] of [
      [events, rows],
      [
        devices,
        [
          { id: 1, value: 1 },
          { id: 2, value: 2000 },
          { id: 3, value: 3 },
        ],
      ],
      [readings, [{ time, sensor: 'a', value: 1 }]],
    ] as const) {
      const batch = batchOf(definition, given, { idempotencyKey: 'same' })
      const reports = await Promise.all(Array.from({ length: 20 }, (_, i) => pipelines[i % 2]!.ingest(batch)))
      expect(reports.filter(({ isReplayed }) => !isReplayed)).toHaveLength(1)
      expect(new Set(reports.map((report) => JSON.stringify({ ...report, isReplayed: true }))).size).toBe(1)
    }
    expect([await count('events'), await count('devices'), await count('samples')]).toEqual([2, 2, 1])
    expect(await count('tidemark.dead_letter')).toBe(3)
  })

  it('waits for an open transaction with its key, and is written when that one is rolled back', async () => {
    for (const ending of ['commit', 'rollback']) {
      const key = `open ${ending}`
      const connection = await test.connect()
      await connection.execute('begin')
      await connection.query(sql`
        insert into tidemark.ingest_batch (dataset, key, fingerprint, report)
        values ('public.events', ${key}::text, '\\x00', '{}')`)
      const waiting = pipelines[0].ingest(batchOf(events, [rows[0]], { idempotencyKey: key }))
      await expect
        .poll(async () => {
          const { rows } = await test.db.query(sql`
          select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
          return rows.length
        })
        .toBe(1)
      await connection.execute(ending)
      if (ending === 'commit')
        await expect(waiting).rejects.toMatchObject({ code: 'TM_IDEMPOTENCY', status: 409 })
      else expect(await waiting).toMatchObject({ inserted: 1, isReplayed: false })
      await connection.close()
    }
    expect(await count('events')).toBe(1)
  })

  it('that waits for another of its key gives up when its caller does, and the other goes on', async () => {
    const holder = await test.connect()
    await holder.execute('begin; lock table events in share mode')
    const batch = batchOf(events, [rows[0]], { idempotencyKey: 'turn' })
    const first = pipelines[0].ingest(batch)
    const leaving = new AbortController()
    const second = pipelines[0].ingest({ ...batch, signal: leaving.signal })
    const third = pipelines[0].ingest(batch)
    await expect.poll(() => pipelines[0].state.pendingRows).toBe(1)
    leaving.abort()
    await expect(second).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    await expect(pipelines[0].ingest({ ...batch, signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'TM_CANCELLED',
    })
    await holder.execute('rollback')
    await holder.close()
    expect(await first).toMatchObject({ inserted: 1, isReplayed: false })
    expect(await third).toMatchObject({ accepted: 1, isReplayed: true })
    expect(await count('events')).toBe(1)
  })

  it('is refused with other rows, and with the same in another order', async () => {
    const batch = batchOf(events, [rows[0], rows[3]], { idempotencyKey: 'k' })
    await pipelines[0].ingest(batch)
    for (const other of [[rows[3], rows[0]], [rows[0]], [rows[0], rows[3], rows[1]]])
      await expect(pipelines[1].ingest({ ...batch, rows: other })).rejects.toMatchObject({
        code: 'TM_IDEMPOTENCY',
      })
    expect(
      await pipelines[0].ingest({ ...batch, definition: devices, rows: [{ id: 1, value: 1 }] }),
    ).toMatchObject({ inserted: 1 })
    expect(await count('events')).toBe(2)
  })

  it('is the same when columns are declared between two tries, and another one with a null where a default would be', async () => {
    const key = { idempotencyKey: 'wider' }
    await pipelines[0].ingest(batchOf(events, [rows[0]], key))
    const { columns } = hypertable('public.events', {
      columns: {
        more: t.text().nullable(),
        time: t.timestamptz(),
        value: t.int4().nullable(),
        tag: t.text(),
      },
      time: 'time',
    })
    const wider = { ...events, columns }
    expect(await pipelines[1].ingest(batchOf(wider, [rows[0]], key))).toMatchObject({ isReplayed: true })
    const counted = { ...events, columns: { ...columns, value: { ...columns.value, default: { value: 7 } } } }
    await pipelines[0].ingest(batchOf(events, [{ time, tag: 'x' }], { idempotencyKey: 'default' }))
    const given = batchOf(counted as never, [{ time, tag: 'x', value: null }], { idempotencyKey: 'default' })
    await expect(pipelines[1].ingest(given)).rejects.toMatchObject({ code: 'TM_IDEMPOTENCY' })
  })

  it('whose transaction nobody knows of is looked for by its key: written once either way', async () => {
    for (const isCommitted of [true, false]) {
      const writer = losing(createHotWriter({ db: test.db, chunks: testChunks(test.db) }), isCommitted)
      const pipeline = createPipeline({ db: test.db, writer })
      const key = `lost ${isCommitted}`
      const [keyed, alone] = await Promise.allSettled([
        pipeline.ingest(batchOf(devices, [{ id: isCommitted ? 1 : 2, value: 1 }], { idempotencyKey: key })),
        pipeline.ingest(batchOf(events, [rows[0]])),
      ])
      expect(keyed).toMatchObject({ status: 'fulfilled', value: { accepted: 1, inserted: 1 } })
      expect(alone).toMatchObject({ status: 'rejected', reason: { code: 'TM_COMMIT_UNKNOWN' } })
      await pipeline.close()
    }
    expect([await count('devices'), await count('events')]).toEqual([2, 1])
  })

  it('that failed as a whole may be sent again', async () => {
    const batch = batchOf(events, [rows[0], rows[1]], { idempotencyKey: 'whole', isAtomic: true })
    await expect(pipelines[0].ingest(batch)).rejects.toMatchObject({ code: 'TM_ROW' })
    const late = { ...batch, rows: [rows[0], rows[2]] }
    await expect(pipelines[0].ingest(late)).rejects.toMatchObject({ code: 'TM_CONSTRAINT' })
    expect(await pipelines[0].ingest({ ...batch, rows: [rows[0]] })).toMatchObject({ inserted: 1 })
  })

  it('is refused when the key is no key', async () => {
    for (const key of ['', ' a', 'a ', 'a\nb', 'ä', 'x'.repeat(201)])
      await expect(
        pipelines[0].ingest(batchOf(events, [rows[0]], { idempotencyKey: key })),
      ).rejects.toMatchObject({
        code: 'TM_QUERY',
      })
  })

  it('is forgotten when it is old', async () => {
    await pipelines[0].ingest(batchOf(events, [rows[0]], { idempotencyKey: 'old' }))
    await test.db.execute(`update tidemark.ingest_batch set created_at = now() - interval '3 days'`)
    await pipelines[0].ingest(batchOf(events, [rows[0]], { idempotencyKey: 'young' }))
    expect(await deleteOldBatches(test.db, { olderThanMs: 48 * 3_600_000, limit: 10 })).toBe(1)
    expect(await pipelines[0].ingest(batchOf(events, [rows[0]], { idempotencyKey: 'young' }))).toMatchObject({
      isReplayed: true,
    })
  })
})

/** Each first transaction of a dataset ends without an answer: after its COMMIT, or instead of it. */
function losing(writer: HotWriter, isCommitted: boolean): HotWriter {
  const lost = new Set<string>()
  return {
    ...writer,
    insertBatch: async (batch: Parameters<HotWriter['insertBatch']>[0]) => {
      if (lost.has(batch.definition.name)) return writer.insertBatch(batch)
      lost.add(batch.definition.name)
      if (isCommitted) await writer.insertBatch(batch)
      throw new TidemarkError('TM_COMMIT_UNKNOWN', { target: 'a server that was lost' })
    },
  } as HotWriter
}
