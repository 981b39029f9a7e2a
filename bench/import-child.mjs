// One import in a process of its own, which may be bound to one core. Given its orders as JSON, prints what it took as JSON;
// what it wrote is looked at after the clock has stopped.
import { count, max, sum } from '../dist/index.js'
import { cpuHypertable, lakeConfig, openTidemark, wholeQuery } from './lake.mjs'

const { table, connectionString, dir, file, options } = JSON.parse(process.argv[2])
const cpu = cpuHypertable(table)
const tm = await openTidemark(lakeConfig([cpu], dir), connectionString)
await tm.ping()
const processorMs = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1000
}
const usedBefore = processorMs()
const startedAt = performance.now()
const { rows, dead } = await tm.import(cpu.name, file, { timeZone: 'UTC', ...options })
const elapsedMs = performance.now() - startedAt
const used = processorMs() - usedBefore
const { rows: answer, plan } = await tm.query(cpu, wholeQuery({ count, max, sum }))
const result = {
  rows,
  dead,
  ms: elapsedMs,
  processorMs: used,
  answer: { ...answer[0], n: Number(answer[0].n) },
  sources: [...new Set(plan.parts.filter((part) => part.rows !== 0).map(({ source }) => source))],
}
await tm.close()
console.log(JSON.stringify(result))
