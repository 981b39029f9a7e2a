import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { trimTableChanges } from '../../src/changelog/index.ts'
import { migrate } from '../../src/migrate/index.ts'
import type { Connection } from '../../src/postgres/index.ts'
import { t, table } from '../../src/schema/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const projects = table('app.projects', {
  columns: { id: t.int4(), tenant: t.text(), name: t.text() },
  primaryKey: ['tenant', 'id'],
  tenant: 'tenant',
})
const countries = table('public.countries', {
  columns: { code: t.text(), name: t.text() },
  primaryKey: ['code'],
})

let test: TestDatabase
let a: Connection & { close(): Promise<void> }

beforeAll(async () => {
  test = await createTestDatabase()
  await migrate(test.db, [projects, countries])
  a = await test.connect()
})
afterAll(() => test.drop())

beforeEach(async () => {
  await a.execute('rollback; reset role; set session_replication_role = origin')
  await test.db.execute('delete from app.projects; delete from countries; delete from tidemark.table_change')
})

/** `dataset tenant` of each entry, sorted. */
async function noted(): Promise<string[]> {
  const { rows } = await test.db.query(
    sql`select dataset, coalesce(tenant, '*') from tidemark.table_change order by 1, 2`,
  )
  return rows.map((row) => row.join(' '))
}

it('a statement notes the tenants of the rows that it wrote, changed (old and new) or deleted', async () => {
  await a.execute(`insert into app.projects values (1, 'a', 'x'), (2, 'a', 'y'), (3, 'b', 'z')`)
  expect(await noted()).toEqual(['app.projects a', 'app.projects b'])
  await a.execute('delete from tidemark.table_change')
  await a.execute(`update app.projects set tenant = 'c' where id = 1`)
  expect(await noted()).toEqual(['app.projects a', 'app.projects c'])
  await a.execute('delete from tidemark.table_change')
  await a.execute(`delete from app.projects where id = 3`)
  await a.execute(
    `insert into app.projects values (2, 'a', 'n') on conflict (tenant, id) do update set name = excluded.name`,
  )
  await a.execute(`update app.projects set name = 'nobody' where id = 99`)
  expect(await noted()).toEqual(['app.projects a', 'app.projects b'])
})

it('TRUNCATE, and more than 64 tenants at once, are noted for everybody', async () => {
  await a.execute(`truncate app.projects`)
  await a.execute(`insert into app.projects select n, 't' || n, 'x' from generate_series(1, 65) as n`)
  expect(await noted()).toEqual(['app.projects *', 'app.projects *'])
})

it('a table without tenants notes every kind of statement', async () => {
  await a.execute(`insert into countries values ('no', 'Norway')`)
  await a.execute(`update countries set name = 'Norge'`)
  await a.execute(`delete from countries`)
  await a.execute(`truncate countries`)
  expect(await noted()).toEqual(Array(4).fill('public.countries *'))
})

it('a transaction of many equal statements makes one entry, and what a savepoint takes back has none', async () => {
  await a.execute('begin')
  for (let i = 0; i < 5; i++) await a.execute(sql`insert into app.projects values (${i}, 'a', 'x')`)
  await a.execute('savepoint s')
  await a.execute(`insert into app.projects values (8, 'b', 'x')`)
  await a.execute('rollback to s')
  await a.execute(`insert into app.projects values (9, 'a', 'x')`)
  await a.execute(`insert into app.projects values (10, 'b', 'x')`)
  await a.execute('commit')
  expect(await noted()).toEqual(['app.projects a', 'app.projects b'])
  const { rows } = await test.db.query(
    sql`select count(distinct c.xid) from tidemark.table_change as c, app.projects as p where p.id = 10`,
  )
  expect(rows[0]?.[0]).toBe(1n)
})

it('a savepoint that is taken back takes the entry of its first statement with it, and the next one notes again', async () => {
  await a.execute('begin; savepoint s')
  await a.execute(`insert into app.projects values (1, 'a', 'x')`)
  await a.execute('rollback to s')
  await a.execute(`insert into app.projects values (2, 'a', 'x')`)
  await a.execute('commit')
  expect(await noted()).toEqual(['app.projects a'])
})

it('whoever may write the table needs no right on the log, and in replica role it is noted, too', async () => {
  const role = `writer_${test.name}`
  await test.db.execute(
    raw(`create role ${role}; grant usage on schema app to ${role};
    grant select, insert, update on app.projects, countries to ${role}`),
  )
  try {
    await a.execute(`set role ${role}; set search_path = app, public; set tidemark.tenant = 'a'`)
    await a.execute(`insert into projects values (1, 'a', 'x'); insert into countries values ('x', 'y')`)
    await expect(a.query(sql`select * from tidemark.table_change`)).rejects.toMatchObject({
      message: expect.stringContaining('permission denied'),
    })
    await expect(a.query(sql`select tidemark.note_table_change('app.projects', '{b}')`)).rejects.toThrow()
    await a.execute('reset role; set session_replication_role = replica')
    await a.execute(`insert into app.projects values (2, 'b', 'x')`)
  } finally {
    await a.execute(
      'reset role; set session_replication_role = origin; reset search_path; reset tidemark.tenant',
    )
    await test.db.execute(raw(`drop owned by ${role}; drop role ${role}`))
  }
  expect(await noted()).toEqual(['app.projects a', 'app.projects b', 'public.countries *'])
})

it('migrate does nothing twice, and puts back what is missing or disabled', async () => {
  expect((await migrate(test.db, [projects, countries])).steps).toEqual([])
  await test.db.execute(`
    drop trigger tidemark_note_update on app.projects;
    alter table countries disable trigger tidemark_note_change`)
  const { steps } = await migrate(test.db, [projects, countries])
  expect(steps.map(({ sentence }) => sentence)).toEqual([
    'notes changes of app.projects',
    'notes changes of public.countries',
  ])
  expect((await migrate(test.db, [projects, countries])).steps).toEqual([])
  await a.execute(`insert into app.projects values (1, 'a', 'x'); insert into countries values ('x', 'y')`)
  await a.execute(`update app.projects set tenant = 'b'`)
  expect(await noted()).toEqual(['app.projects a', 'app.projects a', 'app.projects b', 'public.countries *'])
})

it('trimming deletes what is old and has ended for everybody, and notes how far it went', async () => {
  const b = await test.connect()
  await a.execute(`insert into countries values ('a', 'x')`)
  await b.execute(`begin; insert into countries values ('b', 'x')`)
  await a.execute(`insert into countries values ('c', 'x')`)
  expect(await trimTableChanges(test.db)).toBe(0)
  // transactions of other databases of the server hold entries, too, until they end
  let deleted = 0
  const trimmed = async (): Promise<number> => {
    deleted += await trimTableChanges(test.db, { keepMs: 0, batchRows: 1 })
    return deleted
  }
  await expect.poll(trimmed, { timeout: 10_000 }).toBe(1)
  // the transaction of b still runs, so what came after its beginning stays
  expect(await trimmed()).toBe(1)
  await b.execute('commit')
  await expect.poll(trimmed, { timeout: 10_000 }).toBe(3)
  const { rows } = await test.db.query(
    sql`select trimmed_to <= pg_snapshot_xmin(pg_current_snapshot()) from tidemark.table_change_trim`,
  )
  expect(rows).toEqual([[true]])
})
