// Ten panels of a dashboard over the rows of TSBS: 30 days by hour. Each for tm.query, as SQL for PostgreSQL, and as one writes it
// by hand for DuckDB over Parquet files. PostgreSQL and DuckDB give exact percentiles: there is nothing else in the one, and it is what
// somebody writes in the other.
import { avg, count, max, percentile } from '../dist/index.js'
import { duckdbTime } from './tsbs-queries.mjs'

const hourMicros = 3_600_000_000

const exactPercentile = (p, column) => ({
  postgres: `percentile_disc(${p}) within group (order by ${column})`,
  duckdb: `quantile_disc(${column}, ${p})`,
})
const plainly = (expression) => ({ postgres: expression, duckdb: expression })

/**
 * @typedef {object} Panel
 * @property {Record<string, object>} select for tm.query
 * @property {{ postgres: string, duckdb: string }[]} outputs
 * @property {string[]} [hosts] only these; two or more are groups
 */

/** @type {Record<string, Panel>} */
export const panels = {
  rows: { select: { n: count() }, outputs: [plainly('count(*)')] },
  mean: { select: { mean: avg('usage_user') }, outputs: [plainly('avg(usage_user)')] },
  p95: { select: { p95: percentile('usage_user', 0.95) }, outputs: [exactPercentile(0.95, 'usage_user')] },
  'p50 and p99': {
    select: { p50: percentile('usage_user', 0.5), p99: percentile('usage_user', 0.99) },
    outputs: [exactPercentile(0.5, 'usage_user'), exactPercentile(0.99, 'usage_user')],
  },
  'max and mean': {
    select: { top: max('usage_system'), mean: avg('usage_system') },
    outputs: [plainly('max(usage_system)'), plainly('avg(usage_system)')],
  },
  waiting: { select: { mean: avg('usage_iowait') }, outputs: [plainly('avg(usage_iowait)')] },
  'three means': {
    select: { a: avg('usage_nice'), b: avg('usage_irq'), c: avg('usage_softirq') },
    outputs: ['usage_nice', 'usage_irq', 'usage_softirq'].map((column) => plainly(`avg(${column})`)),
  },
  'max of a host': {
    hosts: ['host_1'],
    select: { top: max('usage_system') },
    outputs: [plainly('max(usage_system)')],
  },
  'p95 of a host': {
    hosts: ['host_2'],
    select: { p95: percentile('usage_user', 0.95) },
    outputs: [exactPercentile(0.95, 'usage_user')],
  },
  'means of three hosts': {
    hosts: ['host_1', 'host_3', 'host_5'],
    select: { mean: avg('usage_user') },
    outputs: [plainly('avg(usage_user)')],
  },
}

/** One number of the whole range: what a summary line shows. */
export const p95OfAll = {
  select: { p95: percentile('usage_user', 0.95) },
  outputs: [exactPercentile(0.95, 'usage_user')],
}

/** @param {{ from: string, to: string }} range ISO times */
export function queryOf({ hosts, select }, range, bucket = '1 hour') {
  return {
    ...range,
    ...(bucket && { bucket }),
    ...(hosts && { where: { hostname: { in: hosts } } }),
    ...(hosts?.length > 1 && { by: ['hostname'] }),
    select,
  }
}

export function postgresOf(panel, { from, to }, table, bucket = '1 hour') {
  const heads = [
    ...(bucket ? [`date_trunc('hour', time, 'UTC')`] : []),
    ...(panel.hosts?.length > 1 ? ['hostname'] : []),
  ]
  const outputs = panel.outputs.map(({ postgres }) => postgres)
  return statement({ heads, outputs, from: table, where: `time >= '${from}' and time < '${to}'`, panel })
}

/** `date_trunc` of a timestamptz costs DuckDB more than the scan, so buckets are counted. */
export function duckdbOf(panel, { from, to }, source, bucket = '1 hour') {
  const heads = [
    ...(bucket ? [`epoch_us(time) // ${hourMicros}`] : []),
    ...(panel.hosts?.length > 1 ? ['hostname'] : []),
  ]
  const outputs = panel.outputs.map(({ duckdb }) => duckdb)
  const where = `time >= ${duckdbTime(from)} and time < ${duckdbTime(to)}`
  return statement({ heads, outputs, from: source, where, panel })
}

function statement({ heads, outputs, from, where, panel: { hosts } }) {
  const ofHosts = hosts ? ` and hostname in (${hosts.map((host) => `'${host}'`)})` : ''
  const places = heads.map((_, i) => i + 1).join(', ')
  const grouped = places === '' ? '' : ` group by ${places} order by ${places}`
  return `select ${[...heads, ...outputs].join(', ')} from ${from} where ${where}${ofHosts}${grouped}`
}

/** Values only, in order of bucket and host: what every contender has to give. */
export function valuesOf({ select }, rows) {
  const names = Object.keys(select)
  return rows.map((row) =>
    Array.isArray(row) ? row.slice(-names.length).map(Number) : names.map((name) => Number(row[name])),
  )
}

/**
 * A fast wrong answer is no figure. Sketches are within 1 % of a value at the rank; the values are whole numbers, and the
 * rank may be the next one.
 *
 * @param {Record<string, number[][]>} answers the first is the one that others are held against
 */
export function assertAlike(name, { select }, answers) {
  const isSketch = Object.values(select).map(({ fn }) => fn === 'percentile')
  const [[one, expected], ...others] = Object.entries(answers)
  for (const [other, found] of others) {
    if (expected.length !== found.length)
      throw new Error(`${name}: ${one} has ${expected.length} rows, ${other} ${found.length}`)
    for (const [i, row] of expected.entries())
      for (const [k, value] of row.entries()) {
        const most = isSketch[k] ? 1 + 0.02 * Math.abs(value) : 1e-9 * Math.abs(value)
        if (!(Math.abs(value - found[i][k]) <= most))
          throw new Error(`${name}, row ${i}: ${one} says ${value}, ${other} ${found[i][k]}`)
      }
  }
}
