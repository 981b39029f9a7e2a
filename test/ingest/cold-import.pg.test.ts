import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
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

let test: TestDatabase
let root: string
let tm: Tidemark
beforeEach(async () => {
  test = await createTestDatabase({ empty: true })
  root = await mkdtemp(join(tmpdir(), 'tidemark-cold-import-'))
  tm = await createTidemark(config, { connectionString: test.connectionString, clock, root })
  await tm.migrate()
})
afterEach(async () => {
  await tm.close()
  await test.drop()
  await rm(root, { recursive: true, force: true })
})

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
  expect(report).toMatchObject({ rows: 4000, dead: 0, inserted: 4000, cold: { files: 3, chunks: 3, warnings: [] } })
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
