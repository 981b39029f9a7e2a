/** A process of its own that moves chunks to and fro until it is killed. Says a line after each move. */
import { createChunkManager } from '../../src/hot/index.ts'
import { createDuckDB, createFolderStore, createLakeFiles } from '../../src/lake/index.ts'
import { createLifecycle } from '../../src/lifecycle/index.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { samples } from './fixture-tables.ts'

const [connectionString, dir] = process.argv.slice(2) as [string, string]
const db = createDatabase({ connectionString, max: 4 })
const store = createFolderStore({ dir })
const chunks = createChunkManager({ db, applyPolicies: async () => {} })
const duckdb = createDuckDB({ threads: 1 })
const lifecycle = createLifecycle({
  db,
  store,
  chunks,
  files: createLakeFiles({ duckdb, store }),
  settings: { leaseMs: 300, emptyShare: 0, keepStrayMs: 60_000 },
})
const moves = [
  () => lifecycle.freeze(samples),
  () => lifecycle.compact(samples),
  () => lifecycle.reclaim(samples),
  () => lifecycle.thaw(samples),
  () => lifecycle.sweep(),
]
console.log('ready')
for (let i = 0; ; i += 1) {
  await moves[i % moves.length]!()
  console.log(i)
}
