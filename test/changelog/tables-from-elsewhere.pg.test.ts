import { afterEach, beforeEach, expect, it } from 'vitest'
import { listPartitions } from '../../src/changelog/hypertable.ts'
import { auditHypertable } from '../../src/changelog/index.ts'
import { parseInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, readings, testChunks } from '../hot/create-test-hypertable.ts'
import { audit } from './helpers.ts'

let test: TestDatabase
beforeEach(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
  await testChunks(test.db).ensureChunks(readings, [parseInstant('2026-01-05T00:00:00Z')])
})
afterEach(() => test.drop())

it('columns of types that PostgreSQL cannot hash are audited by their bytes', async () => {
  await test.db.execute(`
    create type mood as enum ('good', 'bad');
    create domain short as varchar(5);
    alter table readings
      add column j json, add column p point, add column x xml, add column js json[], add column m mood, add column s short;
    insert into readings
    values ('2026-01-05', 't1', 'a', 1, '{"a":1}', '(1,2)', '<a/>', array['{}'::json], 'good', 'short')`)
  expect(await auditHypertable(test.db, readings)).toMatchObject({ rows: 1n, compared: false })
  expect(await audit(test.db, readings)).toEqual([])
  await test.db.execute(`
    set session_replication_role = replica;
    do $$ begin execute format('alter table %s disable trigger all', (select tableoid::regclass from readings)); end $$;
    alter table only readings disable trigger all;
    update readings set j = '{"a":2}';
    set session_replication_role = origin`)
  expect(await audit(test.db, readings)).toEqual(['01-05T00:00 01-05T01:00 0'])
})

it('the bounds of partitions are the same whatever style a database writes times in', async () => {
  const connection = await test.connect()
  const expected = (await listPartitions(test.db, readings)).map(({ range }) => range)
  // India's abbreviation is read as Israel's
  for (const style of ['SQL, DMY', 'Postgres, MDY', 'German'])
    for (const zone of ['Asia/Kolkata', 'America/St_Johns', 'UTC']) {
      await connection.query(
        sql`select set_config('datestyle', ${style}::text, false), set_config('timezone', ${zone}::text, false)`,
      )
      expect((await listPartitions(connection, readings)).map(({ range }) => range)).toEqual(expected)
      expect((await connection.query(sql`select current_setting('datestyle')`)).rows[0]![0]).toContain(
        style.split(',')[0],
      )
    }
})
