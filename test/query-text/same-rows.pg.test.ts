import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer } from '../../src/api/index.ts'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { type OutputColumn, outputColumns, parseQuery, type QueryNode } from '../../src/query/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { systemClock } from '../../src/time/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { groupText } from '../helpers/naive-values.ts'
import { queryArbitrary } from '../helpers/random-query.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { everyType, fixedRows, paths, plainTable } from '../suites/tier-data.ts'

type Row = Readonly<Record<string, unknown>>
type Input = Record<string, unknown>

const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    model: t.text(),
    ms: t.float8(),
    "o'dd": t.text().nullable(),
  },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
  freeze: { after: '7 days' },
})
const models = table('app.models', { columns: { model: t.text(), label: t.text() }, primaryKey: ['model'] })
const hourly = continuousAggregate('metrics.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  where: { ms: { gte: 1 } },
  select: { n: { fn: 'count' }, p95: { fn: 'percentile', column: 'ms', q: 0.95 } },
})
const config = defineConfig({ datasets: [everyType, plainTable, requests, models, hourly] })

/** As they are, but for numbers whose sums PostgreSQL refuses. */
const rows: readonly Row[] = fixedRows().map((row) => ({
  ...row,
  value:
    typeof row['value'] === 'number' && Math.abs(row['value']) > 1e300 && Number.isFinite(row['value'])
      ? 42.25
      : row['value'],
}))
const plainRows = Array.from({ length: 12 }, (_, i) => ({
  id: i,
  name: `n${i % 4}`,
  weight: i % 3 === 0 ? null : i / 4,
}))

let engine: TestEngine<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config)
  await engine.tm.insert(everyType, rows as never)
  await engine.tm.insert(plainTable, plainRows)
  await engine.tm.insert(
    requests,
    Array.from({ length: 90 }, (_, i) => ({
      time: new Date(Date.UTC(2026, 0, 1, 0, i * 17)),
      tenant: i % 3 === 0 ? 'globex' : 'acme',
      model: `m${i % 4}`,
      ms: (i * 37) % 101,
      "o'dd": i % 5 === 0 ? "it's\n\\odd" : null,
    })),
  )
}, 60_000)
afterAll(() => engine.close())

/** What both give, so that equal values are equal text: 1.50 is 1.5, and doubles may differ in their last digits. */
function textOf(columns: readonly OutputColumn[], row: Row): string {
  return columns
    .map(({ name, type }) => {
      const value = row[name] ?? null
      if (value === null) return 'null'
      if (type === 'count' || type === 'int8' || type === 'int2' || type === 'int4') return String(value)
      if (type === 'float8' || type === 'float4') return rounded(Number(value))
      if (type === 'percentiles') return (value as unknown[]).map((one) => rounded(Number(one))).join()
      if (type === 'histogram') return (value as unknown[]).map(String).join()
      if (type === 'numeric') return groupText('numeric', String(value))
      return stable(value)
    })
    .join(' | ')
}

const rounded = (value: number): string =>
  (Number.isFinite(value) ? Number(value.toPrecision(9)) + 0 : value).toString()

function stable(value: unknown): string {
  return JSON.stringify(value, (_, inner) => {
    if (typeof inner === 'bigint') return Number(inner)
    return typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner
  })
}

const inexact = new Set([
  'sum',
  'avg',
  'stddev',
  'variance',
  'increase',
  'rate',
  'delta',
  'timeWeightedAvg',
  'percentile',
])

/** Whether the order of rows, or which of them a limit leaves, hangs on the last digit of a double. */
function hangsOnDigits(node: QueryNode): boolean {
  if (node.kind !== 'aggregate') return false
  const fns = new Map(node.select.map(({ name, aggregate }) => [name, aggregate.fn]))
  return node.order.some(({ by }) => inexact.has(fns.get(by) ?? ''))
}

async function bothOf(name: string, input: Input, tenant: string | null = null) {
  const { tm } = engine
  const scope = tenant === null ? undefined : ({ kind: 'one', tenant } as const)
  const dataset = tm.queryable(name)
  const node = parseQuery(input, { dataset, clock: systemClock })
  const text = tm.sqlOf(name, input, scope === undefined ? {} : { scope })
  const found = await tm.sql(text).catch((error: Error) => {
    throw new Error(`${error.message}\n${text}`)
  })
  const asked = await tm.queryUnknown(name, input, scope === undefined ? {} : { scope })
  const columns = outputColumns(node)
  const [ours, theirs] = [asked.rows, found.rows].map((list) =>
    list.map((row) => textOf(columns, row as Row)),
  )
  return { node, text, ours: ours!, theirs: theirs!, columns: found.columns, asked }
}

async function assertSame(name: string, input: Input): Promise<void> {
  const { node, text, ours, theirs, columns, asked } = await bothOf(name, input)
  expect(columns, text).toEqual(asked.columns.map((column) => column.name))
  if (hangsOnDigits(node)) {
    if (node.limit === null) expect([...theirs].sort(), text).toEqual([...ours].sort())
    return
  }
  if (node.kind === 'rows') {
    // rows of one instant come in any order, and any of them may be the last
    expect(theirs.length, text).toBe(ours.length)
    if (ours.length < node.limit!) expect([...theirs].sort(), text).toEqual([...ours].sort())
    return
  }
  expect(theirs, text).toEqual(ours)
}

describe('the SQL of a query', () => {
  const seed = Math.floor(Math.random() * 2 ** 31)

  it(`gives the same rows as the query, whatever is asked (seed ${seed})`, async () => {
    let [asked, refused] = [0, 0]
    const check = async (name: string, input: Input): Promise<void> => {
      asked += 1
      try {
        await assertSame(name, input)
      } catch (error) {
        if (!isTidemarkError(error) || error.code !== 'TM_NO_SQL') throw error
        refused += 1
      }
    }
    await fc.assert(
      fc.asyncProperty(queryArbitrary({ dataset: everyType, rows, paths }), (input) =>
        check(everyType.name, input),
      ),
      { seed, numRuns: 120 },
    )
    await fc.assert(
      fc.asyncProperty(queryArbitrary({ dataset: plainTable, rows: plainRows }), (input) =>
        check(plainTable.name, input),
      ),
      { seed, numRuns: 30 },
    )
    // only gaps of calendars without an end
    expect(refused / asked).toBeLessThan(0.1)
  }, 60_000)

  it('is what people would write, where that gives the same', async () => {
    const { text, ours, theirs } = await bothOf('metrics.requests', {
      from: '2026-01-01',
      to: '2026-01-02',
      bucket: '1 hour',
      by: ['model'],
      where: { ms: { gte: 10 }, $or: [{ "o'dd": null }, { "o'dd": "it's\n\\odd" }] },
      select: {
        n: { fn: 'count' },
        mean: { fn: 'avg', column: 'ms' },
        slow: { fn: 'count', where: { ms: { gt: 90 } } },
      },
      order: ['bucket', '-n'],
      limit: 20,
    })
    expect(theirs).toEqual(ours)
    expect(ours).toHaveLength(20)
    expect(text).toMatchInlineSnapshot(`
      "-- of the rows in PostgreSQL: frozen ones of metrics.requests are not seen by SQL
      select
        tidemark.time_bucket('1 hour'::interval, "time") as "bucket",
        "model",
        count(*) as "n",
        avg("ms") as "mean",
        count(*) filter (where ("ms" > 90::float8)) as "slow"
      from "metrics"."requests"
      where "time" >= '2026-01-01T00:00:00Z'::timestamptz
        and "time" < '2026-01-02T00:00:00Z'::timestamptz
        and ("ms" >= 10::float8)
        and (("o'dd" is null) or ("o'dd" =  E'it''s\\n\\\\odd'::text))
      group by 1, 2
      order by 1, 3 desc, "model" collate "C"
      limit 20"
    `)
  })

  it('of a tenant has the condition that makes it his', async () => {
    const query = { select: { n: { fn: 'count' } } }
    const { ours, theirs } = await bothOf('metrics.requests', query, 'globex')
    expect([ours, theirs]).toEqual([['30'], ['30']])
  })

  it('of a continuous aggregate is of the rows under it', async () => {
    const { text, ours, theirs } = await bothOf('metrics.hourly', {
      from: '2026-01-01',
      bucket: '6 hours',
      by: ['model'],
      select: { n: 'n', p95: 'p95' },
    })
    expect(theirs).toEqual(ours)
    expect(ours.length).toBeGreaterThan(4)
    expect(text).toMatch(/^-- metrics\.hourly, computed from the rows of metrics\.requests\n/)
  })

  it('fills gaps, of a clock and of a calendar, and says where it cannot', async () => {
    const gaps = {
      select: { n: { fn: 'count' }, ms: { fn: 'max', column: 'ms' } },
      by: ['model'],
      to: '2026-01-03',
    }
    for (const fill of ['null', 'previous', 'linear', { constant: 7 }])
      for (const bucket of [{ bucket: '5 minutes' }, { bucket: '1 day', zone: 'Europe/Berlin' }]) {
        const { ours, theirs, text } = await bothOf('metrics.requests', {
          ...gaps,
          ...bucket,
          fill,
          from: '2025-12-31',
        })
        expect(theirs, text).toEqual(ours)
        expect(ours.length).toBe('zone' in bucket ? 12 : 4 * 3 * 288)
      }
    const text = (query: Input): string => engine.tm.sqlOf('metrics.requests', query)
    expect(() => text({ ...gaps, bucket: '1 month', fill: 'null' })).toThrow(
      /no form in SQL; say from and to/,
    )
    expect(() => text({ cursor: 'abc' })).toThrow(/a cursor has no form in SQL/)
  })

  it('comes over HTTP, for whoever may ask, and nothing else does', async () => {
    const app = await createServer(engine.tm)
    const ask = async (payload: object) => {
      const { statusCode, body } = await app.inject({ method: 'POST', url: '/api/v1/query/sql', payload })
      return [statusCode, JSON.parse(body)]
    }
    const query = { dataset: 'app.models', columns: ['model'], limit: 5 }
    expect(await ask({ ...query, timeoutMs: 5, cache: 'dashboard' })).toEqual([
      200,
      { sql: 'select\n  "model"\nfrom "app"."models"\norder by "model" collate "C"\nlimit 5' },
    ])
    expect(await ask({ ...query, cursor: 'abc' })).toMatchObject([422, { code: 'TM_NO_SQL' }])
    expect(await ask({ dataset: 'app.models', columns: ['nothing'] })).toMatchObject([
      400,
      { code: 'TM_QUERY' },
    ])
    await app.close()
  })
})
