import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createHotWriter, type HotWriter } from '../../src/hot/index.ts'
import { tableBody } from '../../src/migrate/table-ddl.ts'
import { hypertable, t, table } from '../../src/schema/index.ts'
import { formatInstant, parseInstant } from '../../src/time/index.ts'
import { identifier, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { clearLog, createTestHypertable, readings, readLog, testChunks } from './create-test-hypertable.ts'

const plain = table('public.plain', {
  columns: { id: t.int4(), note: t.text().nullable(), made: t.timestamptz().defaultSql('now()') },
  primaryKey: ['id'],
})
const keyless = hypertable('public.keyless', {
  columns: { time: t.timestamptz(), value: t.float8().nullable(), seq: t.int8().defaultSql('7') },
  time: 'time',
  chunk: '1 day',
})

let test: TestDatabase
/** The same promises for one INSERT statement and for COPY. */
let writers: Readonly<Record<'small' | 'large' | 'filling', HotWriter>>

beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
  await createTestHypertable(test.db, keyless)
  await test.db.execute(sql`create table plain (${tableBody(plain)})`)
  const chunks = testChunks(test.db)
  writers = {
    small: createHotWriter({ db: test.db, chunks, smallRows: 1000 }),
    large: createHotWriter({ db: test.db, chunks, smallRows: 0 }),
    // every new chunk is made with its rows
    filling: createHotWriter({ db: test.db, chunks, smallRows: 0, loadRows: 1 }),
  }
})
afterAll(() => test.drop())
beforeEach(async () => {
  await test.db.execute('truncate readings, keyless, plain')
  await clearLog(test.db)
})

interface Reading {
  readonly time: string
  readonly tenant: string
  readonly sensor: string
  readonly value: number | null
}

function reading(hour: number, value: number | null = hour, sensor = 'a', tenant = 't1'): Reading {
  return {
    time: formatInstant(parseInstant('2026-01-01T00:00:00Z') + BigInt(hour) * 3_600_000_000n),
    tenant,
    sensor,
    value,
  }
}

async function stored(): Promise<Reading[]> {
  const { rows } = await test.db.query(
    sql`select time, tenant, sensor, value from readings order by time, tenant, sensor`,
  )
  return rows.map(([time, tenant, sensor, value]) => ({
    time: formatInstant(time as bigint),
    tenant: tenant as string,
    sensor: sensor as string,
    value: value as number | null,
  }))
}

describe.each(['small', 'large', 'filling'] as const)('writing with the %s path', (path) => {
  it('inserts rows of any time, in any order, and logs the cells they touch', async () => {
    const rows = [
      reading(50),
      reading(0),
      reading(1, null),
      reading(49, -0),
      reading(3, Number.NaN, 'b', 't2'),
      reading(-9000),
    ]
    expect(await writers[path].insert(readings, rows)).toEqual({ inserted: 6, ignored: 0 })
    expect(await stored()).toEqual(
      [5, 1, 2, 4, 3, 0]
        .map((i) => rows[i === 3 ? 3 : i])
        .sort((a, b) => (parseInstant(a!.time) < parseInstant(b!.time) ? -1 : 1)),
    )
    expect((await testChunks(test.db).defaultPartitionStatus(readings)).rows).toBe(0n)
    const log = (await readLog(test.db, readings)).map((line) => line.slice(line.indexOf(' ') + 1))
    expect(log.sort()).toEqual([
      't1 01-01T00:00 01-01T02:00',
      't1 01-03T01:00 01-03T03:00',
      't1 12-22T00:00 12-22T01:00',
      't2 01-01T03:00 01-01T04:00',
    ])
  })

  it('writes nothing of an array with one bad row, and says which and why', async () => {
    const rows = [reading(0), { ...reading(1), value: 'no number' }, reading(2)]
    await expect(writers[path].insert(readings, rows)).rejects.toMatchObject({
      code: 'TM_ROW',
      params: { row: 1, column: 'value' },
    })
    await expect(
      writers[path].insert(readings, [reading(0), { ...reading(1), tenant: null }]),
    ).rejects.toMatchObject({
      code: 'TM_ROW',
      params: { row: 1, column: 'tenant', value: 'null' },
    })
    expect(await stored()).toEqual([])
    expect(await readLog(test.db, readings)).toEqual([])
  })

  it('writes nothing of an array with a key that exists, and names the table, not the partition', async () => {
    await writers[path].insert(readings, [reading(0), reading(30)])
    await clearLog(test.db)
    await expect(
      writers[path].insert(readings, [reading(1), reading(31), reading(30)]),
    ).rejects.toMatchObject({
      code: 'TM_DUPLICATE_KEY',
      params: { table: 'public.readings' },
    })
    expect(await stored()).toHaveLength(2)
    expect(await readLog(test.db, readings)).toEqual([])
  })

  it('ignores keys that exist where that is asked for', async () => {
    await writers[path].insert(readings, [reading(0), reading(30)])
    const again = await writers[path].insert(readings, [reading(0, 99), reading(1)], { onConflict: 'ignore' })
    expect(again).toEqual({ inserted: 1, ignored: 1 })
    expect((await stored()).map((row) => row.value)).toEqual([0, 1, 30])
  })

  it('upserts by key; of rows with one key the last wins', async () => {
    await writers[path].insert(readings, [reading(0), reading(30)])
    await clearLog(test.db)
    const result = await writers[path].upsert(readings, [
      reading(0, 1),
      reading(5, 2),
      reading(0, 3),
      reading(99, 4),
    ])
    expect(result).toEqual({ inserted: 2, updated: 2 })
    expect((await stored()).map((row) => row.value)).toEqual([3, 2, 30, 4])
    expect(await readLog(test.db, readings)).not.toEqual([])
    expect((await testChunks(test.db).defaultPartitionStatus(readings)).rows).toBe(0n)
  })

  it('commits an iterable batch by batch, and says how many rows are in when one is bad', async () => {
    async function* rows() {
      for (let i = 0; i < 25; i += 1) yield i === 23 ? { ...reading(i), time: 'yesterday' } : reading(i)
    }
    await expect(writers[path].insert(readings, rows(), { batchRows: 10 })).rejects.toMatchObject({
      code: 'TM_PARTIAL_WRITE',
      params: { rows: 20 },
      cause: { code: 'TM_ROW', params: { row: 23, column: 'time' } },
    })
    expect(await stored()).toHaveLength(20)
  })

  it('writes an iterable over several connections', async () => {
    function* rows() {
      for (let i = 0; i < 400; i += 1) yield reading(i % 40, i, `s${i}`)
    }
    expect(await writers[path].insert(readings, rows(), { batchRows: 30, connections: 3 })).toEqual({
      inserted: 400,
      ignored: 0,
    })
    expect(await stored()).toHaveLength(400)
  })

  it('leaves SQL defaults to PostgreSQL for the rows that leave them out', async () => {
    const time = '2026-01-01T00:00:00Z'
    await writers[path].insert(keyless, [{ time, value: 1 }, { time, value: 2, seq: 5 }, { time }])
    const { rows } = await test.db.query(sql`select value, seq from keyless order by value nulls first`)
    expect(rows).toEqual([
      [null, 7n],
      [1, 7n],
      [2, 5n],
    ])
  })

  it('writes plain tables', async () => {
    expect(await writers[path].insert(plain, [{ id: 1, note: 'a' }, { id: 2 }])).toEqual({
      inserted: 2,
      ignored: 0,
    })
    expect(
      await writers[path].upsert(plain, [
        { id: 2, note: 'b' },
        { id: 3, note: 'c' },
      ]),
    ).toEqual({ inserted: 1, updated: 1 })
    const { rows } = await test.db.query(sql`select id, note, made is not null from plain order by id`)
    expect(rows).toEqual([
      [1, 'a', true],
      [2, 'b', true],
      [3, 'c', true],
    ])
  })

  it('upserts the last row of a key as if the others had not been given, also what it leaves out', async () => {
    const made = '2020-01-01T00:00:00Z'
    await writers[path].insert(plain, [{ id: 1, note: 'a', made }])
    const result = await writers[path].upsert(plain, [
      { id: 1, note: 'b', made: '2021-01-01T00:00:00Z' },
      { id: 2, note: 'c', made: '2021-01-01T00:00:00Z' },
      { id: 1, note: 'd' },
      { id: 2, note: 'e' },
    ])
    expect(result).toEqual({ inserted: 1, updated: 3 })
    const { rows } = await test.db.query(sql`
      select id, note, made = ${made}::timestamptz, made > '2022-01-01' from plain order by id`)
    expect(rows).toEqual([
      [1, 'd', true, false],
      [2, 'e', false, true],
    ])
  })

  it('writes nothing for no rows', async () => {
    expect(await writers[path].insert(readings, [])).toEqual({ inserted: 0, ignored: 0 })
    expect(await writers[path].upsert(readings, [])).toEqual({ inserted: 0, updated: 0 })
  })

  it('runs the caller’s own work in the transaction of a batch, and nothing is written when it fails', async () => {
    const values = (hour: number) => [parseInstant(reading(hour).time), 't1', 'a', 1.5]
    const batch = { definition: readings, rows: [values(1), values(2)], onConflict: 'error' as const }
    const refused = writers[path].insertBatch({
      ...batch,
      inTransaction: async () => {
        throw new Error('no')
      },
    })
    await expect(refused).rejects.toThrow('no')
    expect(await stored()).toEqual([])
    const counts = await writers[path].insertBatch({
      ...batch,
      inTransaction: async (connection) => {
        expect((await connection.query(sql`select count(*) from readings`)).rows).toEqual([[2n]])
      },
    })
    expect(counts).toEqual({ inserted: 2, updated: 0, ignored: 0 })
  })

  it('is cancelled by its signal', async () => {
    const cancel = new AbortController()
    async function* rows() {
      yield reading(0)
      cancel.abort()
      yield reading(1)
    }
    await expect(writers[path].insert(readings, rows(), { signal: cancel.signal })).rejects.toMatchObject({
      code: 'TM_CANCELLED',
    })
    expect(await stored()).toEqual([])
  })

  it('keeps every random row that it was given exactly once', async () => {
    const row = fc.record({
      // any time, on days far apart and side by side: not so many that making and emptying chunks is all that is done
      time: fc
        .tuple(fc.constantFrom(-40, -17, -2, -1, 0, 1, 2, 9, 40), fc.integer({ min: 0, max: 23 }))
        .map(([day, hour]) => reading(24 * day + hour).time),
      tenant: fc.constantFrom('t1', 't2', 'ünï'),
      sensor: fc.string({ maxLength: 3 }).filter((s) => !s.includes('\0')),
      value: fc.option(fc.double({ noNaN: true }).map((x) => x + 0)),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(row, { maxLength: 30 }), async (rows) => {
        await test.db.execute('truncate readings')
        const expected = new Map(rows.map((r) => [`${r.time} ${r.tenant} ${r.sensor}`, r]))
        const result = await writers[path].upsert(readings, rows)
        expect(result).toEqual({ inserted: expected.size, updated: rows.length - expected.size })
        const back = new Map((await stored()).map((r) => [`${r.time} ${r.tenant} ${r.sensor}`, r]))
        expect(back).toEqual(expected)
      }),
      { numRuns: 25 },
    )
  })
})

describe('changing rows', () => {
  it('updates and deletes what the filter and the range say, and logs it', async () => {
    const { small } = writers
    await small.insert(readings, [reading(0), reading(1), reading(30), reading(31, 5, 'b')])
    await clearLog(test.db)
    const where = {
      kind: 'compare',
      ref: { column: 'sensor', path: [] },
      operator: 'eq',
      value: 'a',
    } as const
    const range = { from: parseInstant('2026-01-02T00:00:00Z'), to: parseInstant('2026-01-03T00:00:00Z') }
    expect(await small.update(readings, { set: { value: 42 }, where, range })).toEqual({ updated: 1 })
    expect(await small.delete(readings, { where, range: null })).toEqual({ deleted: 3 })
    expect(await stored()).toEqual([reading(31, 5, 'b')])
    expect(await readLog(test.db, readings)).toEqual([
      'statement t1 01-02T06:00 01-02T07:00',
      'statement t1 01-01T00:00 01-01T02:00',
      'statement t1 01-02T06:00 01-02T07:00',
    ])
  })

  it('refuses values that do not fit, and columns that are not there', async () => {
    const input = { where: null, range: null }
    for (const set of [{ value: 'x' }, { nothing: 1 }, { tenant: null }])
      await expect(writers.small.update(readings, { ...input, set })).rejects.toMatchObject({
        code: 'TM_QUERY',
      })
  })

  it('refuses to change an append-only table', async () => {
    const sealed = { ...readings, appendOnly: true }
    const input = { where: null, range: null }
    await expect(writers.small.delete(sealed, input)).rejects.toMatchObject({ code: 'TM_APPEND_ONLY' })
    await expect(writers.small.update(sealed, { ...input, set: { value: 1 } })).rejects.toMatchObject({
      code: 'TM_APPEND_ONLY',
    })
    await expect(writers.small.upsert(sealed, [])).rejects.toMatchObject({ code: 'TM_APPEND_ONLY' })
  })
})

describe('when chunks move or cannot be made', () => {
  it('routes again when a chunk was detached or dropped behind its back', async () => {
    await writers.large.insert(readings, [reading(24 * 100)])
    const map = await testChunks(test.db).map(readings)
    const chunk = map.chunks.at(-1)!
    const partition = identifier('tidemark_chunks', chunk.relation!)
    await test.db.execute(sql`alter table readings detach partition ${partition}; drop table ${partition}`)
    await test.db.query(sql`delete from tidemark.chunk where id = ${chunk.id}::int8`)
    await test.db.execute('update tidemark.hypertable set epoch = epoch + 1')
    expect(await writers.large.insert(readings, [reading(24 * 100, 2)])).toEqual({ inserted: 1, ignored: 0 })
    expect((await stored()).map((row) => row.value)).toEqual([2])
  })

  it('writes nothing into a chunk that somebody detached by hand: the table takes the rows', async () => {
    await writers.large.insert(readings, [reading(24 * 110)])
    const chunk = (await testChunks(test.db).map(readings)).chunks.at(-1)!
    const partition = identifier('tidemark_chunks', chunk.relation!)
    await test.db.execute(sql`alter table readings detach partition ${partition}`)
    await clearLog(test.db)
    expect(await writers.large.insert(readings, [reading(24 * 110, 2)])).toEqual({ inserted: 1, ignored: 0 })
    expect((await stored()).map((row) => row.value)).toEqual([2])
    expect(await readLog(test.db, readings)).toHaveLength(1)
    await test.db.execute(sql`drop table ${partition}`)
    await test.db.query(sql`delete from tidemark.chunk where id = ${chunk.id}::int8`)
    await test.db.execute('truncate readings; update tidemark.hypertable set epoch = epoch + 1')
  })

  it('writes to the default partition while a reader keeps a chunk from being attached, and logs it', async () => {
    const reader = await test.connect()
    await reader.execute('begin; select * from readings')
    const db = test.db
    const chunks = testChunks(db, { tries: 2, lockTimeoutMs: 10 })
    for (const [smallRows, hour] of [
      [1000, 24 * 200],
      [0, 24 * 201],
    ] as const) {
      await clearLog(db)
      await createHotWriter({ db, chunks, smallRows }).insert(readings, [reading(hour)])
      expect(await readLog(db, readings)).toHaveLength(1)
    }
    expect(await stored()).toHaveLength(2)
    await reader.execute('commit')
    await reader.close()
    expect(await testChunks(db).drainDefault(readings)).toEqual({ kind: 'drained', rows: 2n, chunks: 2 })
    expect(await stored()).toHaveLength(2)
  })

  it('says so when rows are scattered over more chunks than there may be', async () => {
    await test.db.execute(`update tidemark.hypertable set max_chunks = 20 where table_name = 'keyless'`)
    const rows = Array.from({ length: 40 }, (_, i) => ({ time: reading(24 * i).time }))
    const chunks = testChunks(test.db)
    for (const smallRows of [0, 1000])
      await expect(
        createHotWriter({ db: test.db, chunks, smallRows }).insert(keyless, rows),
      ).rejects.toMatchObject({
        code: 'TM_CHUNK_CAP',
      })
  })

  it('refuses an array that is too large for one transaction', async () => {
    const writer = createHotWriter({
      db: test.db,
      chunks: testChunks(test.db),
      maxBatchBytes: 1000,
      smallRows: 0,
    })
    const rows = Array.from({ length: 100 }, (_, i) => reading(i))
    await expect(writer.insert(readings, rows)).rejects.toMatchObject({ code: 'TM_LIMIT' })
    expect(await writer.insert(readings, rows.values())).toEqual({ inserted: 100, ignored: 0 })
  })
})
