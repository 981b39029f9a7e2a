import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { hypertable, t } from '../../src/schema/index.ts'
import { parseInstant, parseInterval } from '../../src/time/index.ts'
import { identifier, raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { clearLog, createTestHypertable, readings, readLog, testChunks } from './create-test-hypertable.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
})
afterAll(() => test.drop())

const at = (text: string) => parseInstant(text)

async function partitions(table = 'readings'): Promise<string[]> {
  const { rows } = await test.db.query(sql`
    select pg_get_expr(c.relpartbound, c.oid)
    from pg_inherits as i join pg_class as c on c.oid = i.inhrelid
    where i.inhparent = ${table}::regclass
    order by 1`)
  return rows.map(([bound]) => bound as string)
}

async function insert(
  connection: { query: typeof test.db.query },
  time: string,
  sensor = 'a',
): Promise<void> {
  await connection.query(sql`insert into readings values (${time}::timestamptz, 't1', ${sensor}::text, 1)`)
}

describe('chunks on demand', () => {
  beforeEach(async () => {
    for (const [name] of (await test.db.query(sql`select relation_name from tidemark.chunk`)).rows)
      await test.db.execute(sql`drop table ${identifier('tidemark_chunks', name as string)}`)
    await test.db.execute(
      'delete from tidemark.chunk; truncate readings; update tidemark.hypertable set max_chunks = 200',
    )
    await clearLog(test.db)
  })

  it('makes the chunk that holds a time, in the catalog and attached', async () => {
    const chunks = testChunks(test.db)
    const map = await chunks.ensureChunks(readings, [at('2026-01-01T12:00:00Z'), at('2026-01-01T13:00:00Z')])
    expect(map.chunks.map((chunk) => chunk.range)).toEqual([
      { from: at('2026-01-01T00:00:00Z'), to: at('2026-01-02T00:00:00Z') },
    ])
    expect(await partitions()).toEqual([
      'DEFAULT',
      "FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-01-02 00:00:00+00')",
    ])
    const { rows } = await test.db.query(sql`
      select count(*) from pg_index where indrelid = ${`tidemark_chunks.${map.chunks[0]!.relation}`}::regclass`)
    expect(rows).toEqual([[1n + BigInt(readings.indexes.length)]])
    // Once is enough.
    const again = await chunks.ensureChunks(readings, [at('2026-01-01T23:59:59.999999Z')])
    expect(again.epoch).toBe(map.epoch)
  })

  it('lets twelve processes make the same chunks at once', async () => {
    const times = [at('2026-02-01T00:00:00Z'), at('2026-02-02T00:00:00Z'), at('2026-02-05T00:00:00Z')]
    const before = await testChunks(test.db).map(readings)
    const maps = await Promise.all(
      Array.from({ length: 12 }, () => testChunks(test.db, { tries: 30 }).ensureChunks(readings, times)),
    )
    for (const map of maps) expect(map.chunks).toHaveLength(3)
    expect(maps[0]!.epoch).toBe(before.epoch + 1n)
    expect(await partitions()).toHaveLength(4)
  })

  it('clips a new chunk to the gap that chunks of another interval leave', async () => {
    const chunks = testChunks(test.db)
    await chunks.ensureChunks(readings, [at('2026-03-03T00:00:00Z'), at('2026-03-06T00:00:00Z')])
    const weekly = { ...readings, chunk: parseInterval('7 days') }
    const map = await chunks.ensureChunks(weekly, [at('2026-03-04T05:00:00Z'), at('2026-03-08T00:00:00Z')])
    const days = map.chunks.map(
      ({ range }) =>
        `${(range.from - at('2026-03-01T00:00:00Z')) / 86_400_000_000n}..${(range.to - at('2026-03-01T00:00:00Z')) / 86_400_000_000n}`,
    )
    // Weeks begin on Monday 2026-03-02.
    expect(days).toEqual(['2..3', '3..5', '5..6', '6..8'])
  })

  it('makes calendar months', async () => {
    const monthly = hypertable('public.monthly', {
      columns: { time: t.timestamptz(), value: t.int4() },
      time: 'time',
      chunk: '1 month',
    })
    await createTestHypertable(test.db, monthly)
    const map = await testChunks(test.db).ensureChunks(monthly, [
      at('2024-02-29T00:00:00Z'),
      at('1969-12-31T23:00:00Z'),
    ])
    expect(map.chunks.map(({ range }) => range)).toEqual([
      { from: at('1969-12-01T00:00:00Z'), to: at('1970-01-01T00:00:00Z') },
      { from: at('2024-02-01T00:00:00Z'), to: at('2024-03-01T00:00:00Z') },
    ])
  })

  it('keeps to the cap on attached chunks and says so', async () => {
    await test.db.execute('update tidemark.hypertable set max_chunks = 2')
    const chunks = testChunks(test.db)
    await chunks.ensureChunks(readings, [at('2026-01-01T00:00:00Z')])
    const more = chunks.ensureChunks(readings, [at('2026-01-02T00:00:00Z'), at('2026-01-03T00:00:00Z')])
    await expect(more).rejects.toMatchObject({ code: 'TM_CHUNK_CAP', params: { needed: 3, cap: 2 } })
    expect(await partitions()).toHaveLength(2)
  })

  it('makes chunks ahead, and no more than the cap leaves room for', async () => {
    await test.db.execute('update tidemark.hypertable set max_chunks = 4')
    const chunks = testChunks(test.db)
    const now = at('2026-01-01T12:00:00Z')
    expect(await chunks.createAhead(readings, now, parseInterval('1 day'))).toBe(2)
    expect(await chunks.createAhead(readings, now, parseInterval('1 day'))).toBe(0)
    expect(await chunks.createAhead(readings, now, parseInterval('30 days'))).toBe(2)
    expect((await chunks.map(readings)).chunks).toHaveLength(4)
  })

  it('gives up with TM_BUSY behind a reader that holds the default partition, and leaves everything as it was', async () => {
    const reader = await test.connect()
    await reader.execute('begin; select * from readings')
    const chunks = testChunks(test.db, { tries: 2, lockTimeoutMs: 20 })
    await expect(chunks.ensureChunks(readings, [at('2026-01-01T00:00:00Z')])).rejects.toMatchObject({
      code: 'TM_BUSY',
    })
    expect(await partitions()).toEqual(['DEFAULT'])
    await reader.execute('commit')
    await reader.close()
    await chunks.ensureChunks(readings, [at('2026-01-01T00:00:00Z')])
    expect(await partitions()).toHaveLength(2)
  })

  it('moves the rows of the default partition into the chunks they belong to', async () => {
    for (const time of [
      '2026-01-01T01:00:00Z',
      '2026-01-01T02:00:00Z',
      '2026-01-09T00:00:00Z',
      '1999-01-01T00:00:00Z',
    ])
      await insert(test.db, time)
    await clearLog(test.db)
    const chunks = testChunks(test.db)
    expect(await chunks.defaultPartitionStatus(readings)).toMatchObject({ rows: 4n })
    expect(await chunks.drainDefault(readings)).toEqual({ kind: 'drained', rows: 4n, chunks: 3 })
    expect(await chunks.defaultPartitionStatus(readings)).toMatchObject({ rows: 0n, bytes: 0n, range: null })
    expect((await test.db.query(sql`select count(*) from readings`)).rows).toEqual([[4n]])
    expect(await readLog(test.db, readings)).toEqual([])
  })

  it('keeps in the default partition what the cap leaves no room for, oldest rows first', async () => {
    await test.db.execute('update tidemark.hypertable set max_chunks = 2')
    for (const time of ['2026-01-01T01:00:00Z', '2026-01-05T02:00:00Z', '2026-01-09T00:00:00Z'])
      await insert(test.db, time)
    const chunks = testChunks(test.db)
    expect(await chunks.drainDefault(readings)).toEqual({ kind: 'capped', rows: 2n, chunks: 2, left: 1n })
    const status = await chunks.defaultPartitionStatus(readings)
    expect(status.range).toEqual({ from: at('2026-01-01T01:00:00Z'), to: at('2026-01-01T01:00:00.000001Z') })
    expect((await test.db.query(sql`select count(*) from readings`)).rows).toEqual([[3n]])
  })

  it('drains nothing where a publication would send the rows that stay a second time', async () => {
    await test.db.execute(`
      update tidemark.hypertable set max_chunks = 2;
      create publication p for table readings with (publish = 'insert, update', publish_via_partition_root = true)`)
    for (const time of ['2026-01-01T01:00:00Z', '2026-01-05T02:00:00Z', '2026-01-09T00:00:00Z'])
      await insert(test.db, time)
    const chunks = testChunks(test.db)
    expect(await chunks.drainDefault(readings)).toMatchObject({
      kind: 'blocked',
      reason: expect.stringContaining('publication "p"'),
    })
    await test.db.execute('update tidemark.hypertable set max_chunks = 3')
    expect(await chunks.drainDefault(readings)).toEqual({ kind: 'drained', rows: 3n, chunks: 3 })
  })

  it('drains before it attaches a chunk over rows of the default partition', async () => {
    await insert(test.db, '2026-01-01T01:00:00Z')
    const map = await testChunks(test.db).ensureChunks(readings, [at('2026-01-01T05:00:00Z')])
    const { rows } = await test.db.query(
      sql`select count(*) from ${identifier('tidemark_chunks', map.chunks[0]!.relation!)}`,
    )
    expect(rows).toEqual([[1n]])
  })

  describe('a reader with an older snapshot', () => {
    const inRange = sql`
      select count(*) from readings where time >= '2026-01-01T00:00:00Z' and time < '2026-01-02T00:00:00Z'`
    const everything = sql`select count(*) from readings`

    it('that began after the rows were settled, and first looks after the drain, sees each row once', async () => {
      await insert(test.db, '2026-01-01T01:00:00Z')
      await insert(test.db, '2026-01-01T02:00:00Z', 'b')
      const reader = await test.connect()
      const chunks = testChunks(test.db, {
        // The reader takes its snapshot between the note of what is there and the move.
        applyPolicies: async () => {
          await reader.execute('begin isolation level repeatable read')
          await reader.query(sql`select 1`)
        },
      })
      expect(await chunks.drainDefault(readings)).toMatchObject({ kind: 'drained', rows: 2n })
      expect((await reader.query(inRange)).rows).toEqual([[2n]])
      expect((await reader.query(everything)).rows).toEqual([[2n]])
      await reader.close()
    })

    it('from before the rows stops the drain, and sees what it saw', async () => {
      await insert(test.db, '2026-01-01T01:00:00Z')
      const reader = await test.connect()
      await reader.execute('begin isolation level repeatable read')
      await reader.query(sql`select 1`)
      await insert(test.db, '2026-01-01T02:00:00Z', 'b')
      const chunks = testChunks(test.db, { tries: 2, settleMs: 20 })
      expect(await chunks.drainDefault(readings)).toMatchObject({
        kind: 'blocked',
        reason: expect.stringContaining(String(reader.processId)),
      })
      expect((await reader.query(inRange)).rows).toEqual([[1n]])
      await reader.execute('commit')
      expect(await chunks.drainDefault(readings)).toMatchObject({ kind: 'drained', rows: 2n })
      await reader.close()
    })

    it('that still sees a deleted row of the default partition keeps a chunk from hiding it', async () => {
      await insert(test.db, '2026-01-01T01:00:00Z')
      const reader = await test.connect()
      await reader.execute('begin isolation level repeatable read')
      await reader.query(sql`select 1`)
      await test.db.execute('delete from readings')
      const chunks = testChunks(test.db, { tries: 2, settleMs: 20 })
      await expect(chunks.ensureChunks(readings, [at('2026-01-01T00:00:00Z')])).rejects.toMatchObject({
        code: 'TM_BUSY',
      })
      expect((await reader.query(inRange)).rows).toEqual([[1n]])
      await reader.execute('commit')
      await chunks.ensureChunks(readings, [at('2026-01-01T00:00:00Z')])
      await reader.close()
    })

    it('shows why the rows are not moved by DELETE and INSERT: partition pruning would hide them', async () => {
      await insert(test.db, '2026-01-01T01:00:00Z')
      const reader = await test.connect()
      await reader.execute('begin isolation level repeatable read')
      await reader.query(sql`select 1`)
      await test.db.execute(
        raw(`
        begin;
        create table tidemark_chunks.by_hand (like readings including all);
        with moved as (delete from only tidemark_chunks.readings_default returning *)
        insert into tidemark_chunks.by_hand select * from moved;
        alter table readings attach partition tidemark_chunks.by_hand for values from ('2026-01-01Z') to ('2026-01-02Z');
        commit`),
      )
      expect((await reader.query(inRange)).rows).toEqual([[0n]])
      expect((await reader.query(everything)).rows).toEqual([[1n]])
      await reader.execute('commit')
      await reader.close()
      await test.db.execute('drop table tidemark_chunks.by_hand')
    })
  })

  it('a row that was committed after the default partition was looked at stops the drain', async () => {
    await insert(test.db, '2026-01-01T01:00:00Z')
    const reader = await test.connect()
    await reader.execute('begin isolation level repeatable read')
    await reader.query(sql`select 1`)
    await insert(test.db, '2026-01-01T02:00:00Z', 'b')
    let slept = false
    const chunks = testChunks(test.db, {
      tries: 1,
      // The drain has looked, and waits for the reader.
      sleep: async () => {
        if (slept) return
        slept = true
        await insert(test.db, '2026-01-01T03:00:00Z', 'c')
        await reader.execute('commit')
      },
    })
    expect(await chunks.drainDefault(readings)).toEqual({
      kind: 'blocked',
      reason: 'tidemark_chunks.readings_default is being written',
    })
    await reader.close()
    expect(await chunks.drainDefault(readings)).toMatchObject({ kind: 'drained', rows: 3n })
  })

  it('a writer that fills the default partition meanwhile stops the drain, and loses nothing', async () => {
    await insert(test.db, '2026-01-01T01:00:00Z')
    const writer = await test.connect()
    await writer.execute('begin')
    await insert(writer, '2026-01-01T02:00:00Z', 'b')
    const chunks = testChunks(test.db, { tries: 2, lockTimeoutMs: 20, settleMs: 20 })
    expect(await chunks.drainDefault(readings)).toMatchObject({ kind: 'blocked' })
    await writer.execute('commit')
    await writer.close()
    expect(await chunks.drainDefault(readings)).toMatchObject({ kind: 'drained', rows: 2n })
    expect((await test.db.query(sql`select count(*) from readings`)).rows).toEqual([[2n]])
  })
})
