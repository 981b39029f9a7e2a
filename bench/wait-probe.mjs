// A process of its own that reads or writes in a tight loop while chunks are frozen, and notes how long each call took.
// Started by the freeze case with its orders as JSON; says when it is ready, goes on until it hears 'stop', then says what it saw.
import { count, max } from '../dist/index.js'
import { createDatabase } from '../dist/postgres/index.js'
import { text } from './harness.mjs'
import { cpuHypertable, lakeConfig, openTidemark } from './lake.mjs'
import { startMs, usages } from './tsbs.mjs'

const { role, table, connectionString, dir, set } = JSON.parse(process.argv[2])
const cpu = cpuHypertable(table)
const tm = await openTidemark(lakeConfig([cpu], dir), connectionString)
const db = createDatabase({ connectionString, max: 1 })
const hourMs = 3_600_000
const hours = set.days * 24

/** Each is called with a number that grows; an answer that is not right ends the process. */
const roles = {
  reader: {
    // what an ORM does: it sees the rows that are hot at this moment, so the number says nothing
    'SQL on the table': async (i) => {
      const from = new Date(startMs + (i % hours) * hourMs).toISOString()
      const to = new Date(startMs + ((i % hours) + 1) * hourMs).toISOString()
      await db.query(
        text(`
          select max(usage_user) from ${cpu.name}
          where hostname = 'host_${i % set.hosts}' and time >= '${from}' and time < '${to}'`),
      )
    },
    'tm.query': async (i) => {
      const from = startMs + (i % hours) * hourMs
      const { rows } = await tm.query(cpu, {
        from: new Date(from).toISOString(),
        to: new Date(from + hourMs).toISOString(),
        where: { hostname: `host_${i % set.hosts}` },
        select: { n: count(), top: max('usage_user') },
      })
      const expected = BigInt(hourMs / 1000 / set.everySeconds)
      if (BigInt(rows[0].n) !== expected)
        throw new Error(`${rows[0].n} rows in an hour, expected ${expected}`)
    },
  },
  writer: {
    'a row of now': (i) => write(startMs + hours * hourMs + i),
    // of a host of its own, so that the reader's numbers stay the same
    'a late row': (i) => write(startMs + (i % hours) * hourMs + i),
  },
}

async function write(ms) {
  const gauges = Object.fromEntries(usages.map((name) => [name, 1]))
  await tm.insert(cpu, [{ time: new Date(ms), hostname: 'late', ...gauges }])
}

const calls = roles[role]
const waits = Object.fromEntries(Object.keys(calls).map((name) => [name, []]))
let isStopped = false
let phase = 'warm up'
process.on('message', (message) => {
  if (message === 'stop') isStopped = true
  else phase = message
})
const seen = {}
// of a chunk that is cold already: DuckDB is loaded and started by it, once in the life of a process
const firstAt = performance.now()
if (role === 'reader') await calls['tm.query'](0)
process.send({ firstMs: performance.now() - firstAt })
for (let i = 0; !isStopped; i++) {
  for (const [name, call] of Object.entries(calls)) {
    const startedAt = performance.now()
    await call(i)
    const ms = performance.now() - startedAt
    waits[name].push([phase, ms])
  }
}
for (const [name, list] of Object.entries(waits)) {
  seen[name] = {}
  for (const [when, ms] of list) {
    seen[name][when] ??= []
    seen[name][when].push(ms)
  }
}
await tm.close()
await db.close()
process.send({ seen, calls: Object.values(waits).reduce((total, list) => total + list.length, 0) }, () =>
  process.disconnect(),
)
