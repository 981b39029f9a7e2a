import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Tidemark } from '../../src/engine.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { raw } from '../../src/util/sql.ts'
import type { TestDatabase } from '../helpers/database.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { writeFile } from './files.ts'

const loose = hypertable('cold.loose', {
  columns: { time: t.timestamptz(), host: t.text(), value: t.float8().nullable() },
  time: 'time',
  chunk: '1 day',
  orderBy: ['host', 'time'],
  changeCell: '1 hour',
})
const keyed = hypertable('cold.keyed', {
  columns: { time: t.timestamptz(), tenant: t.text(), amount: t.numeric(10, 2), number: t.float8() },
  time: 'time',
  tenant: 'tenant',
  primaryKey: ['tenant', 'amount', 'number', 'time'],
  chunk: '1 day',
})
const config = defineConfig({ datasets: [loose, keyed], lake: { dir: 'lake', threads: 1 } })
const clock = fixedClock(parseInstant('2026-03-01T00:00:00Z'))

let engine: TestEngine<typeof config>
let test: TestDatabase
let tm: Tidemark<typeof config>
beforeEach(async () => {
  engine = await createTestEngine(config, { clock })
  ;({ test, tm } = engine)
})
afterEach(() => engine.close())

const minute = 60_000
const start = Date.UTC(2026, 0, 1)
const line = (i: number): string => `${new Date(start + i * minute).toISOString()},h${i % 3},${i}`
const csv = (lines: readonly string[]): string => `time,host,value\n${lines.join('\n')}\n`
const count = (n: number): number[] => Array.from({ length: n }, (_, i) => i)

async function scalars(query: string): Promise<unknown[]> {
  return [...(await test.db.query(raw(query))).rows[0]!]
}

async function chunks(): Promise<string[]> {
  const { rows } = await test.db.query(
    raw(`
      select to_char(k.range_from at time zone 'UTC', 'MM-DD') || ' ' || k.state || ' '
        || coalesce((select string_agg(f.row_count::text, '+' order by f.id) from tidemark.lake_file as f where f.chunk_id = k.id), '-')
        || case when k.relation_name is null then '' else ' partition' end
      from tidemark.chunk as k
      where k.state = 'cold'
      order by k.range_from`),
  )
  return rows.map(([text]) => text as string)
}

async function sums(name: string): Promise<unknown> {
  const { rows } = await tm.queryUnknown(name, {
    from: '2025-01-01T00:00:00Z',
    to: '2027-01-01T00:00:00Z',
    select: { n: { fn: 'count' }, sum: { fn: 'sum', column: name === 'cold.loose' ? 'value' : 'number' } },
  })
  return rows
}

it('a file becomes a file of the lake for each chunk, and all rows are there', async () => {
  const file = writeFile('rows.csv', csv(count(4000).map(line)))
  const report = await tm.import('cold.loose', file, { cold: true, batchRows: 500 })
  expect(report).toMatchObject({
    rows: 4000,
    dead: 0,
    inserted: 4000,
    cold: { files: 3, chunks: 3, warnings: [] },
  })
  expect(await chunks()).toEqual(['01-01 cold 1440', '01-02 cold 1440', '01-03 cold 1120'])
  expect(await sums('cold.loose')).toEqual([{ n: 4000, sum: 7998000 }])
  const { problems, rows } = await tm.verify()
  expect({ problems, rows }).toEqual({ problems: [], rows: 4000 })
  expect(await scalars('select count(*) from cold.loose')).toEqual([0n])
  expect(await scalars('select count(*) from tidemark.import_file')).toEqual([0n])
  expect(await scalars('select count(*) from tidemark.lake_trash')).toEqual([0n])
  const hours = await scalars(`
    select min(range_from) = '2026-01-01Z', max(range_to) = '2026-01-03 19:00Z', count(distinct source), min(source)
    from tidemark.change_log`)
  expect(hours).toEqual([true, true, 1n, 'ingest'])
})

it('nothing is visible before everything is, and a kill in between costs nothing', async () => {
  const lines = count(4000).map(line)
  lines[2000] = '2026-01-02T09:20:00Z,h1,many'
  const file = writeFile('rows.csv', csv(lines))
  const stop = new AbortController()
  const call = { cold: true, batchRows: 500 } as const
  // what makes the rows visible has to wait until all of it was looked at
  const holder = await test.connect()
  await holder.execute('begin; lock table tidemark.lake_file in share mode')
  const cancelled = tm.import('cold.loose', file, { ...call, signal: stop.signal }).catch((error) => error)
  const staged = async () => Number((await scalars('select count(*) from tidemark.import_file'))[0])
  await expect.poll(staged).toBeGreaterThan(0)
  expect(await sums('cold.loose')).toEqual([{ n: 0, sum: null }])
  stop.abort()
  expect((await cancelled).message).toMatch(
    /rows are written and not visible yet, and the same import goes on/,
  )
  await holder.execute('rollback')
  await holder.close()
  expect(await staged()).toBeGreaterThan(0)
  expect(await sums('cold.loose')).toEqual([{ n: 0, sum: null }])
  expect(await chunks()).toEqual([])
  expect((await tm.verify()).problems).toEqual([])
  const report = await tm.import('cold.loose', file, call)
  expect(report).toMatchObject({ isResumed: true, rows: 3999, dead: 1, deadByReason: { type: 1 } })
  expect(report.recordsThisRun).toBeLessThan(4000)
  expect(await sums('cold.loose')).toEqual([{ n: 3999, sum: 7998000 - 2000 }])
  expect((await tm.verify()).problems).toEqual([])
  await expect(tm.import('cold.loose', file, call)).rejects.toThrow(/was imported into cold.loose already/)
})

it('chunks that hold rows get a further file, and rows in PostgreSQL stay where they are', async () => {
  await tm.insert(
    loose,
    count(10).map((i) => ({ time: new Date(start + i * minute), host: 'hot', value: 1 })),
  )
  const file = writeFile('rows.csv', csv(count(2000).map(line)))
  await tm.import('cold.loose', file, { cold: true })
  expect(await chunks()).toEqual(['01-01 cold 1440 partition', '01-02 cold 560'])
  await tm.import('cold.loose', file, { cold: true, again: true })
  expect(await chunks()).toEqual(['01-01 cold 1440+1440 partition', '01-02 cold 560+560'])
  expect(await sums('cold.loose')).toEqual([{ n: 4010, sum: 2 * 1999000 + 10 }])
  expect((await tm.verify()).problems).toEqual([])
  await expect(test.db.execute('update cold.loose set value = 0')).rejects.toThrow(/TM_COLD/)
  await tm.insert(loose, [{ time: '2026-01-02T00:00:00Z', host: 'late', value: 5 }])
  expect(await sums('cold.loose')).toEqual([{ n: 4011, sum: 2 * 1999000 + 15 }])
  expect(await tm.thaw('cold.loose', { all: true })).toMatchObject({ rows: 4000 })
  expect(await scalars('select count(*) from cold.loose')).toEqual([4011n])
})

it('rows in no order become one file a chunk, and newest first is an order', async () => {
  const lines = count(6000).map(line)
  const shuffled = lines.map((text, i) => ({ text, at: (i * 2741) % 6000 })).sort((a, b) => a.at - b.at)
  const file = writeFile('shuffled.csv', csv(shuffled.map(({ text }) => text)))
  await tm.import('cold.loose', file, { cold: true, batchRows: 100 })
  const once = ['01-01 cold 1440', '01-02 cold 1440', '01-03 cold 1440', '01-04 cold 1440', '01-05 cold 240']
  expect(await chunks()).toEqual(once)
  expect(await sums('cold.loose')).toEqual([{ n: 6000, sum: 17997000 }])
  const reversed = writeFile('reversed.csv', csv([...lines].reverse()))
  const report = await tm.import('cold.loose', reversed, { cold: true, batchRows: 100 })
  expect(report.cold).toMatchObject({ files: 5, chunks: 5 })
  const { rows } = await test.db.query(raw('select count(*) from tidemark.import where is_cold'))
  expect(rows).toEqual([[2n]])
  expect((await tm.verify()).problems).toEqual([])
})

it('a chunk that is in the default partition may be imported into, too', async () => {
  await test.db.execute(`insert into cold.loose values ('2026-01-01 12:00Z', 'default', 7)`)
  await tm.import('cold.loose', writeFile('rows.csv', csv(count(5).map(line))), { cold: true })
  expect(await chunks()).toEqual(['01-01 cold 5'])
  expect(await sums('cold.loose')).toEqual([{ n: 6, sum: 17 }])
})

const keyLine = (i: number): string => `${new Date(start + i * minute).toISOString()},t${i % 2},${i}.5,${i}`
const keyCsv = (lines: readonly string[]): string => `time,tenant,amount,number\n${lines.join('\n')}\n`

it.for([
  ['in the file', [keyLine(5).replace('5.5', '5.50'), keyLine(2000)], []],
  [
    'in two chunks apart, one of them with -0',
    ['2026-01-05T00:00:00Z,t1,0,-0', '2026-01-05T00:00:00Z,t1,-0.00,0'],
    [],
  ],
  ['in PostgreSQL', [], [{ time: new Date(start + 7 * minute), tenant: 't1', amount: '7.5', number: 7 }]],
] as const)('a key that is there twice %s stops the import, and nothing is in', async ([, more, hot]) => {
  await tm.insert(keyed, [...hot])
  const file = writeFile('keys.csv', keyCsv([...count(3000).map(keyLine), ...more]))
  const failed = await tm.import('cold.keyed', file, { cold: true }).catch((error: unknown) => error)
  expect(failed).toMatchObject({ code: 'TM_DUPLICATE_KEY' })
  expect(await sums('cold.keyed')).toEqual([{ n: hot.length, sum: hot.length === 0 ? null : 7 }])
  expect(await chunks()).toEqual([])
})

it('keys are compared with files that are there, less what has been deleted of them', async () => {
  const file = writeFile('keys.csv', keyCsv(count(3000).map(keyLine)))
  expect(await tm.import('cold.keyed', file, { cold: true })).toMatchObject({ rows: 3000 })
  const again = { cold: true, again: true } as const
  await expect(tm.import('cold.keyed', file, again)).rejects.toThrow(
    /is there twice, and nothing of the file is in/,
  )
  expect(await chunks()).toEqual(['01-01 cold 1440', '01-02 cold 1440', '01-03 cold 120'])
  const other = writeFile(
    'others.csv',
    keyCsv(count(10).map((i) => keyLine(i).replace('t0', 't2').replace('t1', 't3'))),
  )
  expect(await tm.import('cold.keyed', other, { cold: true })).toMatchObject({ rows: 10 })
  expect(await chunks()).toEqual(['01-01 cold 1440+10', '01-02 cold 1440', '01-03 cold 120'])
  await test.db.execute(
    `insert into tidemark.lake_deletion (file_id, positions)
     select id, array(select p from generate_series(0, 1439) as p) from tidemark.lake_file order by id limit 1`,
  )
  const first = writeFile('first.csv', keyCsv(count(20).map(keyLine)))
  expect(await tm.import('cold.keyed', first, { cold: true })).toMatchObject({ rows: 20 })
  expect(await sums('cold.keyed')).toMatchObject([{ n: 1560 + 10 + 20 }])
  // a plain insert cannot know the keys in the lake
  await expect(
    test.db.execute(`insert into cold.keyed values ('2026-01-02 00:00Z', 't0', 1, 1)`),
  ).rejects.toThrow(/TM_COLD/)
})

it('an import that is given up leaves nothing: by the next one of the file, or by the sweep', async () => {
  const file = writeFile('keys.csv', keyCsv([...count(3000).map(keyLine), keyLine(5), 'no time,t,1,1']))
  await expect(tm.import('cold.keyed', file, { cold: true })).rejects.toThrow(/is there twice/)
  const staged = async () =>
    scalars(`
      select
        (select count(*) from tidemark.import_file),
        (select count(*) from tidemark.lake_trash where reason = 'cancelled'),
        (select count(*) from tidemark.dead_letter)`)
  const [files, , letters] = await staged()
  expect([files, letters]).toEqual([3n, 1n])
  await expect(tm.import('cold.keyed', file, { cold: true, again: true })).rejects.toThrow(/is there twice/)
  const [filesAgain, trash, lettersAgain] = await staged()
  expect([filesAgain, lettersAgain]).toEqual([3n, 1n])
  expect(Number(trash)).toBeGreaterThanOrEqual(3)
  await tm.sweep()
  expect((await staged())[0]).toEqual(3n)
  await test.db.execute(`update tidemark.import_file set staged_at = now() - interval '8 days'`)
  await test.db.execute(`update tidemark.lake_trash set dropped_at = now() - interval '2 days'`)
  const { removed } = await tm.sweep()
  expect(removed).toBe(Number(trash))
  expect(await staged()).toEqual([0n, trash, 0n])
  await test.db.execute(`update tidemark.lake_trash set dropped_at = now() - interval '2 days'`)
  await tm.sweep()
  expect((await tm.verify()).problems).toEqual([])
  expect((await staged())[1]).toBe(0n)
})

it.for([
  [
    'alter table cold.loose add constraint positive check (value > 0)',
    /the check constraint positive would not be checked/,
  ],
  ['alter table cold.loose alter column value set not null', /NOT NULL of value, which is declared nullable/],
  ['create unique index on cold.loose (lower(host), time)', /the unique index .* cannot be checked there/],
  ['create publication everything for table cold.loose', /the publication everything would not send them/],
  [
    `create function f() returns trigger language plpgsql as 'begin return new; end';
     create trigger mine before insert on cold.loose for each row execute function f()`,
    /the trigger mine would not be fired/,
  ],
  [
    'create table other (time timestamptz primary key); alter table cold.loose add foreign key (time) references other',
    /foreign key/,
  ],
  [
    'alter table cold.loose alter column host type varchar(5)',
    /the type character varying\(5\) of host|declared/,
  ],
] as const)('what only PostgreSQL could do is refused by name: %s', async ([change, message]) => {
  await test.db.execute(change)
  const file = writeFile('rows.csv', csv(count(5).map(line)))
  await expect(tm.import('cold.loose', file, { cold: true })).rejects.toThrow(message)
  expect(await scalars('select count(*) from tidemark.import')).toEqual([0n])
})

it('options that mean nothing in the lake are refused', async () => {
  const file = writeFile('rows.csv', csv(count(5).map(line)))
  await expect(tm.import('cold.loose', file, { cold: true, onConflict: 'ignore' })).rejects.toThrow(
    /import.onConflict: must be error with cold/,
  )
  await tm.import('cold.loose', file, { cold: true, limit: 2 })
  await expect(tm.import('cold.loose', file, {})).rejects.toThrow(/imported into cold.loose already/)
})
