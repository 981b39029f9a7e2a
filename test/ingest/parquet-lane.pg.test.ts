import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createHotWriter, type HotWriter } from '../../src/hot/index.ts'
import { importFile, listDeadLetters } from '../../src/ingest/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, testChunks } from '../hot/create-test-hypertable.ts'
import { temporaryFolder } from './files.ts'

const columns = {
  time: t.timestamptz(),
  host: t.text().nullable(),
  usage: t.float8().nullable(),
  cores: t.int4(),
}
/** All of its rows go the short way but those with an empty or long text. */
const short = hypertable('lane.short', { columns, time: 'time', chunk: '1 day' })
/** A column of a type that always goes the long way. */
const long = hypertable('lane.long', {
  columns: { ...columns, document: t.jsonb().nullable() },
  time: 'time',
  chunk: '1 day',
})

let test: TestDatabase
let writer: HotWriter

beforeAll(async () => {
  test = await createTestDatabase()
  for (const table of [short, long]) await createTestHypertable(test.db, table)
  writer = createHotWriter({ db: test.db, chunks: testChunks(test.db) })
})
afterAll(async () => {
  await test.drop()
})

async function writeParquet(select: string): Promise<string> {
  const path = join(temporaryFolder(), 'rows.parquet')
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run(`copy (${select}) to '${path}' (format parquet)`)
  connection.closeSync()
  instance.closeSync()
  return path
}

it('rows of Parquet are the same by both ways, and a constraint refuses the right ones', async () => {
  const file = await writeParquet(`
    select timestamp '2026-01-01' + to_seconds(i * 100) as "time",
      case i % 10 when 0 then null when 1 then '' when 2 then repeat('x', 100) when 3 then 'Zürich' else 'host_' || i end as host,
      case i % 7 when 0 then null when 1 then 'nan'::double else i / 3 end as usage,
      i::integer as cores
    from range(3000) as r(i)`)
  for (const table of [short, long]) {
    await test.db.execute(`alter table ${table.name} add constraint few check (cores not in (7, 2011))`)
    const options = { timeZone: 'UTC', batchRows: 1000 }
    const report = await importFile({ db: test.db, writer, definition: table, file, options })
    expect(report).toMatchObject({ records: 3000, rows: 2998, dead: 2, deadByReason: { constraint: 2 } })
    const letters = await listDeadLetters(test.db, { importId: report.importId })
    expect(letters.map(({ line }) => line).sort()).toEqual([2012, 8])
  }
  const { rows } = await test.db.query(sql`
    select count(*), count(host), count(usage) from (
      select time, host, usage, cores from lane.short intersect select time, host, usage, cores from lane.long
    ) as both_ways`)
  expect(rows[0]).toEqual([2998n, 2399n, 2570n])
})
