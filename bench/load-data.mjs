// The files and rows of the load case: the same rows as CSV, Parquet and JavaScript objects.

import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { DuckDBInstance } from '@duckdb/node-api'
import { startMs, tsbsRows, usages } from './tsbs.mjs'

/**
 * @typedef {object} DataSet
 * @property {number} rows
 * @property {string} csv all rows, with a header
 * @property {string[]} halves the same in two files
 * @property {string} parquet
 * @property {string} checksum an SQL expression whose value tells whether the rows are those
 * @property {(() => AsyncGenerator<object>) | null} objects rows as objects, made while they are read
 */

/** @returns {Promise<DataSet>} */
export async function makeCpu(dir, set) {
  const width = usages.length
  const total = (set.hosts * set.days * 86_400) / set.everySeconds
  // One byte each: what is timed later makes objects of them, and does not simulate.
  const gauges = new Uint8Array(total * width)
  const csv = join(dir, 'cpu.csv')
  const halves = [join(dir, 'cpu-1.csv'), join(dir, 'cpu-2.csv')]
  const writers = [csv, ...halves].map(csvWriter)
  const header = `time,hostname,${usages.join(',')}\n`
  for (const writer of writers) await writer.write(header)
  let at = 0
  let lastMs = -1
  let time = ''
  for (const [ms, host, values] of tsbsRows(set)) {
    gauges.set(values, at * width)
    if (ms !== lastMs) {
      time = new Date(ms).toISOString()
      lastMs = ms
    }
    const line = `${time},${host},${values.join(',')}\n`
    await writers[0].write(line)
    await writers[at * 2 < total ? 1 : 2].write(line)
    at += 1
  }
  for (const writer of writers) await writer.end()
  const parquet = join(dir, 'cpu.parquet')
  await duckdb(`
    copy (select * replace (time::timestamptz as time) from read_csv('${csv}', header = true, all_varchar = false,
      types = {${usages.map((name) => `'${name}': 'DOUBLE'`)}, 'time': 'TIMESTAMPTZ'}))
    to '${parquet}' (format parquet, compression zstd)`)
  const names = Array.from({ length: set.hosts }, (_, i) => `host_${i}`)
  async function* objects() {
    for (let row = 0; row < total; row++) {
      const from = row * width
      yield {
        time: new Date(startMs + Math.floor(row / set.hosts) * set.everySeconds * 1000),
        hostname: names[row % set.hosts],
        usage_user: gauges[from],
        usage_system: gauges[from + 1],
        usage_idle: gauges[from + 2],
        usage_nice: gauges[from + 3],
        usage_iowait: gauges[from + 4],
        usage_irq: gauges[from + 5],
        usage_softirq: gauges[from + 6],
        usage_steal: gauges[from + 7],
        usage_guest: gauges[from + 8],
        usage_guest_nice: gauges[from + 9],
      }
    }
  }
  return {
    rows: total,
    csv,
    halves,
    parquet,
    checksum: `sum(${usages.join(' + ')})::text || ' ' || sum(extract(epoch from time))::text || ' ' || sum(length(hostname))::text`,
    objects,
  }
}

/** The 3 M flights that come with vega-datasets; local times without a zone, read as UTC. @returns {Promise<DataSet>} */
export async function makeFlights(dir, limit) {
  const given = fileURLToPath(
    new URL('../node_modules/vega-datasets/data/flights-3m.parquet', import.meta.url),
  )
  const columns = ['date', 'delay', 'distance', 'origin', 'destination']
  const source = `(select ${columns} from read_parquet('${given}') ${limit === null ? '' : `limit ${limit}`})`
  const csv = join(dir, 'flights.csv')
  const halves = [join(dir, 'flights-1.csv'), join(dir, 'flights-2.csv')]
  const parquet = join(dir, 'flights.parquet')
  const [[count]] = await duckdb(`select count(*) from ${source}`)
  const rows = Number(count)
  const half = Math.ceil(rows / 2)
  const asText = (from, to, file) => `
    copy (select strftime(date, '%Y-%m-%dT%H:%M:%SZ') as date, delay, distance, origin, destination
      from ${source} limit ${to - from} offset ${from}) to '${file}' (format csv, header true)`
  await duckdb(
    `set threads = 1`,
    asText(0, rows, csv),
    asText(0, half, halves[0]),
    asText(half, rows, halves[1]),
  )
  await duckdb(`copy ${source} to '${parquet}' (format parquet, compression zstd)`)
  return {
    rows,
    csv,
    halves,
    parquet,
    checksum: `sum(delay)::text || ' ' || sum(distance)::text || ' ' || sum(extract(epoch from date))::text || ' ' || count(distinct origin || destination)::text`,
    objects: null,
  }
}

async function duckdb(...statements) {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  try {
    let rows = []
    for (const statement of ["set TimeZone = 'UTC'", ...statements])
      rows = (await connection.runAndReadAll(statement)).getRows()
    return rows
  } finally {
    connection.closeSync()
    instance.closeSync()
  }
}

function csvWriter(path) {
  const stream = createWriteStream(path)
  let lines = ''
  const flush = async () => {
    if (!stream.write(lines)) await once(stream, 'drain')
    lines = ''
  }
  return {
    async write(line) {
      lines += line
      if (lines.length > 1 << 18) await flush()
    },
    async end() {
      await flush()
      stream.end()
      await finished(stream)
    },
  }
}
