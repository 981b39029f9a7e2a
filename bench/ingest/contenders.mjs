// Those that Tidemark is compared with: INSERT statements through pg, and InfluxDB.
import pg from 'pg'
import { usages } from '../tsbs.mjs'

const statementRows = 1000
const columns = ['time', 'hostname', ...usages]

/** Prepared statements of 1,000 rows over two connections. */
export async function insertStatements(connectionString, plain, objects, rows) {
  const pool = new pg.Pool({ connectionString, max: 2 })
  const statement = (count) => ({
    name: `insert_${count}`,
    text: `insert into ${plain} (${columns}) values ${Array.from(
      { length: count },
      (_, row) => `(${columns.map((_, i) => `$${row * columns.length + i + 1}`)})`,
    )}`,
  })
  const [whole, last] = [statement(statementRows), statement(rows % statementRows || 1)]
  let next = 0
  const writer = async () => {
    for (let at = next; at < rows; at = next) {
      next += statementRows
      const list = objects(at, at + statementRows)
      const values = list.flatMap((row) => columns.map((name) => row[name]))
      await pool.query({ ...(list.length === statementRows ? whole : last), values })
    }
  }
  try {
    await Promise.all([writer(), writer()])
  } finally {
    await pool.end()
  }
}

/** @param sender starts a load generator */
export function influxContender(influx, sender, rows, total) {
  let generator = null
  return {
    before: async () => {
      await influx.ask('drop database bench')
      await influx.ask('create database bench')
      generator = await sender(influx.url, 'line', '/write?db=bench', 'text/plain')
    },
    run: async () => {
      const before = influx.usedMs()
      const { usedMs } = await generator.ask('closed')
      return { client: usedMs, database: influx.usedMs() - before }
    },
    after: () => generator.stop(),
    check: async () => {
      const sums = usages.map((name) => `sum(${name})`)
      const { values } = await influx.ask(`select count(${usages[0]}), ${sums} from cpu`)
      const [, count, ...parts] = values[0]
      assertSame('InfluxDB', { rows: count, total: parts.reduce((a, b) => a + b) }, { rows, total })
    },
  }
}

export function assertSame(what, found, expected) {
  if (found.rows !== expected.rows || found.total !== expected.total)
    throw new Error(
      `${what}: ${found.rows} rows with the sum ${found.total}, expected ${expected.rows} with ${expected.total}`,
    )
}
