import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { installTriggers } from '../../src/changelog/index.ts'
import { createHotWriter, type HotWriter } from '../../src/hot/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { clearLog, createTestHypertable, readings, readLog, testChunks } from './create-test-hypertable.ts'

let test: TestDatabase
let copying: HotWriter
beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
  copying = createHotWriter({ db: test.db, chunks: testChunks(test.db), smallRows: 0 })
})
afterAll(() => test.drop())
beforeEach(async () => {
  await test.db.execute('truncate readings')
  await clearLog(test.db)
})

const row = (sensor: string) => ({ time: '2026-01-01T00:30:00Z', tenant: 'T1', sensor, value: 1 })

describe('many rows for a table with triggers of its own', () => {
  it('are logged where a trigger puts them, not where they were given', async () => {
    await test.db.execute(`
      create function lower_tenant() returns trigger language plpgsql as
        $$ begin new.tenant = lower(new.tenant); return new; end $$;
      create trigger lower_tenant before insert on readings for each row execute function lower_tenant()`)
    await copying.insert(readings, [row('a'), row('b')])
    expect(await readLog(test.db, readings)).toEqual(['statement t1 01-01T00:00 01-01T01:00'])
    await test.db.execute('drop trigger lower_tenant on readings')
  })

  it('fire its statement triggers as an INSERT does', async () => {
    await test.db.execute(`
      create table fired (n int);
      create function note_statement() returns trigger language plpgsql as
        $$ begin insert into fired select count(*) from new_rows; return null; end $$;
      create trigger note_statement after insert on readings referencing new table as new_rows
        for each statement execute function note_statement()`)
    await copying.insert(readings, [row('a'), row('b')])
    expect((await test.db.query(sql`select n from fired`)).rows).toEqual([[2]])
    await test.db.execute('drop trigger note_statement on readings')
  })

  it('go straight into chunks again when there are only row triggers that fire afterwards', async () => {
    await test.db.execute(`
      create table noted (sensor text);
      create function note_row() returns trigger language plpgsql as
        $$ begin insert into noted values (new.sensor); return null; end $$;
      create trigger note_row after insert on readings for each row execute function note_row()`)
    await copying.insert(readings, [row('a'), row('b')])
    expect((await test.db.query(sql`select sensor from noted order by 1`)).rows).toEqual([['a'], ['b']])
    expect(await readLog(test.db, readings)).toEqual(['ingest T1 01-01T00:00 01-01T01:00'])
  })
})

it('many rows get the numbers of an identity column that is not declared', async () => {
  const numbered = await createTestDatabase()
  await createTestHypertable(numbered.db, readings)
  // A partitioned table takes an identity column only when it is created (before PostgreSQL 17).
  await numbered.db.execute(`
    drop table readings;
    create table readings (
      time timestamptz not null, tenant text not null, sensor text not null, value float8,
      id bigint generated always as identity, primary key (tenant, sensor, time)
    ) partition by range (time);
    create table tidemark_chunks.readings_default partition of readings default`)
  await installTriggers(numbered.db, readings)
  const writer = createHotWriter({ db: numbered.db, chunks: testChunks(numbered.db), smallRows: 0 })
  await writer.insert(readings, [row('a'), row('b')])
  expect((await numbered.db.query(sql`select sensor, id from readings order by id`)).rows).toEqual([
    ['a', 1n],
    ['b', 2n],
  ])
  await numbered.drop()
})
