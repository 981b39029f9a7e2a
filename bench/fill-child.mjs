// Makes blocks of a set from one that is there, each later than the one before, and imports them cold: in a process of its own, so
// that as many as there are cores can do so at once. Given its orders as JSON; says each block that is done.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { cpuHypertable, lakeConfig, openTidemark } from './lake.mjs'

const { table, connectionString, dir, parquet, blocks, blockMs, blockRows, isKept } = JSON.parse(
  process.argv[2],
)
const cpu = cpuHypertable(table)
const tm = await openTidemark(lakeConfig([cpu], dir), connectionString)
const instance = await DuckDBInstance.create(':memory:', { threads: '1' })
const connection = await instance.connect()
for (const block of blocks) {
  const file = join(dir, `block-${block}.parquet`)
  const later = BigInt(block) * BigInt(blockMs) * 1000n
  await connection.run(`
    copy (select * replace (make_timestamptz(epoch_us(time) + ${later}) as time) from read_parquet('${parquet}'))
    to '${file}' (format parquet, compression snappy)`)
  const { rows, dead } = await tm.import(cpu.name, file, { cold: true })
  if (rows !== blockRows || dead !== 0) throw new Error(`${rows} of ${blockRows} rows were imported`)
  if (!isKept) await rm(file)
  process.send(block)
}
connection.closeSync()
instance.closeSync()
await tm.close()
process.disconnect()
