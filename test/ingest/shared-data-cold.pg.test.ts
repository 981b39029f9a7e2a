import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defineConfig } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import {
  hasSharedData,
  isLarge,
  sharedDataAbsent,
  sharedDataFolder,
  sharedDataOf,
} from '../helpers/shared-data.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

// the large ones go into PostgreSQL in the other lane
const data = sharedDataOf('last')
const cases = data.map((each) => ({ name: each.definition.name, data: each }))
const config = defineConfig({
  datasets: data.map(({ definition }) => definition),
  lake: { dir: 'lake', threads: 1 },
})

const always = { from: '1900-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z' }

describe('every file of the data sets goes straight into the lake with the counts that their README states', () => {
  let engine: TestEngine
  beforeAll(async () => {
    engine = await createTestEngine(config)
  })
  afterAll(() => engine.close())

  it.for(cases)('$name', { timeout: 240_000 }, async ({ data }, { skip }) => {
    skip(!hasSharedData, sharedDataAbsent)
    const { tm, test } = engine
    const { name, schema, table } = data.definition
    const files = data.files.map((file) => join(sharedDataFolder, file))
    const { reports } = await tm.importFiles(name, files, { ...data.options, cold: true })
    const dead: Record<string, number> = {}
    for (const { deadByReason } of reports)
      for (const [reason, count] of Object.entries(deadByReason)) dead[reason] = (dead[reason] ?? 0) + count
    expect(reports.reduce((sum, { rows }) => sum + rows, 0)).toBe(data.rows)
    expect(dead).toEqual(data.dead)
    const { rows } = await tm.queryUnknown(name, { ...always, select: { n: { fn: 'count' } } })
    expect(rows).toEqual([{ n: data.rows }])
    if (isLarge(data)) return
    // what else the README says is asked of PostgreSQL, as a thaw gives the rows back
    expect(await tm.thaw(name, { all: true })).toMatchObject({ rows: data.rows, failed: [] })
    const count = async (text: string): Promise<number> =>
      Number((await test.db.query(raw(text.replaceAll('$table', `"${schema}"."${table}"`)))).rows[0]![0])
    for (const { what, sql, is } of data.facts) expect([what, await count(sql)]).toEqual([what, is])
  })
})
