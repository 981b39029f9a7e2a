// How far percentiles and uniques are from exact values, on real data (../shared/data beside the project; see its README): of each
// hour, of days that are merged from the cells of hours, and of everything, merged from them too. No timing.
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DuckDBInstance } from '@duckdb/node-api'
import {
  continuousAggregate,
  createTidemark,
  defineConfig,
  hypertable,
  percentile,
  t,
  uniques,
} from '../../dist/index.js'
import { markdownTable, text } from '../harness.mjs'
import { clock, withFolder } from '../lake.mjs'

export const about = 'percentiles and uniques of real data against exact values'

const data = fileURLToPath(new URL('../../../shared/data/', import.meta.url))
const csv = (options = '') => `read_csv('$file', header = true, all_varchar = true${options})`

/** What is looked at of each: a time, a value, and whose it is. */
const sets = {
  'prices of coins': {
    file: 'market/coingecko_daily_2021H2.csv.gz',
    select: `make_timestamptz(timestamp::bigint * 1000) as time, price::double as value, "coinId" as id`,
    from: csv(),
    where: `price is not null and price <> ''`,
  },
  'sizes of trades': {
    file: 'market/binance_trades_20240808.csv.gz',
    select: `make_timestamptz("E"::bigint * 1000) as time, qty::double as value, trade_id as id`,
    from: csv(),
  },
  'volumes of stocks': {
    file: 'market/stocknet_price_daily.csv.gz',
    select: `"Date"::timestamptz as time, "Volume"::double as value, symbol as id`,
    from: csv(),
    where: `"Volume" <> 'null'`,
  },
  'requests per second of Redis': {
    file: 'iot/azure_vm_noise_redis.csv.gz',
    select: `starttime::timestamptz as time, value::double as value, concat_ws('/', vm_lifespan, vm_region, vm_sku, "VM_id") as id`,
    from: csv(),
  },
  'readings of sensors and servers': {
    file: 'iot/nab_real.csv.gz',
    select: `"timestamp"::timestamptz as time, value::double as value, series as id`,
    from: csv(),
  },
  'lines of invoices, refunds among them': {
    file: 'web/online_retail_ii_2009_2010.csv.gz',
    select: `"InvoiceDate"::timestamptz as time, "Quantity"::double * "Price"::double as value, nullif("Customer ID", '') as id`,
    from: csv(),
  },
  'prices in a shop': {
    file: 'web/eshop_clothing_2008.csv.gz',
    select: `make_timestamptz(year::int, month::int, day::int, 0, 0, 0) as time, price::double as value, "session ID" as id`,
    from: csv(`, delim = ';'`),
  },
  'bytes of web requests': {
    file: 'web/apache_access_2015.log.gz',
    select: `
      strptime(regexp_extract(line, '\\[([^ ]+) ', 1), '%d/%b/%Y:%H:%M:%S')::timestamptz as time,
      try_cast(regexp_extract(line, '" \\d{3} (\\d+) ', 1) as double) as value,
      split_part(line, ' ', 1) as id`,
    from: `read_csv('$file', header = false, columns = {line: 'VARCHAR'}, delim = '\\x01', quote = '', escape = '')`,
  },
  'tokens of answers, conversation': {
    file: 'llm/azure_llm_2023_conv.csv.gz',
    select: `"TIMESTAMP"::timestamptz as time, "GeneratedTokens"::double as value, "ContextTokens" as id`,
    from: csv(),
  },
  'cost of messages to models': {
    file: 'llm/aider_message_send.jsonl.gz',
    select: `
      make_timestamptz((json ->> 'time')::bigint * 1000000) as time,
      (json -> 'properties' ->> 'cost')::double as value,
      json -> 'properties' ->> 'main_model' as id`,
    from: `read_json_objects('$file', format = 'newline_delimited')`,
  },
  'stars of repositories': {
    file: 'rank/github_rank_narrow_2018_2026.csv.gz',
    select: `"date"::timestamptz as time, stars::double as value, repo_url as id`,
    from: csv(),
  },
}
const quantiles = [0.5, 0.95, 0.99]
const spans = { hour: '1 hour', 'day, merged': '1 day', 'all, merged': null }

export async function run({ connectionString, db, quick }) {
  await access(data).catch(() => {
    throw new Error('the data sets are not there: this case reads ../shared/data beside the project')
  })
  const tables = Object.keys(sets).map((_, i) => declare(i))
  return withFolder(async (dir) => {
    const datasets = tables.flatMap(({ table, cells }) => [table, cells])
    const open = () =>
      createTidemark(defineConfig({ datasets, cache: { memory: 0 } }), { connectionString, clock })
    const tm = await open()
    const loaded = []
    try {
      await tm.migrate()
      for (const [i, [name, set]] of Object.entries(sets).entries()) {
        const parquet = join(dir, `${i}.parquet`)
        await writeParquet(set, parquet, quick)
        const { rows } = await tm.import(tables[i].table.name, parquet)
        await tm.refresh(tables[i].cells.name)
        loaded.push({ name, rows, ...tables[i] })
        console.log(`  ${name}: ${rows.toLocaleString('en')} rows`)
      }
    } finally {
      await tm.close()
    }
    await db.execute('vacuum analyze')
    const reader = await open()
    const found = []
    try {
      for (const { name, rows, ...tablesOf } of loaded)
        for (const [span, bucket] of Object.entries(spans))
          found.push({ name, rows, span, ...(await compare(reader, db, tablesOf, bucket)) })
    } finally {
      await reader.close()
    }
    console.log(`\n${table(found)}`)
    return { found }
  })
}

function declare(i) {
  const table = hypertable(`bench.real_${i}`, {
    columns: { time: t.timestamptz(), value: t.float8().nullable(), id: t.text().nullable() },
    time: 'time',
    chunk: '90 days',
  })
  const cells = continuousAggregate(`bench.real_${i}_hourly`, {
    from: table,
    bucket: '1 hour',
    select: { p: percentile('value', 0.5), users: uniques('id') },
  })
  return { table, cells }
}

async function writeParquet({ file, select, from, where = 'true' }, target, quick) {
  const instance = await DuckDBInstance.create(':memory:')
  const connection = await instance.connect()
  await connection.run("set TimeZone = 'UTC'")
  await connection.run(`
    copy (
      select * from (select ${select} from ${from.replace('$file', join(data, file))} where ${where})
      where time is not null ${quick ? 'limit 20000' : ''}
    ) to '${target}' (format parquet)`)
  connection.closeSync()
  instance.closeSync()
}

/** Relative errors of every bucket; what is exact comes from PostgreSQL: the value at rank floor(q * (n - 1)), and count(distinct). */
async function compare(tm, db, { table, cells }, bucket) {
  const select = {
    ...Object.fromEntries(quantiles.map((q, i) => [`p${i}`, percentile('value', q)])),
    users: uniques('id'),
  }
  const { rows: ends } = await db.query(
    text(
      `select date_trunc('day', min(time), 'UTC'), date_trunc('day', max(time), 'UTC') + interval '24 hours' from ${table.name}`,
    ),
  )
  const [from, to] = ends[0].map((micros) => new Date(Number(micros / 1000n)).toISOString())
  const { rows, plan } = bucket
    ? await tm.query(cells, { from, to, bucket, select })
    : await tm.query(table, { from, to, select })
  const others = plan.parts.filter((part) => part.source !== cells.name && part.cells > 0)
  if (others.length > 0)
    throw new Error(`${table.name}: the answer is not from cells alone: ${JSON.stringify(plan)}`)
  const values = '(array_agg(value order by value) filter (where value is not null))'
  const exact = await db.query(
    text(`
      select ${[
        ...quantiles.map((q) => `${values}[floor(${q}::numeric * (count(value) - 1))::int + 1]`),
        'count(distinct id)::float8',
      ]}
      from ${table.name}
      ${bucket ? `group by date_trunc('${bucket.slice(2)}', time, 'UTC') order by date_trunc('${bucket.slice(2)}', time, 'UTC')` : ''}`),
  )
  if (exact.rows.length !== rows.length)
    throw new Error(`${table.name}: ${rows.length} buckets, ${exact.rows.length} expected`)
  const errorsOf = (name, i) =>
    rows
      .map((row, place) => relativeError(row[name], exact.rows[place][i]))
      .filter((error) => error !== null)
      .sort((a, b) => a - b)
  const spreadOf = (errors) => ({ worst: errors.at(-1) ?? 0, typical: errors[errors.length >> 1] ?? 0 })
  return {
    buckets: rows.length,
    percentiles: quantiles.map((_, i) => spreadOf(errorsOf(`p${i}`, i))),
    uniques: spreadOf(errorsOf('users', quantiles.length)),
    mostUnique: Math.max(...exact.rows.map((row) => row[quantiles.length])),
  }
}

/** Null where there is no value. Of a zero every other answer is infinitely far away. */
function relativeError(given, exact) {
  if (exact === null && given === null) return null
  const [a, b] = [Number(given), Number(exact)]
  if (a === b) return 0
  return b === 0 ? Number.POSITIVE_INFINITY : Math.abs(a - b) / Math.abs(b)
}

const percent = ({ worst, typical }) => `${(100 * worst).toFixed(2)} % (${(100 * typical).toFixed(2)} %)`

/** For docs/benchmarks.md: the worst relative error and, in brackets, the median one. */
export function table(found) {
  return markdownTable(
    ['data', 'rows', 'of each', 'buckets', 'p50', 'p95', 'p99', 'uniques', 'most uniques in one'],
    found.map(({ name, rows, span, buckets, percentiles, uniques: distinct, mostUnique }) => [
      name,
      rows.toLocaleString('en'),
      span,
      buckets.toLocaleString('en'),
      ...percentiles.map(percent),
      percent(distinct),
      mostUnique.toLocaleString('en'),
    ]),
  )
}
