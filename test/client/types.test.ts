import { describe, expectTypeOf, it } from 'vitest'
import { createClient } from '../../src/client/index.ts'
import { continuousAggregate, count, percentile } from '../../src/index.ts'
import { defineConfig, hypertable, t, table } from '../../src/schema/index.ts'

const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    model: t.text(),
    latency_ms: t.float8().nullable(),
    bytes: t.int8(),
    properties: t.jsonb<{ plan: string }>().nullable(),
  },
  time: 'time',
})
const models = table('models', { columns: { name: t.text(), price: t.numeric() }, primaryKey: ['name'] })
const notes = table('app.notes', {
  columns: { tenant: t.text(), id: t.int4(), text: t.text().nullable() },
  tenant: 'tenant',
  primaryKey: ['tenant', 'id'],
})
const hourly = continuousAggregate('metrics.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: { n: count(), p95: percentile('latency_ms', 0.95) },
})
const config = defineConfig({ datasets: [requests, models, hourly] })
const client = createClient<typeof config>({ url: 'http://127.0.0.1:1' })

/** Only types: the functions are never called. */
describe('the types of the client follow from the type of the configuration', () => {
  it('in rows that go in', () => {
    const calls = () => {
      void client.insert('metrics.requests', [{ time: new Date(), model: 'a', bytes: 1n }])
      void client.insert('metrics.requests', [
        { time: '2026-01-01T00:00:00Z', model: 'a', bytes: '9', latency_ms: null },
      ])
      void client.insertNow('public.models', [{ name: 'a', price: '1.5' }], { onConflict: 'update' })
      // @ts-expect-error the model is missing
      void client.insert('metrics.requests', [{ time: new Date(), bytes: 1n }])
      // @ts-expect-error JSON has no microseconds
      void client.insert('metrics.requests', [{ time: 1n, model: 'a', bytes: 1n }])
      // @ts-expect-error there is no such table
      void client.insert('metrics.request', [])
      // @ts-expect-error a continuous aggregate has no rows of its own
      void client.insert('metrics.hourly', [])
    }
    expectTypeOf(calls).toBeFunction()
  })

  it('in answers', () => {
    const ask = () =>
      client.query('metrics.requests', {
        bucket: '1 hour',
        by: ['model', 'properties.plan'],
        select: {
          n: { fn: 'count' },
          most: { fn: 'max', column: 'bytes' },
          p: percentile('latency_ms', 0.5),
        },
      })
    type Row = Awaited<ReturnType<typeof ask>>['rows'][number]
    expectTypeOf<Row>().toEqualTypeOf<{
      bucket: string
      model: string
      'properties.plan': string | null
      n: number
      most: bigint | null
      p: number | null
    }>()
    const rows = () => client.query('metrics.requests', { columns: ['time', 'properties'] })
    type Plain = Awaited<ReturnType<typeof rows>>['rows'][number]
    expectTypeOf<Plain>().toEqualTypeOf<{ time: string; properties: { plan: string } | null }>()
    const cells = () => client.query('metrics.hourly', { by: ['model'], select: { n: 'n' } })
    expectTypeOf<Awaited<ReturnType<typeof cells>>['rows'][number]['n']>().toEqualTypeOf<number>()
  })

  it('in what is refused', () => {
    const wrong = () => {
      // @ts-expect-error there is no such column
      void client.query('metrics.requests', { select: { n: { fn: 'sum', column: 'latency' } } })
      // @ts-expect-error there is no such group
      void client.query('metrics.requests', { by: ['modell'], select: { n: { fn: 'count' } } })
      // @ts-expect-error there is no such dataset
      void client.query('metrics.request', { columns: '*' })
      void client.product('activeUsers', 'metrics.requests', { from: '-1 day', method: 'uniques' })
      // @ts-expect-error a funnel has steps
      void client.product('funnel', 'metrics.requests', { from: '-1 day', within: '1 day' })
      // @ts-expect-error there is no such column
      void client.product('sessions', 'metrics.requests', { from: '-1 day', where: { modell: 'a' } })
    }
    expectTypeOf(wrong).toBeFunction()
  })

  it('in rows by their key', () => {
    const calls = () => {
      const byName = client.records('public.models')
      void byName.get({ name: 'a' })
      void byName.create({ name: 'a', price: '1' })
      void byName.update({ name: 'a' }, { price: 2 })
      void byName.list({ where: { price: { gte: '1' } }, sort: ['-price', 'name'] })
      void byName.bulk({ op: 'patch', rows: [{ key: { name: 'a' }, set: { price: '2' } }] })
      // @ts-expect-error the key is the name
      void byName.get({ price: '1' })
      // @ts-expect-error there is no such column
      void byName.update({ name: 'a' }, { cost: 2 })
      // @ts-expect-error there is no such column
      void byName.list({ sort: ['-cost'] })
      // @ts-expect-error the price is missing
      void byName.create({ name: 'a' })
      // @ts-expect-error there is no such table
      void client.records('public.model')
      const owned = client.records(notes)
      void owned.get({ id: 1 })
      void owned.get({ tenant: 'acme', id: 1 })
      // @ts-expect-error the tenant alone is no key
      void owned.get({ tenant: 'acme' })
    }
    expectTypeOf(calls).toBeFunction()
    const rows = () => client.records(models).get({ name: 'a' })
    expectTypeOf<Awaited<ReturnType<typeof rows>>>().toEqualTypeOf<{ name: string; price: string } | null>()
    const page = () => client.records('public.models').list({ fields: ['price'] })
    expectTypeOf<Awaited<ReturnType<typeof page>>['rows'][number]>().toEqualTypeOf<{ price: string }>()
  })

  it('and a client without a type takes anything', () => {
    const anything = createClient({ url: 'http://127.0.0.1:1' })
    const calls = () => {
      void anything.insert('x.y', [{ a: 1 }])
      return anything.query('x.y', { select: { n: { fn: 'count' } } })
    }
    type Row = Awaited<ReturnType<typeof calls>>['rows'][number]
    expectTypeOf<Row>().toEqualTypeOf<Readonly<Record<string, unknown>>>()
  })
})
