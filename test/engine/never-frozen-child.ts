import { createRequire } from 'node:module'
import { createTidemark } from '../../src/engine.ts'
import { defineConfig } from '../../src/schema/index.ts'
import { everyType, fixedRows } from '../suites/tier-data.ts'

/** Does everything with a table that is never frozen; tells where rows came from and what of DuckDB it has loaded, as JSON. */
const [connectionString, root] = process.argv.slice(2) as [string, string]
const tm = await createTidemark(defineConfig({ datasets: [everyType] }), { connectionString, root })
await tm.migrate()
await tm.insertUnknown(everyType.name, fixedRows())
await tm.createWorker().runOnce({ force: true })
await tm.status()
await tm.doctor()
await tm.verify()
const { plan } = await tm.queryUnknown(everyType.name, { bucket: '1 hour', select: { n: { fn: 'count' } } })
await tm.close()
const loaded = Object.keys(createRequire(import.meta.url).cache).filter((path) => path.includes('duckdb'))
process.stdout.write(JSON.stringify({ sources: plan.parts.map(({ source }) => source), loaded }))
