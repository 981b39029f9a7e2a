import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createHotWriter } from '../../src/hot/write.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { clearLog, createTestHypertable, readings, readLog, testChunks } from './create-test-hypertable.ts'

const indexed = hypertable('public.indexed', {
  columns: { time: t.timestamptz(), 'Odd "name"': t.text(), value: t.float8().nullable() },
  time: 'time',
  chunk: '1 day',
  indexes: [['Odd "name"', '-time'], ['value']],
})

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
  await createTestHypertable(test.db, indexed)
})
afterAll(() => test.drop())
beforeEach(async () => {
  await test.db.execute('truncate readings; truncate indexed')
  await clearLog(test.db)
})

let day = 0
/** Days that no test before has used. */
const newDay = () => {
  day += 10
  return Date.UTC(2026, 0, 1 + day)
}
const rowsOf = (start: number, count: number, stepMs = 1000) =>
  Array.from({ length: count }, (_, i) => ({
    time: new Date(start + i * stepMs),
    tenant: 't',
    sensor: 's',
    value: i,
  }))
const one = async (statement: string) =>
  (await test.db.query({ kind: 'sql', parts: [{ kind: 'text', text: statement }] })).rows[0]![0]
const writer = () => createHotWriter({ db: test.db, chunks: testChunks(test.db) })
const chunkAtDay = (start: number) => sql`
  select c.oid::regclass::text
  from tidemark.chunk as k
  join pg_class as c on c.relname = k.relation_name
  where k.range_from = ${new Date(start).toISOString()}::timestamptz`

/** Everything that is made with a chunk, its name left out. */
async function shapeOf(start: number): Promise<string[]> {
  const { rows } = await test.db.query(sql`
    with chunk as (
      select c.oid, c.relname
      from tidemark.chunk as k
      join pg_class as c on c.relname = k.relation_name
      where k.range_from = ${new Date(start).toISOString()}::timestamptz
    )
    select 'index ' || i.indisprimary || i.indisvalid || substr(pg_get_indexdef(i.indexrelid), strpos(pg_get_indexdef(i.indexrelid), ' USING '))
      || ' of ' || coalesce((select h.inhparent::regclass::text from pg_inherits as h where h.inhrelid = i.indexrelid), 'none')
    from chunk join pg_index as i on i.indrelid = chunk.oid
    union all
    select 'trigger ' || g.tgname || ' ' || g.tgenabled::text from chunk join pg_trigger as g on g.tgrelid = chunk.oid
    union all
    select 'constraint ' || k.contype::text || replace(k.conname, chunk.relname, '')
    from chunk join pg_constraint as k on k.conrelid = chunk.oid
    order by 1`)
  return rows.map(([line]) => line as string)
}

describe('a chunk that comes with its rows', () => {
  it.each([
    ['keys', readings, (start: number, count: number) => rowsOf(start, count)],
    [
      'indexes',
      indexed,
      (start: number, count: number) =>
        rowsOf(start, count).map(({ time, value }) => ({ time, 'Odd "name"': `n${value % 7}`, value })),
    ],
  ])('is like one that was made before them: %s', async (_, table, make) => {
    const start = newDay()
    const other = start + 86_400_000
    await testChunks(test.db).ensureChunks(table, [parseInstant(new Date(other).toISOString())])
    await writer().insert(table, make(start, 30_000))
    await writer().insert(table, make(other, 30_000))
    expect(await shapeOf(start)).toEqual(await shapeOf(other))
    expect((await shapeOf(start)).length).toBeGreaterThan(2)
    expect(await one(`select count(*) from ${table.table}`)).toBe(60_000n)
    const [[plan]] = (await test.db.query(chunkAtDay(start))).rows as [[string]]
    expect(await one(`select count(*) from only ${plan}`)).toBe(30_000n)
  })

  it('logs the cells of its rows, once', async () => {
    const start = newDay()
    await writer().insert(readings, rowsOf(start, 21_600))
    expect(await readLog(test.db, readings)).toEqual([
      expect.stringMatching(/^ingest t \d\d-\d\dT00:00 \d\d-\d\dT06:00$/),
    ])
  })

  it('takes rows for other chunks in the same call', async () => {
    const start = newDay()
    await writer().insert(readings, rowsOf(start, 10))
    const rows = [
      ...rowsOf(start + 3600_000, 5000),
      ...rowsOf(start + 86_400_000, 25_000),
      ...rowsOf(start + 5 * 86_400_000, 30),
    ]
    expect(await writer().insert(readings, rows)).toEqual({ inserted: 30_030, ignored: 0 })
    expect(await one('select count(*) from readings')).toBe(30_040n)
    expect(await one('select count(*) from tidemark_chunks.readings_default')).toBe(0n)
  })

  it('refuses a key that comes twice, and leaves nothing', async () => {
    const start = newDay()
    const rows = [...rowsOf(start, 25_000), rowsOf(start, 1)[0]!]
    const chunks = await one('select count(*) from tidemark.chunk')
    await expect(writer().insert(readings, rows)).rejects.toMatchObject({ code: 'TM_DUPLICATE_KEY' })
    expect(await one('select count(*) from readings')).toBe(0n)
    expect(await one('select count(*) from tidemark.chunk')).toBe(chunks)
    expect(
      await one(
        `select count(*) from pg_class as c where c.relnamespace = 'tidemark_chunks'::regnamespace and c.relkind = 'r'
         and not exists (select from pg_inherits as i where i.inhrelid = c.oid)`,
      ),
    ).toBe(0n)
    expect(await readLog(test.db, readings)).toEqual([])
  })

  it('is given up when somebody else makes the same chunk meanwhile', async () => {
    const start = newDay()
    let isMade = false
    const chunks = testChunks(test.db, {
      // called for the table that is being filled
      applyPolicies: async () => {
        if (isMade) return
        isMade = true
        await writer().insert(readings, rowsOf(start + 43_200_000, 3))
      },
    })
    const counts = await createHotWriter({ db: test.db, chunks }).insert(readings, rowsOf(start, 25_000))
    expect(counts).toEqual({ inserted: 25_000, ignored: 0 })
    expect(isMade).toBe(true)
    expect(await one('select count(*) from readings')).toBe(25_003n)
    expect(await one('select count(*) from tidemark_chunks.readings_default')).toBe(0n)
  })

  it('does without while a reader holds the default partition, whose rows everybody sees', async () => {
    const start = newDay()
    const reader = await test.connect()
    await reader.execute('begin; select count(*) from readings')
    const chunks = testChunks(test.db, { lockTimeoutMs: 5, sleep: async () => {} })
    await createHotWriter({ db: test.db, chunks }).insert(readings, rowsOf(start, 25_000))
    await reader.execute('rollback')
    expect(await one('select count(*) from readings')).toBe(25_000n)
    expect(await one('select count(*) from tidemark_chunks.readings_default')).toBe(25_000n)
    await testChunks(test.db).drainDefault(readings)
    expect(await one('select count(*) from tidemark_chunks.readings_default')).toBe(0n)
    expect(await one('select count(*) from readings')).toBe(25_000n)
  })

  it('shows its rows to nobody with an older snapshot', async () => {
    const start = newDay()
    const reader = await test.connect()
    await reader.execute('begin isolation level repeatable read; select pg_current_snapshot()')
    await writer().insert(readings, rowsOf(start, 25_000))
    const { rows } = await reader.query(sql`select count(*) from readings`)
    expect(rows[0]![0]).toBe(0n)
    await reader.execute('rollback')
    expect(await one('select count(*) from readings')).toBe(25_000n)
  })

  it.each([
    [
      'a trigger for each row',
      `create trigger mark after insert on readings for each row execute function mark()`,
      'drop trigger mark on readings',
    ],
    ['a publication', `create publication changes for table readings`, 'drop publication changes'],
  ])('is not made for a table with %s', async (_, set, unset) => {
    await test.db.execute(`
      create table if not exists marks (at timestamptz);
      create or replace function mark() returns trigger language plpgsql as
        $$ begin insert into marks values (new.time); return null; end $$;
      ${set}`)
    try {
      expect(await testChunks(test.db).loader(readings, [])).toBeNull()
      const start = newDay()
      await writer().insert(readings, rowsOf(start, 20_000))
      if (set.includes('trigger')) expect(await one('select count(*) from marks')).toBe(20_000n)
    } finally {
      await test.db.execute(unset)
    }
    expect(await testChunks(test.db).loader(readings, [])).not.toBeNull()
  })
})

it('a stream over two connections fills each chunk in one batch, late rows and all', async () => {
  const start = newDay()
  const perDay = 30_000
  function* rows() {
    for (let d = 0; d < 4; d += 1) {
      yield* rowsOf(start + d * 86_400_000, perDay, 2000)
      // late rows of the day before
      if (d > 0) yield* rowsOf(start + (d - 1) * 86_400_000 + 500, 50, 2000)
    }
  }
  const total = 4 * perDay + 150
  expect(await writer().insert(readings, rows(), { connections: 2, batchRows: 25_000 })).toEqual({
    inserted: total,
    ignored: 0,
  })
  expect(await one('select count(*) from readings')).toBe(BigInt(total))
  expect(await one('select count(distinct time) from readings')).toBe(BigInt(total))
  expect(await one('select count(*) from tidemark_chunks.readings_default')).toBe(0n)
  // the rows of a chunk that was filled at once are of one transaction
  expect(
    await one(
      `select count(distinct xmin::text) from only ${((await test.db.query(chunkAtDay(start + 3 * 86_400_000))).rows as [[string]])[0][0]}`,
    ),
  ).toBe(1n)
})
