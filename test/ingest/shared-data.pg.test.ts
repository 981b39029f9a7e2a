import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createHotWriter, type HotWriter } from '../../src/hot/index.ts'
import { type ImportReport, importFiles, previewImport } from '../../src/ingest/index.ts'
import type { HypertableDefinition } from '../../src/schema/index.ts'
import { identifier, raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import {
  hasSharedData,
  type SharedData,
  sharedData,
  sharedDataAbsent,
  sharedDataFolder,
  sharedDataOf,
} from '../helpers/shared-data.ts'
import { createTestHypertable, testChunks } from '../hot/create-test-hypertable.ts'

// the large ones go into the lake in the other lane
const cases = sharedDataOf('first').map((data) => ({ name: data.definition.name, data }))

describe('every file of the data sets imports with the counts that their README states', () => {
  let test: TestDatabase
  let writer: HotWriter

  beforeAll(async () => {
    test = await createTestDatabase()
    writer = createHotWriter({ db: test.db, chunks: testChunks(test.db) })
  })
  afterAll(() => test.drop())

  it.for(cases)('$name', { timeout: 240_000 }, async ({ data }, { skip }) => {
    skip(!hasSharedData, sharedDataAbsent)
    const { definition, options } = data
    await createTestHypertable(test.db, definition as HypertableDefinition)
    const files = data.files.map((file) => join(sharedDataFolder, file))
    const { reports } = await importFiles({ db: test.db, writer, definition, files, options })
    expect(sum(reports, (report) => report.rows)).toBe(data.rows)
    expect(mergeReasons(reports)).toEqual(data.dead)
    expect(sum(reports, (report) => report.records)).toBe(data.rows + sum(Object.values(data.dead), (n) => n))
    expect(await count(definition, 'select count(*) from $table')).toBe(data.rows)
    for (const fact of data.facts)
      expect([fact.what, await count(definition, fact.sql)]).toEqual([fact.what, fact.is])
    await test.db.execute(sql`drop table ${identifier(definition.schema, definition.table)}`)
  })

  it('the file of labels is a JSON document, not rows, and is refused with the way out', async ({ skip }) => {
    skip(!hasSharedData, sharedDataAbsent)
    const { definition } = sharedData[0]!
    const file = join(sharedDataFolder, 'iot/nab_anomaly_windows.json.gz')
    await expect(previewImport({ definition, file })).rejects.toThrow(/one JSON document.*jq/)
  })

  async function count(definition: SharedData['definition'], text: string): Promise<number> {
    const table = `"${definition.schema}"."${definition.table}"`
    const { rows } = await test.db.query(raw(text.replaceAll('$table', table)))
    return Number(rows[0]![0])
  }
})

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}

function mergeReasons(reports: readonly ImportReport[]): Record<string, number> {
  const merged: Record<string, number> = {}
  for (const { deadByReason } of reports)
    for (const [reason, count] of Object.entries(deadByReason)) merged[reason] = (merged[reason] ?? 0) + count
  return merged
}
