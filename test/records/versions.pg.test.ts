import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Connection } from '../../src/postgres/index.ts'
import { defineConfig, t, table } from '../../src/schema/index.ts'
import { type Sql, sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

/** Why a version is the digest of a row and not its xmin: docs/decisions/0020-records.md. */

const projects = table('app.projects', {
  columns: { id: t.int4(), name: t.text(), size: t.float8().nullable() },
  primaryKey: ['id'],
})
const config = defineConfig({ datasets: [projects] })

let engine: TestEngine<typeof config>
let one: Connection
let other: Connection
beforeAll(async () => {
  engine = await createTestEngine(config)
  one = await engine.test.connect()
  other = await engine.test.connect()
})
afterAll(() => engine.close())

const records = () => engine.tm.records('app.projects')
const xmin = async (id: number): Promise<unknown> =>
  (await one.query(sql`select xmin::text from app.projects where id = ${id}::int`)).rows[0]![0]
const versions = (version: string) => ({ kind: 'versions', versions: [version] }) as const

/** Resolves when a backend waits for a lock of another. */
async function waiting(): Promise<void> {
  for (;;) {
    const { rows } = await other.query(sql`
      select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
    if (rows[0]![0] !== 0n) return
  }
}

it.each<[string, Sql, string]>([
  ['an update', sql`update app.projects set name = 'theirs' where id = 1`, 'TM_VERSION'],
  ['a delete', sql`delete from app.projects where id = 1`, 'TM_NOT_FOUND'],
])('a write that waits for %s by plain SQL sees what it has done', async (_, change, code) => {
  await one.execute('delete from app.projects')
  const { record } = await records().create({ id: 1, name: 'ours' })
  await one.execute('begin')
  await one.query(change)
  const write = records().patch({ id: 1 }, { name: 'mine' }, versions(record!.version))
  write.catch(() => {})
  await waiting()
  await one.execute('commit')
  await expect(write).rejects.toMatchObject({ code })
})

it('a write that waits for one that is rolled back is done', async () => {
  const { record } = await records().create({ id: 2, name: 'ours' })
  await one.execute('begin')
  await one.execute(`update app.projects set name = 'theirs' where id = 2`)
  const write = records().patch({ id: 2 }, { name: 'mine' }, versions(record!.version))
  write.catch(() => {})
  await waiting()
  await one.execute('rollback')
  expect((await write).row).toMatchObject({ name: 'mine' })
})

it('a row that nobody sees changed keeps its version, where xmin is another', async () => {
  const { record } = await records().create({ id: 3, name: 'same', size: Number.NaN })
  const before = await xmin(3)
  await one.execute(`update app.projects set name = name where id = 3`)
  expect(await xmin(3)).not.toBe(before)
  // as a rewrite of the table, a restore, or a new home do
  const moved = await xmin(3)
  await one.execute(`create table app.copy as select * from app.projects; delete from app.projects;
    insert into app.projects (id, name, size) select id, name, size from app.copy; drop table app.copy`)
  expect(await xmin(3)).not.toBe(moved)
  expect(await records().get({ id: 3 })).toEqual(record)
  await records().delete({ id: 3 }, versions(record!.version))
})

it('a change of which a transaction thought better, and one of the sign of a zero, are told apart', async () => {
  const { record } = await records().create({ id: 4, name: 'n', size: 0 })
  const before = await xmin(4)
  await one.execute(`begin; update app.projects set name = 'x' where id = 4;
    update app.projects set name = 'n' where id = 4; commit`)
  // back to what was read: nothing that its reader knows is lost
  expect(await xmin(4)).not.toBe(before)
  expect((await records().get({ id: 4 })).version).toBe(record!.version)
  await one.execute(`update app.projects set size = '-0' where id = 4`)
  expect((await records().get({ id: 4 })).version).not.toBe(record!.version)
})
