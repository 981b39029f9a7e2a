import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { defineConfig } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { hasSharedData, sharedData, sharedDataAbsent, sharedDataFolder } from '../helpers/shared-data.ts'

const cases = sharedData.map((data) => ({ name: data.definition.name, data }))
const config = defineConfig({
  datasets: sharedData.map(({ definition }) => definition),
  lake: { dir: 'lake', threads: 1 },
})

/** Up to here what the README says of the rows is asked of PostgreSQL, too. */
const fewRows = 60_000
const always = { from: '1900-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z' }

describe('every file of the data sets goes straight into the lake with the counts that their README states', () => {
  let test: TestDatabase
  let root: string
  let tm: Tidemark

  beforeAll(async () => {
    if (!hasSharedData) return
    test = await createTestDatabase({ empty: true })
    root = await mkdtemp(join(tmpdir(), 'tidemark-shared-cold-'))
    tm = await createTidemark(config, { connectionString: test.connectionString, root })
    await tm.migrate()
  })
  afterAll(async () => {
    if (!hasSharedData) return
    await tm.close()
    await test.drop()
    await rm(root, { recursive: true, force: true })
  })

  it.for(cases)('$name', { timeout: 240_000 }, async ({ data }, { skip }) => {
    skip(!hasSharedData, sharedDataAbsent)
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
    if (data.rows > fewRows) return
    // as a thaw gives them back
    expect(await tm.thaw(name, { all: true })).toMatchObject({ rows: data.rows, failed: [] })
    const count = async (text: string): Promise<number> =>
      Number((await test.db.query(raw(text.replaceAll('$table', `"${schema}"."${table}"`)))).rows[0]![0])
    for (const { what, sql, is } of data.facts) expect([what, await count(sql)]).toEqual([what, is])
  })
})
