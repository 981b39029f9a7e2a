import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { inject } from 'vitest'
import type { DeadReason, ImportOptions } from '../../src/ingest/index.ts'
import { hypertable, type StoredDefinition, t } from '../../src/schema/index.ts'
import './global-setup.ts'

/** The public data sets beside the project; they are never part of it. */
export const sharedDataFolder = fileURLToPath(new URL('../../../shared/data/', import.meta.url))

export const hasSharedData = existsSync(`${sharedDataFolder}README.md`)

export const sharedDataAbsent = 'the data sets are absent: there is no ../shared/data beside the project'

export interface SharedFact {
  readonly what: string
  /** One number. `$table` stands for the table. */
  readonly sql: string
  readonly is: number
}

export interface SharedData {
  readonly definition: StoredDefinition
  /** Below the folder of the data sets, in the order in which they are imported. */
  readonly files: readonly string[]
  readonly options: ImportOptions
  /** As ../shared/data/README.md states them: rows in the table and rows that cannot be in it. */
  readonly rows: number
  readonly dead: Partial<Record<DeadReason, number>>
  /** What else the README states and the table can answer. */
  readonly facts: readonly SharedFact[]
}

const utc = { timeZone: 'UTC' } as const

function azureLlm(service: 'code' | 'conv', rows: number): SharedData {
  return {
    definition: hypertable(`shared.azure_llm_${service}`, {
      columns: {
        time: t.timestamptz(),
        service: t.text(),
        contextTokens: t.int4(),
        generatedTokens: t.int4(),
      },
      time: 'time',
      chunk: '1 day',
    }),
    files: [`llm/azure_llm_2023_${service}.csv.gz`],
    options: { ...utc, map: { time: 'TIMESTAMP' }, set: { service } },
    rows,
    dead: {},
    facts: [
      { what: 'exact repeats', sql: 'select count(*) - count(distinct t) from $table t', is: 0 },
      ...(service === 'conv'
        ? [{ what: 'cap of generated tokens', sql: 'select max("generatedTokens") from $table', is: 1000 }]
        : []),
    ],
  }
}

const message = {
  columns: {
    time: t.timestamptz(),
    event: t.text(),
    userId: t.text().nullable(),
    mainModel: t.text().nullable(),
    weakModel: t.text().nullable(),
    editFormat: t.text().nullable(),
    promptTokens: t.int4().nullable(),
    completionTokens: t.int4().nullable(),
    totalTokens: t.int4().nullable(),
    cost: t.numeric().nullable(),
    properties: t.jsonb(),
  },
  time: 'time',
  chunk: '1 month',
} as const

function vmNoise(): SharedData {
  return {
    definition: hypertable('shared.azure_vm_noise', {
      columns: {
        starttime: t.timestamptz(),
        test_suite: t.text(),
        test_name: t.text(),
        vm_lifespan: t.text(),
        vm_region: t.text(),
        vm_sku: t.text(),
        unit: t.text(),
        value: t.float8(),
        runtime: t.float8(),
        vm_id: t.int4(),
      },
      time: 'starttime',
      chunk: '1 month',
      orderBy: ['test_suite', 'test_name', 'starttime'],
    }),
    files: ['redis', 'osbench', 'stressng', 'sysbench'].map((suite) => `iot/azure_vm_noise_${suite}.csv.gz`),
    options: utc,
    rows: 460_618 + 465_786 + 372_431 + 186_288,
    dead: {},
    facts: [
      ...(
        [
          ['Redis', 460_618, 40, 43_621],
          ['OSBench', 465_786, 40, 43_620],
          ['Stress-NG', 372_431, 32, 43_616],
          ['Sysbench', 186_288, 16, 43_618],
        ] as const
      ).flatMap(([suite, rows, series, vms]) => [
        {
          what: `${suite}: rows`,
          sql: `select count(*) from $table where test_suite = '${suite}'`,
          is: rows,
        },
        {
          what: `${suite}: series`,
          sql: `select count(*) from (
            select distinct test_name, vm_lifespan, vm_region, vm_sku, unit from $table where test_suite = '${suite}'
          ) series`,
          is: series,
        },
        {
          what: `${suite}: machines`,
          sql: `select count(*) from (
            select distinct vm_lifespan, vm_region, vm_sku, vm_id from $table where test_suite = '${suite}'
          ) vms`,
          is: vms,
        },
      ]),
    ],
  }
}

const charts = {
  columns: {
    week: t.timestamptz(),
    position: t.int2(),
    title: t.text(),
    performer: t.text(),
    lastWeek: t.int2().nullable(),
    peakPos: t.int2(),
    wksOnChart: t.int2(),
  },
  time: 'week',
  chunk: '1 year',
} as const

/** Every file of the data sets that holds rows, with a table that fits it and what is known about it. */
export const sharedData: readonly SharedData[] = [
  azureLlm('code', 8819),
  azureLlm('conv', 19_366),
  {
    definition: hypertable('shared.aider_message_send', message),
    files: ['llm/aider_message_send.jsonl.gz'],
    options: {},
    rows: 5563,
    dead: {},
    facts: [
      { what: 'cost 0', sql: 'select count(*) from $table where cost = 0', is: 1143 },
      {
        what: 'completion tokens 0',
        sql: 'select count(*) from $table where "completionTokens" = 0',
        is: 165,
      },
      { what: 'prompt tokens 0', sql: 'select count(*) from $table where "promptTokens" = 0', is: 5 },
      { what: 'weak model missing', sql: 'select count(*) from $table where "weakModel" is null', is: 14 },
      { what: 'edit format missing', sql: 'select count(*) from $table where "editFormat" is null', is: 9 },
      { what: 'main model "None"', sql: `select count(*) from $table where "mainModel" = 'None'`, is: 22 },
      { what: 'models', sql: 'select count(distinct "mainModel") from $table', is: 108 },
      {
        what: 'total other than prompt + completion',
        sql: 'select count(*) from $table where "totalTokens" is distinct from "promptTokens" + "completionTokens"',
        is: 0,
      },
      {
        what: 'repeated timestamps',
        sql: 'select count(*) - count(distinct time) from $table',
        is: 85,
      },
    ],
  },
  {
    definition: hypertable('shared.binance_trades', {
      columns: {
        eventTime: t.timestamptz(),
        tradeTime: t.timestamptz(),
        localTime: t.timestamptz(),
        venue: t.text(),
        symbol: t.text(),
        tradeId: t.int8(),
        price: t.numeric(),
        qty: t.numeric(),
        buyerMaker: t.bool(),
      },
      primaryKey: ['venue', 'symbol', 'tradeId', 'eventTime'],
      time: 'eventTime',
      chunk: '1 day',
      orderBy: ['venue', 'symbol', 'eventTime'],
    }),
    files: ['market/binance_trades_20240808.csv.gz'],
    options: { map: { eventTime: 'E', tradeTime: 'T', localTime: 'local_ns' } },
    rows: 78_638,
    dead: {},
    facts: [
      {
        what: 'venue and symbol',
        sql: 'select count(*) from (select distinct venue, symbol from $table) series',
        is: 6,
      },
      {
        what: 'exchange clock behind 1.22 s or ahead 1.28 s and more of the local one',
        sql: `select count(*) from $table
          where "eventTime" - "localTime" not between interval '1.215 s' and interval '1.285 s'`,
        is: 0,
      },
      {
        what: 'rows that share venue, symbol and millisecond with an earlier one',
        sql: 'select count(*) - count(distinct (venue, symbol, "eventTime")) from $table',
        is: 53_698,
      },
    ],
  },
  {
    definition: hypertable('shared.binance_raw', {
      columns: { received: t.timestamptz(), stream: t.text().nullable(), message: t.jsonb() },
      time: 'received',
      chunk: '1 day',
    }),
    files: [
      'market/binance_raw_spot_btcusdt_20240808.txt.gz',
      'market/binance_raw_spot_btcusdt_20240809.txt.gz',
    ],
    options: { map: { received: '@prefix', message: '@document' } },
    rows: 41_249 + 58_325,
    dead: {},
    facts: [
      {
        what: 'trades',
        sql: `select count(*) from $table where message->'data'->>'e' = 'trade'`,
        is: 9757 + 10_147,
      },
      {
        what: 'depth updates',
        sql: `select count(*) from $table where message->'data'->>'e' = 'depthUpdate'`,
        is: 3451 + 3044,
      },
      {
        what: 'book tickers',
        sql: `select count(*) from $table where stream = 'btcusdt@bookTicker'`,
        is: 28_040 + 45_134,
      },
      { what: 'without data', sql: `select count(*) from $table where not message ? 'data'`, is: 1 },
    ],
  },
  {
    definition: hypertable('shared.coingecko_daily', {
      columns: {
        timestamp: t.timestamptz(),
        coinId: t.text(),
        price: t.numeric(),
        marketCap: t.numeric(),
        totalVolume: t.numeric(),
      },
      time: 'timestamp',
      chunk: '1 month',
      orderBy: ['coinId', 'timestamp'],
    }),
    files: ['market/coingecko_daily_2021H2.csv.gz'],
    options: {},
    rows: 459_080 - 61_075,
    dead: { empty: 61_075 },
    facts: [
      { what: 'coins', sql: 'select count(distinct "coinId") from $table', is: 2494 },
      { what: 'market cap 0', sql: 'select count(*) from $table where "marketCap" = 0', is: 30_325 },
      { what: 'volume 0', sql: 'select count(*) from $table where "totalVolume" = 0', is: 5041 },
      {
        what: 'negative price and cap',
        sql: 'select count(*) from $table where price < 0 and "marketCap" < 0',
        is: 18,
      },
      {
        what: 'exact repeats',
        sql: 'select count(*) - count(distinct ("coinId", timestamp)) from $table',
        is: 0,
      },
    ],
  },
  {
    definition: hypertable('shared.stocknet_daily', {
      columns: {
        date: t.timestamptz(),
        symbol: t.text(),
        open: t.numeric().nullable(),
        high: t.numeric().nullable(),
        low: t.numeric().nullable(),
        close: t.numeric().nullable(),
        adjClose: t.numeric().nullable(),
        volume: t.int8().nullable(),
      },
      primaryKey: ['symbol', 'date'],
      time: 'date',
      chunk: '1 year',
    }),
    files: ['market/stocknet_price_daily.csv.gz'],
    options: utc,
    rows: 108_592,
    dead: {},
    facts: [
      { what: 'symbols', sql: 'select count(distinct symbol) from $table', is: 88 },
      {
        what: 'rows of "null"',
        sql: `select count(*) from $table
          where open is null and close is null and volume is null
            and symbol in ('PTR', 'REX', 'SNP') and date = '2016-06-29 00:00:00+00'`,
        is: 3,
      },
      {
        what: 'rows with a null',
        sql: 'select count(*) from $table where open is null or volume is null',
        is: 3,
      },
      { what: 'volume 0', sql: 'select count(*) from $table where volume = 0', is: 111 },
    ],
  },
  {
    definition: hypertable('shared.aider_events', {
      columns: { time: t.timestamptz(), event: t.text(), userId: t.text().nullable(), properties: t.jsonb() },
      time: 'time',
      chunk: '1 month',
    }),
    files: ['web/aider_events.jsonl.gz'],
    options: {},
    rows: 39_572,
    dead: {},
    facts: [
      { what: 'event names', sql: 'select count(distinct event) from $table', is: 60 },
      { what: 'users, nobody among them', sql: 'select count(distinct "userId") + 1 from $table', is: 15 },
      {
        what: 'rows of the busiest user',
        sql: 'select max(n) from (select count(*) as n from $table where "userId" is not null group by "userId") users',
        is: 39_397,
      },
      { what: 'without user', sql: 'select count(*) from $table where "userId" is null', is: 27 },
      { what: 'exact repeats', sql: 'select count(*) - count(distinct t) from $table t', is: 4170 },
      {
        what: 'rows that share a second with an earlier one',
        sql: 'select count(*) - count(distinct time) from $table',
        is: 15_262,
      },
    ],
  },
  {
    definition: hypertable('shared.online_retail', {
      columns: {
        invoiceDate: t.timestamptz(),
        invoice: t.text(),
        stockCode: t.text(),
        description: t.text().nullable(),
        quantity: t.int4(),
        price: t.numeric(),
        customerId: t.int4().nullable(),
        country: t.text(),
      },
      time: 'invoiceDate',
      chunk: '1 month',
    }),
    files: ['web/online_retail_ii_2009_2010.csv.gz'],
    options: { timeZone: 'Europe/London' },
    rows: 525_461,
    dead: {},
    facts: [
      { what: 'exact repeats', sql: 'select count(*) - count(distinct t) from $table t', is: 6865 },
      {
        what: 'without customer',
        sql: 'select count(*) from $table where "customerId" is null',
        is: 107_927,
      },
      { what: 'without description', sql: 'select count(*) from $table where description is null', is: 2928 },
      { what: 'quantity below 0', sql: 'select count(*) from $table where quantity < 0', is: 12_326 },
      { what: 'least quantity', sql: 'select min(quantity) from $table', is: -9600 },
      { what: 'price 0', sql: 'select count(*) from $table where price = 0', is: 3687 },
      { what: 'price below 0', sql: 'select count(*) from $table where price < 0', is: 3 },
      { what: 'least price in cents', sql: 'select (min(price) * 100)::int8 from $table', is: -5_359_436 },
      { what: 'cancelled', sql: `select count(*) from $table where invoice like 'C%'`, is: 10_206 },
      { what: 'other letter', sql: `select count(*) from $table where invoice ~ '^[ABD-Z]'`, is: 3 },
      { what: 'customers', sql: 'select count(distinct "customerId") from $table', is: 4383 },
      { what: 'invoices', sql: 'select count(distinct invoice) from $table', is: 28_816 },
      { what: 'products', sql: 'select count(distinct "stockCode") from $table', is: 4632 },
      { what: 'countries', sql: 'select count(distinct country) from $table', is: 40 },
    ],
  },
  {
    definition: hypertable('shared.eshop_clothing', {
      columns: {
        day: t.timestamptz(),
        line: t.int4(),
        order: t.int2(),
        country: t.int2(),
        sessionId: t.int4(),
        category: t.int2(),
        model: t.text(),
        colour: t.int2(),
        location: t.int2(),
        photography: t.int2(),
        price: t.int2(),
        aboveAverage: t.int2(),
        page: t.int2(),
      },
      time: 'day',
      chunk: '1 month',
    }),
    files: ['web/eshop_clothing_2008.csv.gz'],
    options: {
      ...utc,
      time: 'year-month-day',
      map: {
        line: '@line',
        category: 'page 1 (main category)',
        model: 'page 2 (clothing model)',
        photography: 'model photography',
        aboveAverage: 'price 2',
      },
    },
    rows: 165_474,
    dead: {},
    facts: [
      { what: 'sessions', sql: 'select count(distinct "sessionId") from $table', is: 24_026 },
      {
        what: 'rows that share day and session with an earlier one',
        sql: 'select count(*) - count(distinct (day, "sessionId")) from $table',
        is: 141_448,
      },
      { what: 'longest session', sql: 'select max("order") from $table', is: 195 },
      {
        what: 'first line of data and last line',
        sql: 'select min(line) * 1000000 + max(line) from $table',
        is: 2 * 1_000_000 + 165_475,
      },
    ],
  },
  {
    definition: hypertable('shared.apache_access', {
      columns: {
        time: t.timestamptz(),
        ip: t.text(),
        method: t.text().nullable(),
        path: t.text().nullable(),
        status: t.int2(),
        bytes: t.int8().nullable(),
        referer: t.text().nullable(),
        userAgent: t.text().nullable(),
      },
      time: 'time',
      chunk: '1 day',
    }),
    files: ['web/apache_access_2015.log.gz'],
    options: {},
    rows: 9999,
    dead: { log_line: 1 },
    facts: [
      ...(
        [
          [200, 9125],
          [304, 445],
          [404, 213],
          [301, 164],
          [206, 45],
          [500, 3],
          [403, 2],
          [416, 2],
        ] as const
      ).map(([status, count]) => ({
        what: `status ${status}`,
        sql: `select count(*) from $table where status = ${status}`,
        is: count,
      })),
      { what: 'bytes -', sql: 'select count(*) from $table where bytes is null', is: 669 },
      { what: 'addresses', sql: 'select count(distinct ip) from $table', is: 1753 },
      {
        what: 'minutes other than 05',
        sql: 'select count(*) from $table where extract(minute from time) <> 5',
        is: 0,
      },
    ],
  },
  {
    definition: hypertable('shared.github_rank', {
      columns: {
        date: t.timestamptz(),
        item: t.text(),
        rank: t.int2(),
        repoUrl: t.text(),
        stars: t.int4(),
        forks: t.int4(),
      },
      time: 'date',
      chunk: '1 year',
      orderBy: ['item', 'date'],
    }),
    files: ['rank/github_rank_narrow_2018_2026.csv.gz'],
    options: utc,
    rows: 909_520,
    dead: {},
    facts: [
      { what: 'days', sql: 'select count(distinct date) from $table', is: 2522 },
      { what: 'urls', sql: 'select count(distinct "repoUrl") from $table', is: 11_331 },
      { what: 'rows of Rust', sql: `select count(*) from $table where item = 'Rust'`, is: 158_680 },
      { what: 'rows of Python', sql: `select count(*) from $table where item = 'Python'`, is: 250_280 },
      {
        what: 'double ranks',
        sql: 'select count(*) - count(distinct (date, item, rank)) from $table',
        is: 0,
      },
      {
        what: 'the same url twice in an item and day',
        sql: 'select count(*) - count(distinct (date, item, "repoUrl")) from $table',
        is: 9012,
      },
    ],
  },
  {
    definition: hypertable('shared.github_ranking_30days', {
      columns: {
        fileDate: t.timestamptz(),
        rank: t.int2(),
        item: t.text(),
        repoName: t.text(),
        stars: t.int4(),
        forks: t.int4(),
        language: t.text().nullable(),
        repoUrl: t.text(),
        username: t.text(),
        issues: t.int4(),
        lastCommit: t.timestamptz(),
        description: t.text().nullable(),
      },
      time: 'fileDate',
      chunk: '1 month',
    }),
    files: ['rank/github_ranking_30days_2018-12.csv.gz'],
    options: utc,
    rows: 81_000,
    dead: {},
    facts: [
      { what: 'days', sql: 'select count(distinct "fileDate") from $table', is: 30 },
      { what: 'items', sql: 'select count(distinct item) from $table', is: 27 },
      { what: 'item and url', sql: 'select count(distinct (item, "repoUrl")) from $table', is: 3217 },
      { what: 'without language', sql: 'select count(*) from $table where language is null', is: 945 },
      { what: 'without description', sql: 'select count(*) from $table where description is null', is: 1199 },
    ],
  },
  {
    definition: hypertable('shared.billboard200', {
      columns: {
        date: t.timestamptz(),
        title: t.text().nullable(),
        artist: t.text(),
        current: t.int2().nullable(),
        previous: t.int2().nullable(),
        peak: t.int2().nullable(),
        weeks: t.int2().nullable(),
        new: t.bool(),
      },
      time: 'date',
      chunk: '1 year',
    }),
    files: ['rank/billboard200_1967_2020.csv.gz'],
    options: utc,
    rows: 560_691,
    dead: {},
    facts: [
      { what: 'weeks', sql: 'select count(distinct date) from $table', is: 2804 },
      {
        what: 'ranks of 1..200 that are missing in their week',
        sql: 'select count(distinct date) * 200 - count(distinct (date, current)) from $table',
        is: 184,
      },
      {
        what: 'double ranks',
        sql: 'select count(*) - count(distinct (date, current)) from $table',
        is: 75,
      },
      { what: 'title empty', sql: 'select count(*) from $table where title is null', is: 57 },
      {
        what: 'previous 0 or empty',
        sql: 'select count(*) from $table where coalesce(previous, 0) = 0',
        is: 50_647,
      },
      { what: 'exact repeats', sql: 'select count(*) - count(distinct t) from $table t', is: 42 },
      {
        what: 'the same title and artist twice in a week',
        sql: 'select count(*) - count(distinct (date, title, artist)) from $table',
        is: 95,
      },
    ],
  },
  {
    definition: hypertable('shared.billboard200_recent', charts),
    files: ['rank/billboard200_2021_2026.csv.gz'],
    options: { ...utc, map: { week: 'chart_week', position: 'current_week' } },
    rows: 59_000,
    dead: {},
    facts: [
      {
        what: 'not on the list the week before',
        sql: 'select count(*) from $table where "lastWeek" is null',
        is: 5432,
      },
      { what: 'weeks', sql: 'select count(distinct week) from $table', is: 295 },
      { what: 'title and performer', sql: 'select count(distinct (title, performer)) from $table', is: 2857 },
    ],
  },
  {
    definition: hypertable('shared.hot100', charts),
    files: ['rank/hot100_2022_2026.csv.gz'],
    options: { ...utc, map: { week: 'chart_week', position: 'current_week' } },
    rows: 24_300,
    dead: {},
    facts: [
      {
        what: 'not on the list the week before',
        sql: 'select count(*) from $table where "lastWeek" is null',
        is: 3834,
      },
      { what: 'weeks', sql: 'select count(distinct week) from $table', is: 243 },
      { what: 'title and performer', sql: 'select count(distinct (title, performer)) from $table', is: 3094 },
    ],
  },
  vmNoise(),
  {
    definition: hypertable('shared.nab', {
      columns: { timestamp: t.timestamptz(), series: t.text(), value: t.float8() },
      time: 'timestamp',
      chunk: '1 year',
      orderBy: ['series', 'timestamp'],
    }),
    files: ['iot/nab_real.csv.gz'],
    options: utc,
    rows: 321_206,
    dead: {},
    facts: [
      { what: 'series', sql: 'select count(distinct series) from $table', is: 47 },
      {
        what: 'repeated series and time',
        sql: 'select count(*) - count(distinct (series, timestamp)) from $table',
        is: 49,
      },
      { what: 'exact repeats', sql: 'select count(*) - count(distinct t) from $table t', is: 17 },
    ],
  },
]

/** Above, a set is large: what does not hang on the version of PostgreSQL is then promised in one lane. */
const fewRows = 60_000

/** What a lane imports: all small sets, and the large ones where it is the first, or the last, of the lanes. */
export function sharedDataOf(which: 'first' | 'last'): readonly SharedData[] {
  return sharedData.filter((data) => isLane(which) || !isLarge(data))
}

/** With one lane only, that is both. */
export function isLane(which: 'first' | 'last'): boolean {
  const { lane, lanes } = inject('postgres')
  return lane === lanes.at(which === 'first' ? 0 : -1)
}

export function isLarge(data: SharedData): boolean {
  return data.rows > fewRows
}
