// Small writes, each committed: tm.insert into a hypertable against a parameterised INSERT of pg into a plain table.
import pg from 'pg'
import { createTidemark, defineConfig, hypertable } from '../../dist/index.js'
import { cpuColumns, plainTableSql, toObject } from '../cpu-table.mjs'
import { interleave, markdownTable, ms } from '../harness.mjs'
import { tsbsDefaults, tsbsRows, usages } from '../tsbs.mjs'

export const about = 'inserts of 1 to 1,000 rows, from 1 and 8 callers, against pg into a plain table'

const cpu = hypertable('bench.cpu', {
  columns: cpuColumns,
  time: 'time',
  chunk: '12 hours',
  indexes: [['hostname', 'time'], ['time']],
})
const columns = ['time', 'hostname', ...usages]

export async function run({ db, connectionString, rounds = 7, quick }) {
  const tm = await createTidemark(defineConfig({ datasets: [cpu] }), { connectionString })
  const pool = new pg.Pool({ connectionString, max: 10 })
  try {
    await tm.migrate()
    await db.execute(plainTableSql('bench.plain'))
    const rows = []
    for (const row of tsbsRows({ ...tsbsDefaults, days: 1 })) {
      rows.push(toObject(row))
      if (rows.length === 20_000) break
    }
    const results = []
    for (const size of [1, 10, 100, 1000]) {
      for (const callers of [1, 8]) {
        const calls = Math.ceil((size === 1000 ? 40 : size === 100 ? 160 : 320) / (quick ? 8 : 1))
        const every = (write) => async () => {
          let next = 0
          const caller = async () => {
            for (let call = next++; call < calls; call = next++) {
              const from = (call * size) % (rows.length - size)
              await write(rows.slice(from, from + size))
            }
          }
          await Promise.all(Array.from({ length: callers }, caller))
        }
        const statement = insertStatement(size)
        const before = () => db.execute('truncate bench.plain; truncate bench.cpu; checkpoint')
        const found = await interleave(
          {
            pg: {
              before,
              run: every((part) => pool.query({ ...statement, values: part.flatMap(toValues) })),
            },
            tidemark: { before, run: every((part) => tm.insert(cpu, part)) },
          },
          { rounds, maxMs: Number.POSITIVE_INFINITY },
        )
        results.push({ size, callers, calls, ...found })
        console.log(line(results.at(-1)))
      }
    }
    console.log(`\n${table(results)}`)
    return { results }
  } finally {
    await pool.end()
    await tm.close()
  }
}

/** For docs/benchmarks.md. */
export function table(results) {
  return markdownTable(
    [
      'rows a call',
      'callers',
      'pg, ms a call',
      'Tidemark, ms a call',
      'pg, rows/s',
      'Tidemark, rows/s',
      'against pg',
    ],
    results.map(({ size, callers, calls, pg: plain, tidemark }) => [
      size.toLocaleString('en'),
      callers,
      ms((plain.median * callers) / calls),
      ms((tidemark.median * callers) / calls),
      perSecond(size * calls, plain.median),
      perSecond(size * calls, tidemark.median),
      `${(plain.median / tidemark.median).toFixed(2)}x`,
    ]),
  )
}

function line({ size, callers, calls, pg: plain, tidemark }) {
  return `  ${String(size).padStart(4)} rows, ${callers} callers: pg ${perSecond(size * calls, plain.median)} rows/s, tidemark ${perSecond(size * calls, tidemark.median)} rows/s (${(plain.median / tidemark.median).toFixed(2)}x)`
}

const perSecond = (rows, milliseconds) => Math.round((rows * 1000) / milliseconds).toLocaleString('en')

/** Prepared once on each connection, as who cares for speed would have it. */
function insertStatement(size) {
  const width = columns.length
  const tuple = (row) => `(${columns.map((_, i) => `$${row * width + i + 1}`)})`
  return {
    name: `insert_${size}`,
    text: `insert into bench.plain (${columns}) values ${Array.from({ length: size }, (_, row) => tuple(row))}`,
  }
}

function toValues(row) {
  return columns.map((name) => row[name])
}
