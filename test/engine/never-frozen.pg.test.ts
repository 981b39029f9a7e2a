import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createTidemark } from '../../src/engine.ts'
import { defineConfig } from '../../src/schema/index.ts'
import { createTestDatabase } from '../helpers/database.ts'
import { everyType, fixedRows } from '../suites/tier-data.ts'

it('a table that was never frozen costs no DuckDB and no folder, whatever is done with it', async () => {
  const test = await createTestDatabase({ empty: true })
  const root = await mkdtemp(join(tmpdir(), 'tidemark-never-'))
  const config = defineConfig({ datasets: [everyType] })
  const tm = await createTidemark(config, { connectionString: test.connectionString, root })
  try {
    await tm.migrate()
    await tm.insertUnknown(everyType.name, fixedRows())
    await tm.createWorker().runOnce({ force: true })
    await tm.status()
    await tm.doctor()
    await tm.verify()
    const ask = () => tm.queryUnknown(everyType.name, { bucket: '1 hour', select: { n: { fn: 'count' } } })
    const { plan } = await ask()
    expect(plan.parts.map(({ source }) => source)).toEqual(['hot'])
    const loaded = Object.keys(createRequire(import.meta.url).cache).filter((path) => path.includes('duckdb'))
    expect(loaded).toEqual([])
  } finally {
    await tm.close()
    expect(await readdir(root)).toEqual([])
    await test.drop()
    await rm(root, { recursive: true })
  }
})
