import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Connection, sqlstateOf } from '../../src/postgres/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createFixture, day, dropPartitions, type Fixture, readings, samples } from './fixture.ts'

/** The first of two days is cold in both tables; the keyed one has a third day that is cold without a partition. */
let fixture: Fixture
let connection: Connection & { close(): Promise<void> }
beforeAll(async () => {
  fixture = await createFixture(readings, samples)
  const { writer, lifecycle, test } = fixture
  for (const table of [readings, samples])
    await writer.insert(table, [...day('2026-01-01'), ...day('2026-01-02')])
  const first = { olderThan: parseInstant('2026-01-02T00:00:00Z') }
  await lifecycle.freeze(readings, first)
  await lifecycle.freeze(samples, first)
  connection = await test.connect()
})
afterAll(() => fixture.drop())

/** In a transaction that is rolled back: `COLD`, or the number of rows. */
async function run(script: string, statement: string): Promise<string> {
  await connection.execute(`begin; ${script}`)
  try {
    const { rows } = await connection.query(
      sql`${{ kind: 'sql', parts: [{ kind: 'text', text: statement }] } as never}`,
    )
    return String(rows.length)
  } catch (error) {
    if (sqlstateOf(error) !== 'TM002') return String(error)
    expect((error as Error).message).toContain('TM_COLD')
    return 'COLD'
  } finally {
    await connection.execute('rollback')
  }
}

const hotRange = `time >= '2026-01-02' and time < '2026-01-03'`
const coldRange = `time >= '2026-01-01' and time < '2026-01-02'`
const upsert = `on conflict (tenant, sensor, time) do update set value = excluded.value`

describe.each(['readings', 'samples'])('plain SQL on %s', (table) => {
  it.each([
    [
      'an update of hot rows by constants',
      `update ${table} set value = 9 where ${hotRange} returning 1`,
      '3',
    ],
    ['a delete of hot rows by constants', `delete from ${table} where ${hotRange} returning 1`, '3'],
    ['an update of cold rows', `update ${table} set value = 9 where ${coldRange} returning 1`, 'COLD'],
    ['a delete without a range', `delete from ${table} where sensor = 'nobody' returning 1`, 'COLD'],
    [
      'an update with a range of now()',
      `update ${table} set value = 9 where time > now() returning 1`,
      'COLD',
    ],
    ['a truncate', `truncate ${table}`, 'COLD'],
    ['an update of a hot partition', `update tidemark_chunks.${table}_c2 set value = 9 returning 1`, '3'],
    ['a select', `select * from ${table}`, '3'],
    [
      'a merge of hot rows',
      `merge into ${table} as t using (values ('s1')) as s (sensor) on t.sensor = s.sensor and t.${hotRange.replace(' time', ' t.time')}
       when matched then update set value = 4`,
      '0',
    ],
    [
      'a merge without a range',
      `merge into ${table} as t using (values ('s1')) as s (sensor) on t.sensor = s.sensor
       when matched then update set value = 4`,
      'COLD',
    ],
    [
      'a merge that deletes, without a range',
      `merge into ${table} as t using (values ('s1')) as s (sensor) on t.sensor = s.sensor when matched then delete`,
      'COLD',
    ],
  ])('%s', async (_, statement, expected) => {
    expect(await run('', statement.replaceAll('_c2', table === 'readings' ? '_c2' : '_c4'))).toBe(expected)
  })

  it('statements on the partition of the cold chunk itself', async () => {
    const cold = `tidemark_chunks.${table}_${table === 'readings' ? 'c1' : 'c3'}`
    expect(await run('', `update ${cold} set value = 1`)).toBe('COLD')
    expect(await run('', `delete from ${cold}`)).toBe('COLD')
    expect(await run('', `truncate ${cold}`)).toBe('COLD')
    expect(await run('set local session_replication_role = replica;', `delete from ${cold}`)).toBe('COLD')
  })

  it('in replica role, too, and inside savepoints', async () => {
    expect(await run('set local session_replication_role = replica;', `delete from ${table}`)).toBe('COLD')
    expect(await run('savepoint a;', `delete from ${table}`)).toBe('COLD')
  })

  it('passes whoever says that hot rows are meant, but for truncate', async () => {
    expect(await run(`set local tidemark.hot_only = 'on';`, `delete from ${table} returning 1`)).toBe('3')
    expect(await run(`set local tidemark.hot_only = 'on';`, `truncate ${table}`)).toBe('COLD')
    expect(await run(`set local tidemark.hot_only = 'off';`, `delete from ${table}`)).toBe('COLD')
  })

  it('passes the transaction that sees to cold rows, and no other', async () => {
    const { rows } = await fixture.test.db.query(
      sql`select id from tidemark.hypertable where table_name = ${table}::text`,
    )
    const id = rows[0]![0] as number
    expect(await run(`select tidemark.begin_cold_write(${id});`, `delete from ${table} returning 1`)).toBe(
      '3',
    )
    expect(await run(`select tidemark.begin_cold_write(${id + 100});`, `delete from ${table}`)).toBe('COLD')
    expect(await run(`set local tidemark.cold_write = '${id}:1';`, `delete from ${table}`)).toBe('COLD')
    expect(
      await run(
        `savepoint a; select tidemark.begin_cold_write(${id}); rollback to savepoint a;`,
        `delete from ${table}`,
      ),
    ).toBe('COLD')
  })
})

describe('rows that come late', () => {
  it('without a key they are taken, as one or by COPY', async () => {
    expect(await run('', `insert into samples values ('2026-01-01 07:00', 't1', 'z', 1) returning 1`)).toBe(
      '1',
    )
  })

  it.each([
    ['an insert', `insert into readings values ('2026-01-01 07:00', 't1', 'z', 1)`],
    ['an upsert', `insert into readings values ('2026-01-01 07:00', 't1', 'z', 1) ${upsert}`],
    [
      'an insert into the partition',
      `insert into tidemark_chunks.readings_c1 values ('2026-01-01 07:00', 't1', 'z', 1)`,
    ],
    ['an update that moves a row there', `update readings set time = '2026-01-01 07:00' where ${hotRange}`],
    [
      'a merge',
      `merge into readings as t using (values ('z')) as s (sensor) on t.sensor = s.sensor and t.time >= '2026-01-02' and t.time < '2026-01-03'
       when not matched then insert values ('2026-01-01 07:00', 't1', 'z', 1)`,
    ],
  ])('with a key they are refused: %s', async (_, statement) => {
    expect(await run('', statement)).toBe('COLD')
    expect(await run('set local session_replication_role = replica;', statement)).toBe('COLD')
  })

  it('with a key, an upsert and an insert of a hot time pass', async () => {
    expect(
      await run('', `insert into readings values ('2026-01-02', 't1', 's0', 9) ${upsert} returning 1`),
    ).toBe('1')
  })
})

it('generic plans, which lock every partition, are refused and never wrong', async () => {
  await connection.execute(`
    set plan_cache_mode = force_generic_plan;
    prepare change (timestamptz) as update samples set value = 7 where time >= $1 and time < $1 + interval '1 hour'`)
  expect(await run('', `execute change ('2026-01-02')`)).toBe('COLD')
  await connection.execute('set plan_cache_mode = force_custom_plan')
  expect(await run('', `execute change ('2026-01-02')`)).toBe('0')
  expect(await run('', `execute change ('2026-01-01')`)).toBe('COLD')
  await connection.execute('deallocate change; reset plan_cache_mode')
})

it('hot rows of a cold chunk may be deleted by who says so; their key may not change', async () => {
  const { rows } = await fixture.test.db.query(
    sql`select id from tidemark.hypertable where table_name = 'readings'`,
  )
  const id = rows[0]![0] as number
  const insert = `
    select tidemark.begin_cold_write(${id});
    insert into readings values ('2026-01-01 07:00', 't1', 'late', 1);
    set local tidemark.cold_write = '';
    set local tidemark.hot_only = 'on';`
  expect(await run(insert, `delete from readings where sensor = 'late' returning 1`)).toBe('1')
  expect(await run(insert, `update readings set value = 2 where sensor = 'late' returning 1`)).toBe('1')
  expect(await run(insert, `update readings set sensor = 's0' where sensor = 'late'`)).toBe('COLD')
})

it('a cold chunk without a partition is guarded through the default partition', async () => {
  const { lifecycle, test } = fixture
  await dropPartitions(fixture, readings)
  expect((await lifecycle.status(readings)).map(({ state, hotBytes }) => [state, hotBytes === 0])).toEqual([
    ['cold', true],
    ['hot', false],
  ])
  expect(await run('', `insert into readings values ('2026-01-01 07:00', 't1', 'z', 1)`)).toBe('COLD')
  expect(await run('', `insert into readings values ('2026-05-01 07:00', 't1', 'z', 1) returning 1`)).toBe(
    '1',
  )
  expect(await run('', `delete from readings where ${coldRange}`)).toBe('COLD')
  expect(await run('', `delete from readings where time >= '2026-01-02'`)).toBe('COLD')
  expect(await run('', `delete from readings where ${hotRange} returning 1`)).toBe('3')
  expect((await lifecycle.verify([readings])).problems).toEqual([])
  // Thawed, it has a partition again, and no guard.
  expect(await lifecycle.thaw(readings)).toMatchObject({ rows: 3 })
  expect(await run('', `update readings set value = 3 returning 1`)).toBe('6')
  expect(await run('', `insert into readings values ('2026-01-01 07:00', 't1', 'z', 1) returning 1`)).toBe(
    '1',
  )
  expect(await run('', `insert into readings values ('2026-01-01', 't1', 's0', 1)`)).toContain('s0')
  const { rows } = await test.db.query(sql`
    select count(*) from pg_trigger where tgname like 'tidemark\\_cold\\_%' and tgenabled <> 'D'
      and tgrelid in (select oid from pg_class where relname like 'readings_c%')`)
  expect(rows).toEqual([[0n]])
})

it('a statement with a role that has no right on the catalog is refused the same way', async () => {
  const role = `r_${fixture.test.name}`
  await fixture.test.db.execute(
    `create role ${role}; grant select, insert, update, delete on samples to ${role}`,
  )
  expect(await run(`set local role ${role};`, `delete from samples`)).toBe('COLD')
  expect(await run(`set local role ${role};`, `delete from samples where ${hotRange} returning 1`)).toBe('3')
  await fixture.test.db.execute(`drop owned by ${role}; drop role ${role}`)
})
