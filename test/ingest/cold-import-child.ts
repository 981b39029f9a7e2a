import { createTidemark } from '../../src/engine.ts'
import { killedConfig } from './killed-table.ts'

/** An import into the lake in a process of its own, to be killed from outside: tells how many rows are written, line by line. */
const [connectionString, root, file, batchRows] = process.argv.slice(2) as [string, string, string, string]
const tm = await createTidemark(killedConfig, { connectionString, root })
let told = -1
process.stdout.write('started\n')
const report = await tm.import('import.killed', file, {
  cold: true,
  batchRows: Number(batchRows),
  timeFormat: 'unix-s',
  onProgress: ({ rows, dead }) => {
    if (rows + dead !== told) process.stdout.write(`${rows + dead}\n`)
    told = rows + dead
  },
})
process.stdout.write(`done ${report.rows}\n`)
await tm.close()
