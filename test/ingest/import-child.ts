import { createChunkManager, createHotWriter } from '../../src/hot/index.ts'
import { importFile } from '../../src/ingest/index.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { killed } from './killed-table.ts'

/** An import in a process of its own, to be killed from outside: tells how many rows are committed, line by line. */
const [connectionString, file, batchRows, connections] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
]
const db = createDatabase({ connectionString, max: 6 })
const chunks = createChunkManager({ db, applyPolicies: async () => {} })
let told = -1
const report = await importFile({
  db,
  writer: createHotWriter({ db, chunks, loadRows: 200 }),
  definition: killed,
  file,
  options: { batchRows: Number(batchRows), connections: Number(connections), timeFormat: 'unix-s' },
  onPlan: () => process.stdout.write('started\n'),
  onProgress: ({ rows, dead }) => {
    if (rows + dead !== told) process.stdout.write(`${rows + dead}\n`)
    told = rows + dead
  },
})
process.stdout.write(`done ${report.inserted}\n`)
await db.close()
