import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  auditHypertable,
  findHypertable,
  findTriggerProblems,
  installTriggers,
} from '../../src/changelog/index.ts'
import type { Connection } from '../../src/postgres/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { identifier, raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import {
  clearLog,
  createTestHypertable,
  readings,
  readLog,
  testChunks,
} from '../hot/create-test-hypertable.ts'
import { audit } from './helpers.ts'

let test: TestDatabase
let writer: Connection & { close(): Promise<void> }
/** Partitions of 2026-01-01 and 2026-01-02, quoted. */
let first: string
let second: string

beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
  const days = ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'].map((day) => parseInstant(day))
  const { chunks } = await testChunks(test.db).ensureChunks(readings, days)
  first = `tidemark_chunks."${chunks[0]!.relation}"`
  second = `tidemark_chunks."${chunks[1]!.relation}"`
  writer = await test.connect()
})
afterAll(() => test.drop())

const rowsOfFirst = `('2026-01-01T01:10Z', 't1', 'a', 1), ('2026-01-01T02:10Z', 't1', 'a', 2), ('2026-01-01T09:10Z', 't2', 'a', 3)`

beforeEach(async () => {
  await test.db.execute(`truncate readings; insert into readings values ${rowsOfFirst}`)
  await auditHypertable(test.db, readings)
  await clearLog(test.db)
  // What the preparation logged is gone: compare from here on.
  await auditHypertable(test.db, readings)
  await clearLog(test.db)
})

const log = () => readLog(test.db, readings)
const run = (text: string) => writer.execute(text)

describe('every write through the table logs the cells it touched', () => {
  it('INSERT of several rows: adjacent cells of a tenant are one range', async () => {
    await run(
      `insert into readings values ('2026-01-01T05:00Z','t1','b',1), ('2026-01-01T06:59Z','t1','b',1), ('2026-01-02T00:00Z','t2','b',1)`,
    )
    expect(await log()).toEqual([
      'statement t1 01-01T05:00 01-01T07:00',
      'statement t2 01-02T00:00 01-02T01:00',
    ])
  })

  it('COPY', async () => {
    const lines = [
      '2026-01-01T05:00Z\tt1\tb\t1\n',
      '2026-01-02T05:00Z\tt1\tb\t1\n',
      '2027-01-02T05:00Z\tt1\tb\t1\n',
    ]
    await writer.copyFrom(
      raw('copy readings from stdin'),
      lines.map((line) => Buffer.from(line)),
    )
    expect(await log()).toEqual([
      'statement t1 01-01T05:00 01-01T06:00',
      'statement t1 01-02T05:00 01-02T06:00',
      'statement t1 01-02T05:00 01-02T06:00',
    ])
  })

  it('UPDATE logs where the row was and where it is', async () => {
    await run(
      `update readings set time = time + interval '4 hours', tenant = 't9' where sensor = 'a' and time < '2026-01-01T02:00Z'`,
    )
    expect(await log()).toEqual([
      'statement t1 01-01T01:00 01-01T02:00',
      'statement t9 01-01T05:00 01-01T06:00',
    ])
  })

  it('UPDATE that moves a row to another partition, and into the default partition', async () => {
    await run(`update readings set time = time + interval '1 day' where tenant = 't2'`)
    expect(await log()).toEqual([
      'statement t2 01-01T09:00 01-01T10:00',
      'statement t2 01-02T09:00 01-02T10:00',
    ])
    await clearLog(test.db)
    await run(`update readings set time = time + interval '7 days' where tenant = 't2'`)
    expect(await log()).toEqual([
      'statement t2 01-02T09:00 01-02T10:00',
      'statement t2 01-09T09:00 01-09T10:00',
    ])
  })

  it('DELETE', async () => {
    await run(`delete from readings where time < '2026-01-01T03:00Z'`)
    expect(await log()).toEqual(['statement t1 01-01T01:00 01-01T03:00'])
  })

  it('ON CONFLICT DO UPDATE logs both what it inserted and what it changed; DO NOTHING only what it inserted', async () => {
    const values = `('2026-01-01T01:10Z','t1','a',7), ('2026-01-01T20:00Z','t1','a',7)`
    await run(
      `insert into readings values ${values} on conflict (tenant, sensor, time) do update set value = excluded.value`,
    )
    expect((await log()).sort()).toEqual([
      'statement t1 01-01T01:00 01-01T02:00',
      'statement t1 01-01T20:00 01-01T21:00',
    ])
    await clearLog(test.db)
    await run(
      `insert into readings values ${values}, ('2026-01-01T21:00Z','t1','a',7) on conflict do nothing`,
    )
    expect(await log()).toEqual(['statement t1 01-01T21:00 01-01T22:00'])
  })

  it('MERGE with insert, update and delete', async () => {
    await run(`
      merge into readings as r
      using (values ('2026-01-01T01:10Z'::timestamptz, 't1', 1), ('2026-01-01T09:10Z', 't2', 2), ('2026-01-02T03:00Z', 't3', 3)) as v (time, tenant, what)
      on r.time = v.time and r.tenant = v.tenant
      when matched and what = 1 then update set value = 100
      when matched then delete
      when not matched then insert values (v.time, v.tenant, 'm', 1)`)
    expect((await log()).sort()).toEqual([
      'statement t1 01-01T01:00 01-01T02:00',
      'statement t2 01-01T09:00 01-01T10:00',
      'statement t3 01-02T03:00 01-02T04:00',
    ])
  })

  it('a data-modifying WITH', async () => {
    await run(
      `with gone as (delete from readings where tenant = 't2' returning *) insert into readings select time + interval '1 hour', tenant, sensor, value from gone`,
    )
    expect((await log()).sort()).toEqual([
      'statement t2 01-01T09:00 01-01T10:00',
      'statement t2 01-01T10:00 01-01T11:00',
    ])
  })

  it('TRUNCATE marks everything', async () => {
    await run('truncate readings')
    expect(await log()).toContain('truncate * -infinity infinity')
  })

  it('nothing when no row was touched', async () => {
    await run(
      `update readings set value = 0 where false; delete from readings where false; insert into readings select * from readings where false`,
    )
    expect(await log()).toEqual([])
  })

  it('in a session with replica role, where ordinary triggers are off', async () => {
    await run(
      `begin; set local session_replication_role = replica; delete from readings where tenant = 't2'; commit`,
    )
    expect(await log()).toEqual(['statement t2 01-01T09:00 01-01T10:00'])
  })

  it('by a role without any right on the catalog, and with a search_path that holds traps', async () => {
    await run(`
      create role writer_without_rights;
      grant insert, select on readings to writer_without_rights;
      create schema trap;
      create function trap.date_bin(interval, timestamptz, timestamptz) returns timestamptz language sql as 'select null::timestamptz';
      create function trap.array_agg(text) returns text[] language sql as 'select null::text[]';
      grant usage on schema trap to writer_without_rights`)
    await run(`
      begin; set local search_path = trap, public; set local role writer_without_rights;
      insert into public.readings values ('2026-01-01T15:00Z','t1','x',1), ('2026-01-01T15:00Z','t1','y',1); commit`)
    expect(await log()).toEqual(['statement t1 01-01T15:00 01-01T16:00'])
    await run(
      'revoke all on readings from writer_without_rights; drop schema trap cascade; drop role writer_without_rights',
    )
  })

  it('at most 64 ranges a statement: tenants are given up first, then the smallest gaps are closed, never all', async () => {
    await run(
      `insert into readings select '2026-01-01T03:00Z', 'tenant ' || i, 's', 0 from generate_series(1, 100) as i`,
    )
    expect(await log()).toEqual(['statement * 01-01T03:00 01-01T04:00'])
    await clearLog(test.db)
    // 100 single cells two hours apart, and one far away.
    await run(
      `insert into readings select timestamptz '2026-03-01Z' + i * interval '2 hours', 't1', 's', 0 from generate_series(0, 99) as i`,
    )
    await run(
      `insert into readings select timestamptz '2026-04-01Z' + i * interval '2 hours', 't1', 's', 0 from generate_series(0, 99) as i union all select '2030-01-01Z', 't1', 's', 0`,
    )
    const lines = await log()
    expect(lines).toHaveLength(128)
    const { rows } = await test.db.query(sql`
      select sum(extract(epoch from range_to - range_from) / 3600)::int4 from tidemark.change_log where range_from >= '2026-04-01Z'`)
    // 64 ranges hold 101 cells and the 37 gaps of an hour that were closed.
    expect(rows[0]![0]).toBe(101 + 37)
    const { rows: uncovered } = await test.db.query(sql`
      select count(*) from readings as r where r.time >= '2026-03-01Z' and not exists (
        select from tidemark.change_log as l where r.time >= l.range_from and r.time < l.range_to)`)
    expect(uncovered).toEqual([[0n]])
  })

  it('a savepoint that is rolled back takes its entries with it, and nothing else', async () => {
    await run(`
      begin;
      insert into readings values ('2026-01-01T15:00Z','t1','x',1);
      savepoint s; insert into readings values ('2026-01-01T17:00Z','t1','x',1); rollback to s;
      savepoint s2; insert into readings values ('2026-01-01T19:00Z','t1','x',1); release s2;
      commit`)
    expect(await log()).toEqual([
      'statement t1 01-01T15:00 01-01T16:00',
      'statement t1 01-01T19:00 01-01T20:00',
    ])
    const { rows } = await test.db.query(sql`select count(distinct xid) from tidemark.change_log`)
    expect(rows).toEqual([[1n]])
  })
})

describe('every write to a partition itself marks the whole chunk', () => {
  it.each([
    ['INSERT', () => `insert into ${first} values ('2026-01-01T05:00Z','t1','b',1)`],
    ['UPDATE', () => `update ${first} set value = 9 where tenant = 't2'`],
    ['DELETE', () => `delete from ${first} where tenant = 't2'`],
    [
      'ON CONFLICT DO UPDATE',
      () =>
        `insert into ${first} values ('2026-01-01T01:10Z','t1','a',7) on conflict (tenant, sensor, time) do update set value = 8`,
    ],
    [
      'MERGE',
      () =>
        `merge into ${first} as r using (values (1)) as v (x) on r.tenant = 't2' when matched then update set value = 100`,
    ],
    [
      'UPDATE in replica role',
      () => `begin; set local session_replication_role = replica; update ${first} set value = 9; commit`,
    ],
  ])('%s', async (_, statement) => {
    await run(statement())
    expect(new Set(await log())).toEqual(new Set(['partition * 01-01T00:00 01-02T00:00']))
    expect(await audit(test.db, readings)).toEqual([])
  })

  it('COPY', async () => {
    await writer.copyFrom(raw(`copy ${first} from stdin`), [Buffer.from('2026-01-01T05:00Z\tt1\tb\t1\n')])
    expect(await log()).toEqual(['partition * 01-01T00:00 01-02T00:00'])
  })

  it('TRUNCATE', async () => {
    await run(`truncate ${first}`)
    expect(await log()).toEqual(['truncate * 01-01T00:00 01-02T00:00'])
  })

  it('a write to the default partition logs its cells', async () => {
    await run(`insert into tidemark_chunks.readings_default values ('2031-05-05T05:05Z','t1','b',1)`)
    await run(`update tidemark_chunks.readings_default set value = 2`)
    await run(`delete from tidemark_chunks.readings_default`)
    expect(await log()).toEqual(Array(3).fill('statement t1 05-05T05:00 05-05T06:00'))
    await clearLog(test.db)
    await run('truncate tidemark_chunks.readings_default')
    expect(await log()).toEqual(['truncate * -infinity infinity'])
  })

  it('the guard of our own ingest holds in its own transaction and for its own table only', async () => {
    const { id } = await findHypertable(test.db, readings)
    await run(
      `begin; select tidemark.begin_logged_write(${id}); delete from ${first} where tenant = 't2'; commit`,
    )
    expect(await log()).toEqual([])
    // The same connection, and a setting that somebody left on for the whole of it.
    await run(`select set_config('tidemark.logged_by', '${id}:' || pg_current_xact_id()::text, false)`)
    await run(`insert into ${first} values ('2026-01-01T09:10Z', 't2', 'a', 3)`)
    expect(await log()).toEqual(['partition * 01-01T00:00 01-02T00:00'])
    await clearLog(test.db)
    await run(
      `begin; select tidemark.begin_logged_write(${id + 1}); update ${second} set value = 1; update ${first} set value = 1; commit`,
    )
    expect(await log()).toContain('partition * 01-01T00:00 01-02T00:00')
    await run(`reset tidemark.logged_by`)
  })
})

describe('what no trigger sees is found by the audit', () => {
  it('finds nothing after logged writes', async () => {
    await run(`update readings set value = value + 1; delete from readings where tenant = 't2'`)
    expect(await audit(test.db, readings)).toEqual([])
    expect(await audit(test.db, readings)).toEqual([])
  })

  it('DISABLE TRIGGER: the rows and the triggers', async () => {
    await run(`alter table readings disable trigger user; update readings set value = 99 where tenant = 't2'`)
    const report = await auditHypertable(test.db, readings)
    expect(report.unlogged.map(({ rowDifference }) => rowDifference)).toEqual([0n])
    expect(report.triggers).toContainEqual({
      relation: 'public.readings',
      trigger: 'tidemark_log_update',
      problem: 'disabled',
    })
    expect(await log()).toEqual(['audit * 01-01T09:00 01-01T10:00'])
    await test.db.transaction({}, (connection) => installTriggers(connection, readings))
    expect(await findTriggerProblems(test.db, await findHypertable(test.db, readings))).toEqual([])
    expect(await audit(test.db, readings)).toEqual([])
  })

  it('a dropped trigger of a partition', async () => {
    await run(
      `drop trigger tidemark_log_partition on ${first}; delete from ${first} where time < '2026-01-01T03:00Z'`,
    )
    const report = await auditHypertable(test.db, readings)
    expect(report.triggers).toEqual([
      { relation: first.replaceAll('"', ''), trigger: 'tidemark_log_partition', problem: 'missing' },
    ])
    expect(await log()).toEqual(['audit * 01-01T01:00 01-01T03:00'])
    await test.db.transaction({}, (connection) => installTriggers(connection, readings))
  })

  it('DETACH, writes while detached, and ATTACH', async () => {
    await run(`alter table readings detach partition ${first}`)
    const report = await auditHypertable(test.db, readings)
    expect(report.partitions).toEqual([{ relation: first.replaceAll('"', ''), problem: 'not attached' }])
    expect(await log()).toEqual(['audit * 01-01T01:00 01-01T03:00', 'audit * 01-01T09:00 01-01T10:00'])
    await clearLog(test.db)
    await run(
      `alter table readings attach partition ${first} for values from ('2026-01-01Z') to ('2026-01-02Z')`,
    )
    expect(await audit(test.db, readings)).toEqual(['01-01T01:00 01-01T03:00 2', '01-01T09:00 01-01T10:00 1'])
    expect(await audit(test.db, readings)).toEqual([])
  })

  it('DROP of a partition, and a foreign table attached in its place', async () => {
    await run(`create table tidemark_chunks.other (like ${second} including all)`)
    await run(`insert into tidemark_chunks.other values ('2026-05-01T01:00Z', 't1', 'z', 1)`)
    await run(
      `alter table readings attach partition tidemark_chunks.other for values from ('2026-05-01Z') to ('2026-05-02Z')`,
    )
    const attached = await auditHypertable(test.db, readings)
    expect(attached.partitions).toEqual([
      { relation: 'tidemark_chunks.other', problem: 'not in the catalog' },
    ])
    expect(await log()).toEqual(['audit * 05-01T01:00 05-01T02:00'])
    await clearLog(test.db)
    await run('drop table tidemark_chunks.other')
    expect(await audit(test.db, readings)).toEqual(['05-01T01:00 05-01T02:00 -1'])
  })

  it('a swap of two values between rows of a cell, which leaves every count as it was', async () => {
    await run(`insert into readings values ('2026-01-01T01:10Z', 't1', 'b', 5)`)
    await audit(test.db, readings)
    await run(
      `alter table readings disable trigger user; update readings set value = 6 - value where time = '2026-01-01T01:10Z'; `,
    )
    expect(await audit(test.db, readings)).toEqual(['01-01T01:00 01-01T02:00 0'])
    await test.db.transaction({}, (connection) => installTriggers(connection, readings))
  })

  it('moving rows out of the default partition is no change', async () => {
    await run(`insert into readings values ('2026-06-01T01:10Z', 't1', 'b', 5)`)
    await audit(test.db, readings)
    await clearLog(test.db)
    expect(await testChunks(test.db).drainDefault(readings)).toMatchObject({ kind: 'drained' })
    expect(await audit(test.db, readings)).toEqual([])
    expect(await log()).toEqual([])
    const { rows } = await test.db.query(
      sql`select relation_name from tidemark.chunk where range_from = '2026-06-01Z'`,
    )
    const partition = identifier('tidemark_chunks', rows[0]![0] as string)
    await test.db.execute(
      sql`drop table ${partition}; delete from tidemark.chunk where range_from = '2026-06-01Z'`,
    )
  })
})
