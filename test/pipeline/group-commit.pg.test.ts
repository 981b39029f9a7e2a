import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Pipeline } from '../../src/pipeline/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { batchOf, createTables, devices, events, readings, testPipeline } from './fixture.ts'

let test: TestDatabase
let pipeline: Pipeline

beforeAll(async () => {
  test = await createTestDatabase()
  await createTables(test.db)
  pipeline = testPipeline(test.db)
})
afterAll(async () => {
  await pipeline.close()
  await test.drop()
})
beforeEach(() => test.db.execute('truncate events, samples, devices, tidemark.dead_letter'))

const time = '2026-01-01T00:00:00Z'
const event = (tag: string, value: unknown = 1) => ({ time, tag, value })

async function tags(): Promise<string[]> {
  const { rows } = await test.db.query(sql`select tag from events order by tag`)
  return rows.map(([tag]) => tag as string)
}

async function transactions(): Promise<number> {
  const { rows } = await test.db.query(sql`select count(distinct xmin::text) from events`)
  return Number(rows[0]![0])
}

describe('rows of many callers', () => {
  it('share transactions when many come at once, and one goes at once when it is alone', async () => {
    const reports = await Promise.all(
      Array.from({ length: 200 }, (_, i) => pipeline.ingest(batchOf(events, [event(`t${i}`)]))),
    )
    expect(reports.every(({ accepted, inserted }) => accepted === 1 && inserted === 1)).toBe(true)
    expect(await tags()).toHaveLength(200)
    expect(await transactions()).toBeLessThanOrEqual(10)
  })

  it("are told apart: a bad row is its own caller's, with place, column, value and reason", async () => {
    const [good, bad] = await Promise.all([
      pipeline.ingest(batchOf(events, [event('a'), event('b')])),
      pipeline.ingest(
        batchOf(events, [
          event('c'),
          event('d', 'many'),
          { ...event('e'), extra: 1 },
          'no object',
          { tag: 'f', value: 2 },
          event('g', 2 ** 40),
          event('h'),
        ]),
      ),
    ])
    expect(good).toMatchObject({ accepted: 2, inserted: 2, rejected: { count: 0, rows: [] } })
    expect(bad).toMatchObject({ accepted: 2, inserted: 2 })
    expect(bad.rejected.count).toBe(5)
    expect(bad.rejected.rows.map(({ index, column, reason }) => [index, column, reason])).toEqual([
      [1, 'value', 'type'],
      [2, 'extra', 'column'],
      [3, null, 'json'],
      [4, 'time', 'null'],
      [5, 'value', 'range'],
    ])
    expect(await tags()).toEqual(['a', 'b', 'c', 'h'])
    const { rows } = await test.db.query(sql`
      select dataset, file, line, column_name, reason, raw, on_conflict, is_whole from tidemark.dead_letter order by id`)
    expect(rows[0]).toEqual([
      'public.events',
      'test',
      1n,
      'value',
      'type',
      JSON.stringify(event('d', 'many')),
      'error',
      true,
    ])
    expect(rows).toHaveLength(5)
  })

  it('of a refused group are written but for the rows that the database refuses', async () => {
    const busy = Array.from({ length: 30 }, (_, i) =>
      pipeline.ingest(
        batchOf(events, [
          event(`${i} ok`),
          event(`${i} ${i % 7 === 3 ? 'bad' : 'ok too'}`, i % 7 === 3 ? 5000 : 1),
        ]),
      ),
    )
    const reports = await Promise.all(busy)
    for (const [i, report] of reports.entries()) {
      const isBad = i % 7 === 3
      expect(report).toMatchObject({ inserted: isBad ? 1 : 2, rejected: { count: isBad ? 1 : 0 } })
      if (isBad) expect(report.rejected.rows[0]).toMatchObject({ index: 1, reason: 'constraint' })
    }
    expect((await tags()).filter((tag) => tag.endsWith('bad'))).toEqual([])
    expect(await tags()).toHaveLength(30 + 30 - 4)
    const { rows } = await test.db.query(
      sql`select count(*) from tidemark.dead_letter where reason = 'constraint'`,
    )
    expect(Number(rows[0]![0])).toBe(4)
  })

  it('with keys that exist, or exist twice in the batch, lose these alone', async () => {
    const sample = (sensor: string, value: number) => ({ time, sensor, value })
    await pipeline.ingest(batchOf(readings, [sample('b', 1)]))
    const rows = Array.from({ length: 500 }, (_, i) => sample(`s${i}`, i))
    rows[100] = sample('b', 2)
    rows[200] = sample('s7', 3)
    const report = await pipeline.ingest(batchOf(readings, rows))
    expect(report.rejected.rows.map(({ index, reason }) => [index, reason])).toEqual([
      [100, 'duplicate_key'],
      [200, 'duplicate_key'],
    ])
    expect(report.inserted).toBe(498)
  })

  it('that only exclude each other lose the later ones', async () => {
    await test.db.execute('create unique index once on devices (value)')
    try {
      const rows = Array.from({ length: 40 }, (_, id) => ({ id, value: id === 33 || id === 35 ? 5 : id }))
      const report = await pipeline.ingest(batchOf(devices, rows))
      expect(report.rejected.rows.map(({ index }) => index)).toEqual([33, 35])
      expect(report.inserted).toBe(38)
    } finally {
      await test.db.execute('drop index once')
    }
  })

  it('of time that retention has dropped are rejected, of however many chunks', async () => {
    const days = Array.from({ length: 120 }, (_, i) => new Date(Date.UTC(2020, 0, 1 + i)).toISOString())
    const old = days.map((day, i) => ({ time: day, tag: `${i}`, value: 1 }))
    await pipeline.ingest(batchOf(events, old))
    await test.db.execute(`
      update tidemark.chunk as k set state = 'dropped'
      from tidemark.hypertable as h
      where h.id = k.hypertable_id and h.table_name = 'events' and k.range_to <= '2021-01-01';
      update tidemark.hypertable set epoch = epoch + 1`)
    const report = await pipeline.ingest(batchOf(events, [...old, event('new')]))
    expect(report).toMatchObject({ accepted: 1, rejected: { count: 120 } })
  })

  it('that share more text than one transaction may have are refused, however few bytes they came in', async () => {
    const tag = 'x'.repeat(1_000_000)
    const rows = Array.from({ length: 200 }, () => event(tag))
    await expect(pipeline.ingest(batchOf(events, rows))).rejects.toMatchObject({ code: 'TM_LIMIT' })
    expect(await tags()).toEqual([])
  })

  it('that are refused in great number are refused as a whole', async () => {
    const rows = Array.from({ length: 1000 }, (_, i) => event(`t${i}`, 5000))
    await expect(pipeline.ingest(batchOf(events, rows))).rejects.toMatchObject({ code: 'TM_CONSTRAINT' })
    expect(await tags()).toEqual([])
  })

  it('are all or none where that is asked for, and no dead letters', async () => {
    const rows = [event('a'), event('b', 'no number')]
    await expect(pipeline.ingest(batchOf(events, rows, { isAtomic: true }))).rejects.toMatchObject({
      code: 'TM_ROW',
      params: { row: 1, column: 'value' },
    })
    const [alone, other] = await Promise.allSettled([
      pipeline.ingest(batchOf(events, [event('c'), event('d', 5000)], { isAtomic: true })),
      pipeline.ingest(batchOf(events, [event('e')])),
    ])
    expect(alone).toMatchObject({ status: 'rejected', reason: { code: 'TM_CONSTRAINT' } })
    expect(other.status).toBe('fulfilled')
    expect(await tags()).toEqual(['e'])
    const { rows: letters } = await test.db.query(sql`select 1 from tidemark.dead_letter`)
    expect(letters).toEqual([])
  })

  it('are counted as what became of them where keys are compared', async () => {
    const device = (id: number, value: number) => ({ id, value })
    await pipeline.ingest(batchOf(devices, [device(1, 1), device(2, 2)]))
    const [ignored, updated] = [
      await pipeline.ingest(batchOf(devices, [device(2, 20), device(3, 30)], { onConflict: 'ignore' })),
      await pipeline.ingest(
        batchOf(devices, [device(1, 10), device(4, 40), device(5, 9999)], { onConflict: 'update' }),
      ),
    ]
    expect(ignored).toMatchObject({ accepted: 2, inserted: 1, ignored: 1, updated: 0 })
    expect(updated).toMatchObject({ accepted: 2, inserted: 1, updated: 1, rejected: { count: 1 } })
    const { rows } = await test.db.query(sql`select id, value, note from devices order by id`)
    expect(rows).toEqual([
      [1, 10, 'none'],
      [2, 2, 'none'],
      [3, 30, 'none'],
      [4, 40, 'none'],
    ])
  })
})

describe('the pipeline', () => {
  it('answers after COMMIT, and waits neither for the lock of another dataset nor of another connection', async () => {
    const other = await test.connect()
    await other.execute('begin; insert into devices values (1, 1)')
    const { transactions, rows } = pipeline.state.commits
    let isAnswered = false
    const waiting = pipeline
      .ingest(batchOf(devices, [{ id: 1, value: 2 }], { onConflict: 'ignore' }))
      .then((report) => {
        isAnswered = true
        return report
      })
    // its insert waits for the open transaction; others do not wait for it
    await expect.poll(() => waitingBackends()).toBe(1)
    expect(await pipeline.ingest(batchOf(devices, [{ id: 2, value: 2 }]))).toMatchObject({ inserted: 1 })
    expect(await pipeline.ingest(batchOf(events, [event('a')]))).toMatchObject({ inserted: 1 })
    expect(isAnswered).toBe(false)
    expect(pipeline.state.pendingRows).toBe(1)
    await other.execute('commit')
    expect(await waiting).toMatchObject({ accepted: 1, ignored: 1 })
    expect(pipeline.state).toMatchObject({
      ...{ pendingRows: 0, pendingBytes: 0, spoolBytes: 0, spoolErrors: [] },
      commits: { transactions: transactions + 3, rows: rows + 3, p99Ms: expect.any(Number) },
    })
    await other.close()
  })

  it('gives up what its caller cancels before it is begun, and nothing else', async () => {
    const one = testPipeline(test.db, { connections: 1 })
    const other = await test.connect()
    await other.execute('begin; insert into devices values (7, 1)')
    const first = one.ingest(batchOf(devices, [{ id: 7, value: 2 }], { onConflict: 'ignore' }))
    await expect.poll(() => waitingBackends()).toBe(1)
    const controller = new AbortController()
    const second = one.ingest(batchOf(devices, [{ id: 8, value: 2 }], { signal: controller.signal }))
    const third = one.ingest(batchOf(devices, [{ id: 9, value: 2 }]))
    controller.abort()
    await expect(second).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    await other.execute('commit')
    expect([await first, await third].map(({ inserted }) => inserted)).toEqual([0, 1])
    const { rows } = await test.db.query(sql`select id from devices order by id`)
    expect(rows).toEqual([[7], [9]])
    await other.close()
    await one.close()
  })

  it('is closed though a transaction hangs: those behind it are refused', async () => {
    const hanging = testPipeline(test.db, { connections: 1, closeTimeoutMs: 50 })
    const other = await test.connect()
    await other.execute('begin; insert into devices values (11, 1)')
    const first = hanging.ingest(batchOf(devices, [{ id: 11, value: 2 }], { onConflict: 'ignore' }))
    await expect.poll(() => waitingBackends()).toBe(1)
    const second = hanging.ingest(batchOf(devices, [{ id: 12, value: 2 }]))
    const [, answer] = await Promise.allSettled([hanging.close(), second])
    expect(answer).toMatchObject({ status: 'rejected', reason: { code: 'TM_OVERLOADED' } })
    await other.execute('rollback')
    expect(await first).toMatchObject({ inserted: 1 })
    await other.close()
  })

  it('holds no more in memory than it may, however many come', async () => {
    const maxPendingBytes = 100_000
    const small = testPipeline(test.db, { maxPendingBytes, maxWaitMs: 60_000 })
    let most = 0
    const rows = Array.from({ length: 50 }, (_, i) => event('x'.repeat(20), i))
    const calls = Array.from({ length: 300 }, async () => {
      const report = await small.ingest(batchOf(events, rows))
      most = Math.max(most, small.state.pendingBytes)
      return report.inserted
    })
    expect((await Promise.all(calls)).reduce((sum, inserted) => sum + inserted)).toBe(15_000)
    expect(most).toBeGreaterThan(maxPendingBytes / 2)
    expect(most).toBeLessThanOrEqual(maxPendingBytes)
    expect(small.state.pendingBytes).toBe(0)
    const impatient = testPipeline(test.db, { maxPendingBytes: 1, maxWaitMs: 1 })
    const release = await impatient.reserve(1, null)
    await expect(impatient.ingest(batchOf(events, rows))).rejects.toMatchObject({ code: 'TM_OVERLOADED' })
    expect(await impatient.ingest(batchOf(events, rows, { isReserved: true }))).toMatchObject({
      inserted: 50,
    })
    release()
    await small.close()
    await impatient.close()
  })

  it('writes what it has when it is closed, and takes nothing more', async () => {
    const closing = testPipeline(test.db, { connections: 1 })
    const last = Array.from({ length: 20 }, (_, i) => closing.ingest(batchOf(events, [event(`t${i}`)])))
    await closing.close()
    await expect(closing.ingest(batchOf(events, [event('late')]))).rejects.toMatchObject({
      code: 'TM_OVERLOADED',
    })
    expect((await Promise.all(last)).every(({ inserted }) => inserted === 1)).toBe(true)
    expect(await tags()).toHaveLength(20)
  })
})

async function waitingBackends(): Promise<number> {
  const { rows } = await test.db.query(sql`
    select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
  return Number(rows[0]![0])
}
