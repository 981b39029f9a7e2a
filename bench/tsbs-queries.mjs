// What `tsbs_generate_queries --use-case=cpu-only` asks: for tm.query(), as SQL over a plain table, and as one writes it by
// hand for DuckDB over Parquet files. And how answers of all of them are compared.
import { avg, max } from '../dist/index.js'
import { startMs, usages } from './tsbs.mjs'

const hourMs = 3_600_000
const minuteMicros = 60_000_000
const hourMicros = 3_600_000_000
const columns = ['time', 'hostname', ...usages]

/**
 * Each a function from a random source to one instance of the query.
 *
 * @param {{ hosts: number, days: number }} set
 * @param {{ plain?: string, hosts?: string, stepMs?: number }} options `stepMs`: ranges begin at multiples of it
 * @returns {Record<string, (random: () => number) => Shape>}
 *
 * @typedef {object} Shape
 * @property {object} query for tm.query
 * @property {string} sql for PostgreSQL
 * @property {(from: string) => string} duckdb given what stands after FROM
 * @property {number} [bucketMicros] the first column of `duckdb` counts buckets of this width, because `date_trunc` of a
 * timestamptz costs DuckDB more than the scan
 * @property {string[]} fields of a row, in the order in which `sql` and `duckdb` have them
 */
export function tsbsQueries(set, options = {}) {
  const { plain = 'bench.plain', hosts: hostTable = 'bench.host', stepMs = 1000 } = options
  const endMs = startMs + set.days * 24 * hourMs
  const range = (random, hours) => {
    const from = startMs + Math.floor(random() * ((endMs - startMs - hours * hourMs) / stepMs)) * stepMs
    return { from: new Date(from).toISOString(), to: new Date(from + hours * hourMs).toISOString() }
  }
  const someHosts = (random, count) => {
    const hosts = new Set()
    while (hosts.size < count) hosts.add(`host_${Math.floor(random() * set.hosts)}`)
    return [...hosts]
  }
  const select = (fn, names) => Object.fromEntries(names.map((name) => [name, fn(name)]))
  const sqlList = (fn, names) => names.map((name) => `${fn}(${name})`)
  const within = ({ from, to }) => `time >= '${from}' and time < '${to}'`
  const withinDuckDB = ({ from, to }) => `time >= ${duckdbTime(from)} and time < ${duckdbTime(to)}`
  const oneOf = (hosts) => `hostname in (${hosts.map((host) => `'${host}'`)})`

  const singleGroupby = (metrics, hostCount, hours, bucket, unit, bucketMicros) => (random) => {
    const [asked, hosts, names] = [
      range(random, hours),
      someHosts(random, hostCount),
      usages.slice(0, metrics),
    ]
    return {
      query: { ...asked, bucket, where: { hostname: { in: hosts } }, select: select(max, names) },
      sql: `
        select date_trunc('${unit}', time) as bucket, ${sqlList('max', names)}
        from ${plain} where ${oneOf(hosts)} and ${within(asked)}
        group by bucket order by bucket`,
      duckdb: (from) => `
        select epoch_us(time) // ${bucketMicros} as bucket, ${sqlList('max', names)}
        from ${from} where ${oneOf(hosts)} and ${withinDuckDB(asked)}
        group by bucket order by bucket`,
      bucketMicros,
      fields: ['bucket', ...names],
    }
  }
  const doubleGroupby = (metrics) => (random) => {
    const [asked, names] = [range(random, 12), usages.slice(0, metrics)]
    return {
      query: { ...asked, bucket: '1 hour', by: ['hostname'], select: select(avg, names) },
      sql: `
        select date_trunc('hour', time) as hour, hostname, ${sqlList('avg', names)}
        from ${plain} where ${within(asked)}
        group by hour, hostname order by hour, hostname`,
      duckdb: (from) => `
        select epoch_us(time) // ${hourMicros} as hour, hostname, ${sqlList('avg', names)}
        from ${from} where ${withinDuckDB(asked)}
        group by hour, hostname order by hour, hostname`,
      bucketMicros: hourMicros,
      fields: ['bucket', 'hostname', ...names],
    }
  }
  const highCpu = (hostCount) => (random) => {
    const [asked, hosts] = [range(random, 12), hostCount > 0 ? someHosts(random, hostCount) : null]
    const andHosts = hosts ? `and ${oneOf(hosts)}` : ''
    return {
      query: {
        ...asked,
        where: { usage_user: { gt: 90 }, ...(hosts ? { hostname: { in: hosts } } : {}) },
        columns,
        limit: 100_000,
      },
      sql: `select * from ${plain} where usage_user > 90.0 and ${within(asked)} ${andHosts}`,
      duckdb: (from) =>
        `select ${columns} from ${from} where usage_user > 90.0 and ${withinDuckDB(asked)} ${andHosts}`,
      fields: columns,
    }
  }
  return {
    'single-groupby-1-1-1': singleGroupby(1, 1, 1, '1 minute', 'minute', minuteMicros),
    'single-groupby-1-1-12': singleGroupby(1, 1, 12, '1 minute', 'minute', minuteMicros),
    'single-groupby-5-8-1': singleGroupby(5, 8, 1, '1 minute', 'minute', minuteMicros),
    'cpu-max-all-8': singleGroupby(10, 8, 8, '1 hour', 'hour', hourMicros),
    'double-groupby-1': doubleGroupby(1),
    'double-groupby-5': doubleGroupby(5),
    'double-groupby-all': doubleGroupby(10),
    'high-cpu-1': highCpu(1),
    'high-cpu-all': highCpu(0),
    lastpoint: () => ({
      query: { latestBy: ['hostname'], columns },
      sql: `
        select l.* from ${hostTable} h cross join lateral (
          select * from ${plain} p where p.hostname = h.hostname order by time desc limit 1) l`,
      // the quickest of those tried: arg_max of each column and DISTINCT ON read every column of every row
      duckdb: (from) => `
        select ${columns} from ${from}
        where (hostname, time) in (select (hostname, max(time)) from ${from} group by hostname)`,
      fields: columns,
    }),
    'groupby-orderby-limit': (random) => {
      const { to } = range(random, 1)
      return {
        query: {
          to,
          bucket: '1 minute',
          select: select(max, usages.slice(0, 1)),
          order: ['-bucket'],
          limit: 5,
        },
        sql: `
          select date_trunc('minute', time) as minute, max(usage_user)
          from ${plain} where time < '${to}'
          group by minute order by minute desc limit 5`,
        duckdb: (from) => `
          select epoch_us(time) // ${minuteMicros} as minute, max(usage_user)
          from ${from} where time < ${duckdbTime(to)}
          group by minute order by minute desc limit 5`,
        bucketMicros: minuteMicros,
        fields: ['bucket', 'usage_user'],
      }
    },
  }
}

/** DuckDB does not read the T and Z of an ISO time in a literal. */
export function duckdbTime(iso) {
  return `timestamptz '${iso.slice(0, -1).replace('T', ' ')}+00'`
}

/** An answer of tm.query in a form that can be compared: times as microseconds, rows in order of time and host. */
export function canonicalAnswer(rows, { fields }) {
  return inOrder(rows.map((row) => fields.map((name) => canonicalValue(row[name]))))
}

/** The same for rows of PostgreSQL or DuckDB; `bucketMicros` when the first column counts buckets. */
export function canonicalRows(rows, bucketMicros) {
  const first = (value) => (bucketMicros ? Number(value) * bucketMicros : canonicalValue(value))
  return inOrder(rows.map(([head, ...rest]) => [first(head), ...rest.map(canonicalValue)]))
}

function canonicalValue(value) {
  if (typeof value === 'bigint') return Number(value)
  if (value instanceof Date) return value.getTime() * 1000
  if (typeof value === 'object' && value !== null && 'micros' in value) return Number(value.micros)
  if (typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value)) return Date.parse(value) * 1000
  return value
}

function inOrder(rows) {
  const later = (a, b) => (a < b ? -1 : a > b ? 1 : 0)
  return rows.sort((a, b) => later(a[0], b[0]) || later(a[1], b[1]))
}

/**
 * A fast wrong answer is no figure. Every value has to be the same; averages as far as the order of a sum allows.
 *
 * @param {Record<string, unknown[][]>} answers canonical ones, by contender
 */
export function assertSame(name, answers) {
  const [[one, expected], ...others] = Object.entries(answers)
  for (const [other, found] of others) {
    const problem = differenceOf(expected, found)
    if (problem) throw new Error(`${name}: ${one} and ${other} differ: ${problem}`)
  }
}

function differenceOf(expected, found) {
  if (expected.length !== found.length) return `${expected.length} and ${found.length} rows`
  for (const [i, row] of expected.entries()) {
    for (const [k, value] of row.entries()) {
      const other = found[i][k]
      const isSame =
        value === other ||
        (typeof value === 'number' &&
          typeof other === 'number' &&
          Math.abs(value - other) <= 1e-12 * Math.max(Math.abs(value), Math.abs(other)))
      if (!isSame) return `row ${i}: ${JSON.stringify(row)} and ${JSON.stringify(found[i])}`
    }
  }
  return null
}
