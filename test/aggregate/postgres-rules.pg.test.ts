import { beforeAll, describe, expect, it } from 'vitest'
import { bucketBorder, bucketIndex } from '../../src/aggregate/ddsketch-buckets.ts'
import { type AggregateFunction, aggregates, type InputType, states } from '../../src/aggregate/index.ts'
import { identifier, type Sql, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { aggregateRules } from '../suites/aggregate-rules.ts'
import { doublesAround } from './doubles.ts'
import { buildState, bytesOf, postgresState, postgresStates, rowsOf } from './harness.ts'
import { allSpecs, expectSame } from './same.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
})

const overflow = 2n ** 1024n - 2n ** 970n
aggregateRules(
  {
    statesOfValues: (spec, values, cells) =>
      postgresStates(test.db, spec, rowsOf(spec.input, values, null, cells), {
        cell: cells && identifier('cell'),
      }),
    statesOfRows: (spec, from, cell) => postgresStates(test.db, spec, from, { cell }),
  },
  {
    decimals: [
      '-123456789.123456789123456789',
      String(overflow),
      String(overflow - 1n),
      String(-overflow),
      `0.${'0'.repeat(319)}1`,
      `0.${'0'.repeat(319)}09`,
      `-0.${'0'.repeat(307)}22250738585072014`,
      'NaN',
      '-Infinity',
    ],
  },
)

it('sums of numerics have infinities, as those of doubles', async () => {
  const spec = aggregates.sum.state('numeric', { borders: null })
  const sum = async (values: readonly string[]) =>
    aggregates.sum.finish(await postgresState(test.db, spec, values), spec, { quantile: null })
  expect(await sum(['Infinity', '-Infinity', '1'])).toBe('NaN')
  expect(await sum(['-Infinity', '1.5'])).toBe('-Infinity')
})

it("a sum of doubles that overflows is where PostgreSQL's own fails", async () => {
  const huge = Array.from({ length: 10 }, () => '1e308')
  await expect(test.db.query(sql`select sum(x) from unnest(${huge}::float8[]) x`)).rejects.toThrow(/22003/)
})

async function oneValue(statement: Sql): Promise<unknown> {
  return (await test.db.query(statement)).rows[0]![0]
}

describe('percentile', () => {
  it('PostgreSQL puts every border of every power of two, and 4 doubles to either side, where TypeScript does', async () => {
    const spec = aggregates.percentile.state('float8', { borders: null })
    const shape = states.ddsketch.postgres(spec)
    if (shape.shape !== 'keyed') throw new Error('a sketch is keyed')
    const key = shape.key({ value: identifier('x'), time: null, filter: null })
    let checked = 0
    for (let exponent = -1022; exponent <= 1023; exponent += 93) {
      // ten powers of two at a time, so that each stretch crosses a boundary of PostgreSQL's groups of eight
      const values: number[] = []
      for (let e = Math.max(exponent - 1, -1022); e <= Math.min(exponent + 8, 1023); e += 1)
        for (let s = 0; s < 50; s += 1)
          values.push(...doublesAround(bucketBorder(e * 50 + s), 4).filter((x) => Number.isFinite(x)))
      const signed = values.map((x, i) => (i % 2 ? -x : x))
      const keys = (await oneValue(
        sql`select array_agg(${key} order by id) from unnest(${signed}::float8[]) with ordinality as v (x, id)`,
      )) as number[]
      signed.forEach((x, i) => {
        const magnitude = Math.abs(x)
        const expected = magnitude < 2 ** -1022 ? 0 : (bucketIndex(magnitude) + 1022 * 50 + 1) * Math.sign(x)
        if (keys[i] !== expected) throw new Error(`${x}: PostgreSQL ${keys[i]}, TypeScript ${expected}`)
        checked += 1
      })
    }
    expect(checked).toBeGreaterThan(90_000)
  })
})

describe("beside PostgreSQL's own functions", () => {
  beforeAll(async () => {
    await test.db.execute(`
      create table rows as
      select g as id, nullif(g % 7, 0)::int4 as cell,
        timestamptz '2026-01-01 00:00:00Z' + (g * 7919 % 5000) * interval '1 second' as time,
        ((g * 7919 % 100003) / 7.0)::float8 as value,
        (g * 104729 % 20011)::int4 as whole,
        ((g * 7919 % 100003)::numeric / 8)::numeric(12, 3) as exact,
        (g * 104729 % 20011)::text || case when g % 3 = 0 then 'é' else '' end as name
      from generate_series(1, 40000::int8) g`)
  })

  const column = (name: string): Sql =>
    sql`(select cell, time, ${identifier(name)} as value from rows) source`

  async function byCell(
    fn: AggregateFunction,
    input: InputType,
    name: string,
    quantile: number | null = null,
  ) {
    const spec = aggregates[fn].state(input, { borders: null })
    const found = await postgresStates(test.db, spec, column(name), { cell: identifier('cell') })
    return new Map(
      [...found].map(([cell, state]) => [cell, aggregates[fn].finish(state, spec, { quantile })]),
    )
  }

  async function native(expression: string): Promise<Map<unknown, unknown>> {
    const { rows } = await test.db.query({
      kind: 'sql',
      parts: [{ kind: 'text', text: `select cell, ${expression} from rows group by cell` }],
    })
    return new Map(rows.map((row) => [row[0], row[1]]))
  }

  it.each([
    ['count', 'float8', 'value', 'count(value)::float8'],
    ['sum', 'int4', 'whole', 'sum(whole)'],
    ['sum', 'numeric', 'exact', 'sum(exact)'],
    ['avg', 'numeric', 'exact', 'avg(exact)'],
    ['avg', 'int4', 'whole', 'avg(whole)::float8'],
    ['min', 'text', 'name', 'min(name collate "C")'],
    ['max', 'text', 'name', 'max(name collate "C")'],
    ['first', 'float8', 'value', '(array_agg(value order by time, value))[1]'],
    ['last', 'float8', 'value', '(array_agg(value order by time desc, value desc))[1]'],
    ['first', 'text', 'name', '(array_agg(name order by time, name collate "C"))[1]'],
    ['countDistinct', 'text', 'name', 'count(distinct name)::float8'],
    ['countDistinct', 'numeric', 'exact', 'count(distinct exact)::float8'],
  ] as const)('%s of %s equals it', async (fn, input, name, expression) => {
    const expected = await native(expression)
    expect(await byCell(fn, input, name)).toEqual(expected)
    expect(expected.size).toBe(7)
  })

  it.each([
    ['sum', 'value', 'sum(value)', 1e-12],
    ['avg', 'value', 'avg(value)', 1e-12],
    ['variance', 'value', 'var_samp(value)', 1e-10],
    ['stddev', 'value', 'stddev_samp(value)', 1e-10],
  ] as const)('%s of doubles agrees with it', async (fn, name, expression, tolerance) => {
    const expected = await native(expression)
    for (const [cell, answer] of await byCell(fn, 'float8', name))
      expect(Math.abs((answer as number) / (expected.get(cell) as number) - 1)).toBeLessThan(tolerance)
  })

  it('percentile is within 1 % of the exact order statistic', async () => {
    for (const quantile of [0.01, 0.5, 0.9, 0.99]) {
      const expected = await native(
        `(array_agg(value order by value))[1 + floor(${quantile} * (count(*) - 1))::int]`,
      )
      for (const [cell, answer] of await byCell('percentile', 'float8', 'value', quantile))
        expect(Math.abs((answer as number) / (expected.get(cell) as number) - 1)).toBeLessThan(0.01)
    }
  })

  it('uniques of many values in null and other cells is what TypeScript computes', async () => {
    const spec = aggregates.uniques.state('text', { borders: null })
    const found = await postgresStates(test.db, spec, column('name'), { cell: identifier('cell') })
    const values = await test.db.query(sql`select cell, array_agg(name) from rows group by cell`)
    for (const [cell, names] of values.rows)
      expect(bytesOf(spec, found.get(cell)!)).toBe(bytesOf(spec, buildState(spec, names as string[])))
    const exact = await native('count(distinct name)::float8')
    for (const [cell, state] of found) {
      const estimate = aggregates.uniques.finish(state, spec, { quantile: null }) as number
      expect(Math.abs(estimate / (exact.get(cell) as number) - 1)).toBeLessThan(0.07)
    }
  })
})

describe('settings of the connection', () => {
  it('DateStyle, TimeZone and extra_float_digits change no state', async () => {
    const connection = await test.connect()
    const values: Partial<Record<InputType, string[]>> = {
      float8: ['0.1', '1e-5', '-0', 'NaN', '123456.789012345'],
      numeric: ['0.10', '5', '-1.250'],
      date: ['2026-03-04', '0044-03-15 BC', 'infinity'],
      timestamptz: ['1767225600123456', '-1', '9223372036854775807'],
      text: ['ä', 'z', 'Z', '\u{1f600}'],
      bool: ['true', 'false'],
    }
    for (const [, spec] of allSpecs()) {
      const texts = values[spec.input as InputType]
      if (texts === undefined) continue
      const times = texts.map((_, i) => String(i % 2))
      const plain = await postgresState(test.db, spec, texts, times)
      await connection.execute(`
        set datestyle = 'SQL, DMY'; set timezone = 'Europe/Berlin'; set extra_float_digits = 0;
        set bytea_output = 'escape'; set intervalstyle = 'iso_8601'`)
      const from = rowsOf(spec.input, texts, times)
      expectSame(spec, (await postgresStates(connection, spec, from)).get(null)!, plain, [])
    }
    await connection.close()
  })

  it("a column's own collation changes no state", async () => {
    // in every ICU collation a < B < z; by bytes B < a
    const words = ['a', 'B', 'z', 'ä', 'Z', 'e\u0301', 'é']
    const types = await test.db.query(sql`select count(*) from pg_collation where collname = 'en-x-icu'`)
    const collation = Number(types.rows[0]![0]) > 0 ? 'en-x-icu' : 'default'
    await test.db.execute(`create table words (time timestamptz, value text collate "${collation}")`)
    await test.db.query(
      sql`insert into words select timestamptz '2026-01-01Z', w from unnest(${words}::text[]) as w`,
    )
    const times = words.map(() => '1767225600000000')
    for (const fn of ['min', 'max', 'first', 'last', 'uniques', 'countDistinct'] as const) {
      const spec = aggregates[fn].state('text', { borders: null })
      const found = await postgresStates(test.db, spec, sql`words`)
      expect(bytesOf(spec, found.get(null)!), fn).toBe(bytesOf(spec, buildState(spec, words, times)))
    }
  })

  it('parallel workers give the same states', async () => {
    const connection = await test.connect()
    await connection.execute(`
      create table many as
      select (g % 3)::int4 as cell, timestamptz '2026-01-01Z' + (g % 1000) * interval '1 s' as time,
        (g * 7919 % 30011)::int8 as value
      from generate_series(1, 30000) g`)
    await connection.execute('analyze many')
    const from = sql`many`
    for (const fn of Object.values(aggregates)) {
      const spec = fn.state('int8', { borders: [1, 100, 10000], k: 5 })
      await connection.execute('set max_parallel_workers_per_gather = 0')
      const alone = await postgresStates(connection, spec, from, { cell: identifier('cell') })
      await connection.execute(`
        set max_parallel_workers_per_gather = 4; set parallel_setup_cost = 0; set parallel_tuple_cost = 0;
        set min_parallel_table_scan_size = 0`)
      const together = await postgresStates(connection, spec, from, { cell: identifier('cell') })
      expect(together.size).toBe(3)
      for (const [cell, state] of alone) {
        if (states[spec.kind].exactness === 'bounded') continue
        expect(bytesOf(spec, together.get(cell)!), fn.fn).toBe(bytesOf(spec, state))
      }
    }
    await connection.close()
  })
})
