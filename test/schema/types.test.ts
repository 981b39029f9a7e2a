import type { Insertable, Selectable, Updateable } from 'kysely'
import { DummyDriver, Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from 'kysely'
import { describe, expect, expectTypeOf, test } from 'vitest'
import {
  type ColumnNames,
  type ColumnTypeOf,
  type Database,
  type DatasetDefinition,
  defineConfig,
  type HypertableDefinition,
  hypertable,
  type InsertRow,
  type JsonValue,
  type KeyOf,
  type NumericColumns,
  type Row,
  type StoredDefinition,
  type TableDefinition,
  type TidemarkConfig,
  type TimeColumn,
  t,
  table,
  type UpdateRow,
  view,
} from '../../src/schema/index.ts'

// The promises in this file are kept by tsc: `npm run typecheck` fails when one is broken.

const cpu = hypertable('metrics.cpu', {
  columns: {
    time: t.timestamptz(),
    host: t.text(),
    region: t.text().nullable(),
    usage: t.float8(),
    cores: t.int4().default(1),
    bytes: t.int8(),
    cost: t.numeric(10, 2).nullable(),
    day: t.date().defaultSql('current_date'),
    ok: t.bool(),
    id: t.uuid().defaultSql('gen_random_uuid()'),
    tags: t.jsonb<{ rack: string; slot?: number }>().nullable(),
    extra: t.jsonb(),
    labels: t.textArray().default([]).comment('free words'),
    small: t.int2().nullable().default(3),
    rough: t.float4(),
  },
  time: 'time',
  primaryKey: ['host', 'time'],
  orderBy: ['host', 'time'],
  tenant: 'host',
})
const hosts = table('hosts', { columns: { host: t.text(), rack: t.text().nullable() }, primaryKey: ['host'] })
const plain = table('plain', { columns: { a: t.int4() } })

describe('the types of rows follow the declaration', () => {
  test('a row comes out with one exact form for each type', () => {
    expectTypeOf<Row<typeof cpu>>().toEqualTypeOf<{
      time: string
      host: string
      region: string | null
      usage: number
      cores: number
      bytes: bigint
      cost: string | null
      day: string
      ok: boolean
      id: string
      tags: { rack: string; slot?: number } | null
      extra: JsonValue
      labels: (string | null)[]
      small: number | null
      rough: number
    }>()
  })

  test('a row goes in with every accepted form; nullable and defaulted columns may be left out', () => {
    expectTypeOf<InsertRow<typeof cpu>>().toEqualTypeOf<{
      time: Date | string | bigint
      host: string
      usage: number
      bytes: number | bigint | string
      ok: boolean
      extra: Exclude<JsonValue, null>
      rough: number
      region?: string | null
      cores?: number
      cost?: string | number | bigint | null
      day?: string
      id?: string
      tags?: { rack: string; slot?: number } | null
      labels?: readonly (string | null)[]
      small?: number | null
    }>()
    // @ts-expect-error bytes and others are missing
    const missing: InsertRow<typeof cpu> = { time: 1n, host: 'a', usage: 1 }
    // @ts-expect-error a NOT NULL column takes no null, default or not
    const isNull: UpdateRow<typeof cpu> = { cores: null }
    expect([missing, isNull]).toHaveLength(2)
  })

  test('an update has some columns, a key exactly those of the primary key', () => {
    expectTypeOf<UpdateRow<typeof hosts>>().toEqualTypeOf<{ host?: string; rack?: string | null }>()
    expectTypeOf<KeyOf<typeof cpu>>().toEqualTypeOf<{ host: string; time: Date | string | bigint }>()
    expectTypeOf<KeyOf<typeof hosts>>().toEqualTypeOf<{ host: string }>()
    expectTypeOf<KeyOf<typeof plain>>().toEqualTypeOf<never>()
  })

  test('names of columns are known, by kind too', () => {
    expectTypeOf<ColumnNames<typeof hosts>>().toEqualTypeOf<'host' | 'rack'>()
    expectTypeOf<NumericColumns<typeof cpu>>().toEqualTypeOf<
      'usage' | 'cores' | 'bytes' | 'cost' | 'small' | 'rough'
    >()
    expectTypeOf<TimeColumn<typeof cpu>>().toEqualTypeOf<'time'>()
    expectTypeOf<TimeColumn<typeof hosts>>().toEqualTypeOf<never>()
    expectTypeOf<ColumnTypeOf<typeof cpu, 'labels'>>().toEqualTypeOf<'text[]'>()
  })

  test('a definition that TypeScript knows nothing of has rows of anything', () => {
    expectTypeOf<Row<StoredDefinition>>().toEqualTypeOf<Record<string, unknown>>()
    expectTypeOf<InsertRow<HypertableDefinition>>().toEqualTypeOf<Record<string, unknown>>()
    expectTypeOf<KeyOf<TableDefinition>>().toEqualTypeOf<Record<string, unknown>>()
    expectTypeOf<ColumnNames<DatasetDefinition>>().toEqualTypeOf<string>()
    expectTypeOf<NumericColumns<StoredDefinition>>().toEqualTypeOf<string>()
    expectTypeOf<TimeColumn<HypertableDefinition>>().toEqualTypeOf<string>()
  })

  test('a declared table is a definition, and keeps its name', () => {
    expectTypeOf(cpu).toExtend<HypertableDefinition>()
    expectTypeOf(hosts).toExtend<StoredDefinition>()
    expectTypeOf(cpu.name).toEqualTypeOf<'metrics.cpu'>()
    expectTypeOf(hosts.name).toEqualTypeOf<'public.hosts'>()
    const list: readonly DatasetDefinition[] = [cpu, hosts]
    expect(list.map((d) => d.name)).toEqual(['metrics.cpu', 'public.hosts'])
  })
})

describe('a wrong declaration does not compile', () => {
  const columns = {
    time: t.timestamptz(),
    at: t.timestamptz().nullable(),
    host: t.text(),
    note: t.text().nullable(),
  }

  test('the time must name a NOT NULL timestamptz column', () => {
    // @ts-expect-error no such column
    expect(() => hypertable('a', { columns, time: 'tme' })).toThrow()
    // @ts-expect-error not a timestamptz
    expect(() => hypertable('a', { columns, time: 'host' })).toThrow()
    // @ts-expect-error nullable
    expect(() => hypertable('a', { columns, time: 'at' })).toThrow()
    // @ts-expect-error missing
    expect(() => hypertable('a', { columns })).toThrow()
  })

  test('order, key, tenant and indexes must name columns that fit', () => {
    // @ts-expect-error no such column
    expect(() => hypertable('a', { columns, time: 'time', orderBy: ['hst'] })).toThrow()
    // @ts-expect-error no such column
    expect(() => hypertable('a', { columns, time: 'time', primaryKey: ['hst', 'time'] })).toThrow()
    // @ts-expect-error nullable
    expect(() => hypertable('a', { columns, time: 'time', primaryKey: ['note', 'time'] })).toThrow()
    // @ts-expect-error no tenant type
    expect(() => hypertable('a', { columns, time: 'time', tenant: 'time' })).toThrow()
    // @ts-expect-error nullable
    expect(() => table('a', { columns, tenant: 'note' })).toThrow()
    // @ts-expect-error no such column
    expect(() => table('a', { columns, indexes: [['-hst']] })).toThrow()
    expect(table('a', { columns, indexes: [['host', '-time'], { columns: ['-at'] }] }).indexes).toHaveLength(
      2,
    )
  })

  test('options and defaults must fit', () => {
    // @ts-expect-error unknown option
    expect(() => hypertable('a', { columns, time: 'time', retian: '1 year' })).toThrow()
    // @ts-expect-error a text is no number
    expect(() => table('a', { columns: { n: t.int4().default('5') } })).toThrow()
    // @ts-expect-error another JSON
    expect(table('a', { columns: { j: t.jsonb<{ a: number }>().default({ b: 1 }) } }).kind).toBe('table')
    // @ts-expect-error not a column
    expect(() => table('a', { columns: { n: 'int4' } })).toThrow()
  })
})

describe("Kysely's Database follows the configuration", () => {
  const recent = view('analytics.recent', 'select host, usage from metrics.cpu', {
    columns: { host: t.text(), usage: t.float8().nullable() },
  })
  const untyped = view('analytics.untyped', 'select 1 as one')
  const config = defineConfig({ datasets: [cpu, hosts], views: [recent, untyped] })
  type DB = Database<typeof config>

  test('tables are named by schema and table, with what is selected, inserted and updated', () => {
    expectTypeOf<keyof DB>().toEqualTypeOf<
      'metrics.cpu' | 'public.hosts' | 'analytics.recent' | 'analytics.untyped'
    >()
    expectTypeOf<Selectable<DB['metrics.cpu']>>().toEqualTypeOf<Row<typeof cpu>>()
    expectTypeOf<Selectable<DB['public.hosts']>>().toEqualTypeOf<{ host: string; rack: string | null }>()
    expectTypeOf<InsertRow<typeof hosts>>().toExtend<Insertable<DB['public.hosts']>>()
    expectTypeOf<Insertable<DB['public.hosts']>>().toExtend<InsertRow<typeof hosts>>()
    expectTypeOf<Updateable<DB['public.hosts']>>().toEqualTypeOf<{ host?: string; rack?: string | null }>()
    expectTypeOf<InsertRow<typeof cpu>>().toExtend<Insertable<DB['metrics.cpu']>>()
    expectTypeOf<Insertable<DB['metrics.cpu']>>().toExtend<InsertRow<typeof cpu>>()
  })

  test('Kysely of a known configuration is one of any configuration', () => {
    expectTypeOf<Database<TidemarkConfig>>().toBeAny()
    expectTypeOf<DB>().not.toBeAny()
    expectTypeOf<Kysely<DB>>().toExtend<Kysely<Database<TidemarkConfig>>>()
    expectTypeOf<typeof config>().toExtend<TidemarkConfig>()
  })

  test('a view can be selected from and not written to', () => {
    expectTypeOf<Selectable<DB['analytics.recent']>>().toEqualTypeOf<{ host: string; usage: number | null }>()
    expectTypeOf<keyof Insertable<DB['analytics.recent']>>().toEqualTypeOf<never>()
  })

  test('queries are typed and name what they should', () => {
    const db = new Kysely<DB>({
      dialect: {
        createAdapter: () => new PostgresAdapter(),
        createDriver: () => new DummyDriver(),
        createIntrospector: (d) => new PostgresIntrospector(d),
        createQueryCompiler: () => new PostgresQueryCompiler(),
      },
    })
    const query = db
      .selectFrom('metrics.cpu as c')
      .innerJoin('public.hosts as h', 'h.host', 'c.host')
      .select(['c.time', 'c.bytes', 'h.rack'])
    expectTypeOf(query.execute).returns.resolves.toEqualTypeOf<
      { time: string; bytes: bigint; rack: string | null }[]
    >()
    expect(query.compile().sql).toBe(
      'select "c"."time", "c"."bytes", "h"."rack" from "metrics"."cpu" as "c" inner join "public"."hosts" as "h" on "h"."host" = "c"."host"',
    )
    const insert = db.insertInto('public.hosts').values({ host: 'a' })
    expect(insert.compile().sql).toBe('insert into "public"."hosts" ("host") values ($1)')
    // @ts-expect-error host is missing
    db.insertInto('public.hosts').values({ rack: 'r1' })
    // @ts-expect-error no such column
    db.selectFrom('metrics.cpu').select('usge')
  })
})
