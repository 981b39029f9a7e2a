import { afterAll, beforeAll, expect, it } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { count, sum } from '../../src/query/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const orders = hypertable('shop.orders', {
  columns: { time: t.timestamptz(), customer: t.int8().nullable(), shop: t.text(), amount: t.int4() },
  time: 'time',
})
const customers = table('shop.customers', {
  columns: { id: t.int8(), country: t.text().nullable(), level: t.int4() },
  primaryKey: ['id'],
})
const prices = table('shop.prices', {
  columns: { shop: t.text(), customer: t.int8(), band: t.text() },
  primaryKey: ['shop', 'customer'],
})
const hourly = continuousAggregate('shop.hourly', {
  from: orders,
  bucket: '1 hour',
  by: ['customer', 'shop'],
  select: { n: count(), amount: sum('amount') },
  dimensions: {
    country: { table: customers, on: { id: 'customer' }, column: 'country' },
    level: { table: customers, on: { id: 'customer' }, column: 'level' },
    band: { table: prices, on: { shop: 'shop', customer: 'customer' }, column: 'band' },
  },
})
const config = defineConfig({ datasets: [orders, customers, prices, hourly] })

let engine: TestEngine<typeof config>
const rows = Array.from({ length: 300 }, (_, i) => ({
  time: new Date(Date.UTC(2026, 0, 1) + i * 600_000),
  customer: i % 7 === 0 ? null : i % 6,
  shop: ['a', 'b'][i % 2] as string,
  amount: i,
}))
let people: { id: number; country: string | null; level: number }[] = [
  { id: 0, country: 'DE', level: 1 },
  { id: 1, country: 'DE', level: 2 },
  { id: 2, country: 'FR', level: 2 },
  { id: 3, country: null, level: 3 },
  // 4 and 5 have no row
]
const bands = [
  { shop: 'a', customer: 0, band: 'low' },
  { shop: 'b', customer: 1, band: 'high' },
  { shop: 'a', customer: 2, band: 'high' },
]

beforeAll(async () => {
  engine = await createTestEngine(config)
  await engine.tm.insert(orders, rows)
  await engine.tm.insert(customers, people)
  await engine.tm.insert(prices, bands)
}, 120_000)
afterAll(() => engine?.close())

interface Joined {
  readonly country: string | null
  readonly level: number | null
  readonly band: string | null
  readonly amount: number
}
const joined = (): Joined[] =>
  rows.map(({ customer, shop, amount }) => {
    const person = people.find(({ id }) => id === customer)
    const price = bands.find((row) => row.customer === customer && row.shop === shop)
    return {
      country: person?.country ?? null,
      level: person?.level ?? null,
      band: price?.band ?? null,
      amount,
    }
  })
const grouped = (keep: (row: Joined) => boolean, by: 'country' | 'level' | 'band') => {
  const groups = new Map<unknown, { n: number; amount: bigint }>()
  for (const row of joined().filter(keep)) {
    const group = groups.get(row[by]) ?? { n: 0, amount: 0n }
    groups.set(row[by], { n: group.n + 1, amount: group.amount + BigInt(row.amount) })
  }
  return groups
}
const found = async (by: 'country' | 'level' | 'band', where: object = {}) => {
  const answer = await engine.tm.queryUnknown(hourly.name, {
    bucket: null,
    by: [by],
    where,
    select: { n: 'n', amount: 'amount' },
  })
  return new Map(answer.rows.map((row) => [row[by], { n: row['n'], amount: row['amount'] }]))
}

const checks = async () => {
  for (const by of ['country', 'level', 'band'] as const)
    expect(await found(by)).toEqual(grouped(() => true, by))
  const conditions: [object, (row: Joined) => boolean][] = [
    [{ country: 'DE' }, ({ country }) => country === 'DE'],
    [{ country: { ne: 'DE' } }, ({ country }) => country !== null && country !== 'DE'],
    [{ $not: { country: 'DE' } }, ({ country }) => country !== null && country !== 'DE'],
    [{ country: null }, ({ country }) => country === null],
    [{ country: { not: null } }, ({ country }) => country !== null],
    [{ country: { like: 'D%' } }, ({ country }) => country?.startsWith('D') === true],
    [
      { $not: { $or: [{ country: 'FR' }, { level: { gt: 2 } }] } },
      ({ country, level }) => country !== null && country !== 'FR' && level !== null && level <= 2,
    ],
    [{ band: 'high' }, ({ band }) => band === 'high'],
    [{ band: null }, ({ band }) => band === null],
    [
      { $or: [{ band: 'low' }, { country: 'FR' }] },
      ({ band, country }) => band === 'low' || country === 'FR',
    ],
    [{ country: 'XX' }, () => false],
  ]
  for (const [where, keep] of conditions)
    for (const by of ['country', 'band'] as const)
      expect([where, await found(by, where)]).toEqual([where, grouped(keep, by)])
}

it('cells are put together by what their keys stand for, null where there is no row', checks, 60_000)

it('a changed row is right at once, also when the aggregate has been refreshed', async () => {
  await engine.tm.refresh(hourly.name)
  await checks()
  await engine.tm.update(customers, { where: { id: 2 }, set: { country: 'DE' } })
  await engine.tm.delete(customers, { where: { id: 1 } })
  await engine.tm.insert(customers, [{ id: 4, country: 'FR', level: 9 }])
  people = [
    { id: 0, country: 'DE', level: 1 },
    { id: 2, country: 'DE', level: 2 },
    { id: 3, country: null, level: 3 },
    { id: 4, country: 'FR', level: 9 },
  ]
  await checks()
}, 60_000)

it('goes together with buckets, order, having, limit and fill', async () => {
  const { rows: answer } = await engine.tm.query(hourly, {
    bucket: '1 day',
    by: ['country'],
    select: { n: 'n' },
    where: { country: { not: null } },
    having: { n: { gt: 1 } },
    order: ['-bucket', 'country'],
    limit: 3,
  })
  expect(answer.map(({ bucket, country }) => [bucket, country])).toEqual([
    ['2026-01-03T00:00:00Z', 'DE'],
    ['2026-01-03T00:00:00Z', 'FR'],
    ['2026-01-02T00:00:00Z', 'DE'],
  ])
  const filled = await engine.tm.query(hourly, {
    from: '2025-12-31',
    to: '2026-01-02',
    bucket: '1 day',
    by: ['country'],
    select: { n: 'n' },
    fill: { constant: 0 },
  })
  expect(filled.rows.filter(({ country }) => country === 'DE').map(({ n }) => n)).toEqual([
    0,
    expect.any(Number),
  ])
}, 60_000)
