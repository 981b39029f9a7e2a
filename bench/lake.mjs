// What the cases of the lake share: the table, its rows, its files, and DuckDB by hand over them.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DuckDBInstance } from '@duckdb/node-api'
import { createHotTier, withReadSnapshot } from '../dist/hot/index.js'
import { createTidemark, defineConfig, hypertable } from '../dist/index.js'
import { createColdTier, createDuckDB, createFolderStore } from '../dist/lake/index.js'
import { createDatabase } from '../dist/postgres/index.js'
import { executeQuery, parseQuery, queryLimits } from '../dist/query/index.js'
import { fixedClock } from '../dist/time/index.js'
import { cpuColumns, toObject } from './cpu-table.mjs'
import { text } from './harness.mjs'
import { startMs, tsbsRows, usages } from './tsbs.mjs'

/** When it is, for the cases: long after all their rows, whatever the machine says. */
export const clock = fixedClock(BigInt(Date.UTC(2028, 0, 1)) * 1000n)

/** As TimescaleDB's was: chunks of 12 hours, two indexes; files in order of host and time, if nothing else is said. */
export function cpuHypertable(name, orderBy = ['hostname']) {
  return hypertable(`bench.${name}`, {
    columns: cpuColumns,
    time: 'time',
    chunk: '12 hours',
    orderBy,
    indexes: [['hostname', 'time'], ['time']],
    freeze: { after: '1 day' },
  })
}

/** Lends a folder that is gone afterwards. */
export async function withFolder(use) {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-bench-lake-'))
  try {
    return await use(dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** The configuration of a case, with its lake in `dir`. */
export function lakeConfig(datasets, dir) {
  return defineConfig({ datasets, lake: { dir: join(dir, 'lake') } })
}

/** @param {import('../dist/index.js').TidemarkConfig} config */
export function openTidemark(config, connectionString) {
  return createTidemark(config, { connectionString, clock })
}

/** Rows of TSBS into a hypertable, vacuumed as rows are that have been there for a while. */
export async function fill(db, tm, definition, set) {
  await tm.insert(definition, objects(set), { connections: 2 })
  await db.query(text(`vacuum analyze ${definition.name}`))
}

function* objects(set) {
  for (const row of tsbsRows(set)) yield toObject(row)
}

/** The starts of the chunks of a set, each `{ from, to }` as a choice of `tm.freeze`. */
export function chunksOf(set) {
  const halfDayMs = 43_200_000
  return Array.from({ length: set.days * 2 }, (_, i) => ({
    from: new Date(startMs + i * halfDayMs).toISOString(),
    to: new Date(startMs + (i + 1) * halfDayMs).toISOString(),
  }))
}

/** Bytes of the partitions of a hypertable, in PostgreSQL. */
export async function bytesInPostgres(db, definition) {
  const { rows } = await db.query(
    text(`
      select sum(pg_table_size(relid))::float8, sum(pg_indexes_size(relid))::float8
      from pg_partition_tree('${definition.name}') where isleaf`),
  )
  const [heap, indexes] = rows[0]
  return { heap, indexes, total: heap + indexes }
}

/** The files of a hypertable in the lake, as the catalog names them. */
export async function filesOf(db, definition) {
  const { rows } = await db.query(
    text(`
      select f.path, f.row_count::float8, f.bytes::float8, coalesce(f.summary_bytes, 0)::float8
      from tidemark.lake_file as f
      join tidemark.hypertable as h on h.id = f.hypertable_id
      where h.schema_name = '${definition.schema}' and h.table_name = '${definition.table}'
      order by f.min_time`),
  )
  return rows.map(([path, rowCount, bytes, summaryBytes]) => ({ path, rowCount, bytes, summaryBytes }))
}

export function sum(list, value) {
  return list.reduce((total, each) => total + value(each), 0)
}

/**
 * DuckDB as somebody uses it who has only the files: one connection, everything cached, JavaScript values out.
 *
 * @param {string[]} paths
 */
export async function openFilesByHand(paths) {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run("set TimeZone = 'UTC'")
  await connection.run('set parquet_metadata_cache = true')
  const list = paths.map((path) => `'${path.replaceAll("'", "''")}'`)
  return {
    from: `read_parquet([${list}], hive_partitioning = false)`,
    query: async (statement) => (await connection.runAndReadAll(statement)).getRowsJS(),
    close() {
      connection.closeSync()
      instance.closeSync()
    },
  }
}

/**
 * tm.query as the engine runs it, but with a cold tier of other options.
 *
 * @param {Partial<import('../dist/lake/index.js').ColdTierOptions>} options
 */
export function openWithColdTier(config, connectionString, options) {
  const db = createDatabase({ connectionString, max: config.database.maxConnections })
  const duckdb = createDuckDB()
  const { maxRows, maxCells, maxBuckets, maxRangeMs, maxAnswerBytes, queryTimeoutMs } = config.limits
  const limits = queryLimits({ maxRows, maxCells, maxBuckets, maxRangeMs })
  const tiers = [
    createHotTier({ maxPageBytes: maxAnswerBytes }),
    createColdTier({
      duckdb,
      store: createFolderStore({ dir: config.lake.dir }),
      maxPageBytes: maxAnswerBytes,
      ...options,
    }),
  ]
  return {
    query(dataset, input) {
      const node = parseQuery(input, { dataset, clock, limits })
      return withReadSnapshot(
        db,
        { timeoutMs: queryTimeoutMs, signal: null, dataset, taken: 'with the first statement' },
        (snapshot) => executeQuery(node, { tiers, snapshot, clock, signal: null, limits }),
      )
    },
    async close() {
      await db.close()
      await duckdb.close()
    },
  }
}

/** Every row of a hypertable or table as PostgreSQL sees it: how many, and a sum of their hashes that knows no order. */
export async function rowsInPostgres(db, relation) {
  const { rows } = await db.query(
    text(
      `select count(*)::float8, coalesce(sum(hash_record_extended(r, 0)::numeric), 0)::text from ${relation} as r`,
    ),
  )
  const [count, hash] = rows[0]
  return { count, hash }
}

/** Every row as a query finds it, wherever it is: how many, the sum of each gauge, and the newest time. */
export function wholeQuery({ count, sum: total, max }) {
  return {
    select: {
      n: count(),
      newest: max('time'),
      ...Object.fromEntries(usages.map((name) => [name, total(name)])),
    },
  }
}

/** @throws Error when two answers of `wholeQuery` differ by more than the order of a sum allows. */
export function assertSameWhole(what, expected, found) {
  for (const [name, value] of Object.entries(expected)) {
    const other = found[name]
    const isSame =
      typeof value === 'number' ? Math.abs(value - other) <= 1e-9 * Math.abs(value) : value === other
    if (!isSame) throw new Error(`${what}: ${name} is ${other}, expected ${value}`)
  }
}
