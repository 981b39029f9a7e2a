import { createHotWriter } from '../../src/hot/index.ts'
import { tableBody } from '../../src/migrate/table-ddl.ts'
import {
  createPipeline,
  type IngestBatch,
  type Pipeline,
  type PipelineOptions,
} from '../../src/pipeline/index.ts'
import type { Database } from '../../src/postgres/index.ts'
import { hypertable, t, table } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestHypertable, testChunks } from '../hot/create-test-hypertable.ts'

/** Without a key: every row that is written stays beside the others. */
export const events = hypertable('public.events', {
  columns: { time: t.timestamptz(), tag: t.text(), value: t.int4().nullable() },
  time: 'time',
  chunk: '1 day',
})

/** With event ids. */
export const clicks = hypertable('public.clicks', {
  columns: { time: t.timestamptz(), id: t.text().nullable(), tag: t.text() },
  time: 'time',
  chunk: '1 day',
  dedupe: { by: 'id', within: '7 days' },
})

/** With a key that contains the time, and one without a time. */
export const readings = hypertable('public.samples', {
  columns: { time: t.timestamptz(), sensor: t.text(), value: t.int4() },
  time: 'time',
  primaryKey: ['sensor', 'time'],
  chunk: '1 day',
})

export const devices = table('public.devices', {
  columns: { id: t.int4(), value: t.int4(), note: t.text().defaultSql("'none'") },
  primaryKey: ['id'],
})

/** The tables, with a constraint of each that the declaration does not know: value < 1000. */
export async function createTables(db: Database): Promise<void> {
  for (const definition of [events, clicks, readings]) await createTestHypertable(db, definition)
  await db.execute(sql`create table devices (${tableBody(devices)})`)
  await db.execute(`
    alter table events add constraint small check (value < 1000);
    alter table samples add constraint small check (value < 1000);
    alter table devices add constraint small check (value < 1000)`)
}

export function testPipeline(db: Database, options: Partial<PipelineOptions> = {}): Pipeline {
  return createPipeline({ db, writer: createHotWriter({ db, chunks: testChunks(db) }), ...options })
}

export function batchOf(
  definition: IngestBatch['definition'],
  rows: readonly unknown[],
  options: Partial<IngestBatch> = {},
): IngestBatch {
  return {
    definition,
    rows,
    onConflict: 'error',
    acknowledge: 'durable',
    isAtomic: false,
    idempotencyKey: null,
    source: 'test',
    signal: null,
    ...options,
  }
}

/** Ends backends of the database that are in the middle of something, but for the one that asks. */
export async function killBackends(db: Database): Promise<number> {
  const { rows } = await db.query(sql`
    select count(pg_terminate_backend(pid))
    from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle'`)
  return Number(rows[0]![0])
}
