import { afterAll, describe, expect, it } from 'vitest'
import { bucketBorder } from '../../src/aggregate/ddsketch-buckets.ts'
import { type AggregateFunction, aggregates, states } from '../../src/aggregate/index.ts'
import { identifier, raw, type Sql, sql } from '../../src/util/sql.ts'
import { type AggregateEngine, aggregateRules, expectEachSame } from '../suites/aggregate-rules.ts'
import { asMultiple, doublesAround } from './doubles.ts'
import { createDuckDBLane, duckdbStates } from './duckdb-harness.ts'
import { buildState, bytesOf, type ValueText } from './harness.ts'
import { allSpecs, isBounded } from './same.ts'

const lane = createDuckDBLane(2)
afterAll(() => lane.close())

const engine: AggregateEngine = {
  async statesOfValues(spec, values, cells) {
    const forms = await lane.rows(spec.input, values, null, cells)
    // from a table, or of cells from a file
    const from = forms![cells === null ? 0 : 1]![1]
    return duckdbStates(lane.duckdb, spec, from, { cell: cells && identifier('cell') })
  },
  statesOfRows: (spec, from, cell) => duckdbStates(lane.duckdb, spec, from, { cell }),
}

aggregateRules(engine)

async function quickState(fn: AggregateFunction, values: readonly ValueText[]): Promise<unknown> {
  const spec = aggregates[fn].state('float8', { borders: null })
  const forms = await lane.rows('float8', values, null)
  return (await duckdbStates(lane.duckdb, spec, forms![0]![1], { quick: true })).get(null)
}

it('DuckDB computes every state of every input', () => {
  for (const [name, spec] of allSpecs()) expect(states[spec.kind].duckdb(spec), name).not.toBeNull()
  expect(states.count.duckdb({ kind: 'count', input: 'text[]', borders: null })).not.toBeNull()
})

it('a count of lists leaves out the nulls', async () => {
  const from = sql`(select unnest([['a'], [null], [], null]) as value, now() as time) source`
  const spec = aggregates.count.state('text[]', { borders: null })
  const found = await duckdbStates(lane.duckdb, spec, from)
  expect(aggregates.count.finish(found.get(null)!, spec, { quantile: null })).toBe(3)
})

describe('sums and deviations', () => {
  it('states of huge sums are merged without overflowing on the way', async () => {
    const spec = aggregates.sum.state('float8', { borders: null })
    const cells = [1, 2, 3]
    const forms = await lane.rows('float8', ['1e308', '1e308', '-1e308'], null, cells)
    const found = await duckdbStates(lane.duckdb, spec, forms![0]![1], {
      cell: identifier('cell'),
      quick: true,
    })
    const merged = cells
      .map((cell) => found.get(cell)!)
      .reduce((into, other) => states.sum.merge(into, other), states.sum.create(spec))
    expect(aggregates.sum.finish(merged, spec, { quantile: null })).toBe(1e308)
  })

  it('the quick columns know nothing of sums and deviations that are not finite', async () => {
    const huge = Array.from({ length: 10 }, () => '1e308')
    for (const values of [huge, ['NaN', '1'], ['Infinity'], ['1', '-Infinity']]) {
      expect(await quickState('sum', values)).toBeNull()
      expect(await quickState('stddev', values)).toBeNull()
    }
    expect(await quickState('stddev', ['1e200', '2e200'])).toBeNull()
    expect(await quickState('sum', ['1e200', '2e200', null])).not.toBeNull()
    expect(await quickState('stddev', [null])).not.toBeNull()
  })

  it('a NaN is one value whatever its sign and payload', async () => {
    const bits = ['-2251799813685248', '9218868437227405313', '9221120237041090560', '-4503599627370495']
    const from = sql`(select unnest(${raw(`[${bits.join(', ')}]`)})::bigint::bit::double as value,
      'epoch'::timestamptz as time) source`
    for (const [name, spec] of allSpecs()) {
      if (spec.input !== 'float8') continue
      // readings that are NaN are none: then there may be no row
      const state = (await duckdbStates(lane.duckdb, spec, from)).get(null) ?? states[spec.kind].create(spec)
      const expected = buildState(
        spec,
        bits.map(() => 'NaN'),
        bits.map(() => '0'),
      )
      expect(bytesOf(spec, state), name).toBe(bytesOf(spec, expected))
    }
  })
})

it('the borders of a histogram are the doubles that were asked for', async () => {
  const borders = [
    -1e300,
    -0.1,
    0,
    5e-324,
    2.2250738585072014e-308,
    0.1,
    0.3,
    1 / 3,
    123456.78901234567,
    1e22,
  ]
  borders.push(1e23, 1.7976931348623157e308)
  const spec = aggregates.histogram.state('float8', { borders })
  const values = borders.flatMap((x) =>
    doublesAround(Math.abs(x), x === 0 ? 0 : 1).map((y) => (x < 0 ? -y : y)),
  )
  await expectEachSame(engine, spec, [...values.map(String), 'NaN', 'Infinity', '-Infinity', '-0'])
  const thousand = aggregates.histogram.state('float8', {
    borders: Array.from({ length: 1000 }, (_, i) => (i - 500) / 7),
  })
  await expectEachSame(engine, thousand, [
    '-100',
    '-71.42857142857143',
    '0',
    '0.14285714285714285',
    '71',
    '71.3',
    '72',
  ])
})

describe('percentile', () => {
  it('DuckDB puts every border of every power of two, and 4 doubles to either side, where TypeScript does', async () => {
    const view = new DataView(new ArrayBuffer(8))
    const fractions = Array.from({ length: 50 }, (_, s) => {
      view.setFloat64(0, bucketBorder(s))
      return String(view.getBigInt64(0) & (2n ** 52n - 1n))
    })
    await lane.duckdb.query(
      sql`create table borders as
        select exponent::integer as cell, 'epoch'::timestamptz as time,
          (((exponent::hugeint * 4503599627370496 + fraction + step)::bigint::bit::double)
            * case when step % 2 = 0 then 1 else -1 end) as value
        from range(1, 2047) e(exponent), unnest(${raw(`[${fractions.join(', ')}]::hugeint[]`)}) f(fraction),
          range(-4, 5) s(step)`,
      null,
    )
    const spec = aggregates.percentile.state('float8', { borders: null })
    const found = await duckdbStates(lane.duckdb, spec, identifier('borders'), { cell: identifier('cell') })
    expect(found.size).toBe(2046)
    let checked = 0
    for (const [cell, state] of found) {
      const expected = states.ddsketch.create(spec)
      for (let s = 0; s < 50; s += 1)
        doublesAround(bucketBorder(((cell as number) - 1023) * 50 + s), 4).forEach((x, i) => {
          states.ddsketch.add(expected, i % 2 === 0 ? x : -x, null)
          checked += 1
        })
      if (bytesOf(spec, state!) !== bytesOf(spec, expected))
        throw new Error(`exponent ${Number(cell) - 1023}`)
    }
    expect(checked).toBe(2046 * 50 * 9)
  })
})

describe('many rows', () => {
  const column = (expression: string): Sql =>
    sql`(select nullif(g % 7, 0)::integer as cell, 'epoch'::timestamptz + to_seconds(g * 7919 % 5000) as time,
      ${raw(expression)} as value from range(1, 40001) t(g)) source`

  it.each([
    ['text', "(g * 104729 % 20011)::varchar || case when g % 3 = 0 then 'é' else '' end"],
    ['float8', '(g * 104729 % 20011) / 7e0'],
    ['int8', '9223372036854775807 - (g * 104729 % 20011)'],
    ['numeric', '((g * 7919 % 100003) / 8)::decimal(12, 3)'],
    ['timestamptz', "'epoch'::timestamptz + to_microseconds(g * 104729 % 20011)"],
  ] as const)(
    'states of %s in null and other cells are what TypeScript computes',
    async (input, expression) => {
      const from = column(expression)
      const asText = input === 'timestamptz' ? sql`epoch_us(value)::varchar` : sql`value::varchar`
      const { rows } = await lane.duckdb.query(
        sql`select cell, list(${asText} order by id), list(epoch_us(time)::varchar order by id)
        from (select *, row_number() over () as id from ${from}) numbered group by cell`,
        null,
      )
      expect(rows.length).toBe(7)
      for (const [name, spec] of allSpecs()) {
        if (spec.input !== input || isBounded(spec)) continue
        // what is dropped past its capacity depends on the order of rows (topk-error.test.ts has the bound)
        if (spec.kind === 'topk') continue
        const found = await duckdbStates(lane.duckdb, spec, from, { cell: identifier('cell') })
        for (const [cell, values, times] of rows)
          expect(bytesOf(spec, found.get(cell)!), name).toBe(
            bytesOf(spec, buildState(spec, values as string[], times as string[])),
          )
      }
    },
  )

  it('sums of doubles by several threads are within n * eps * sum |x| of the exact sum', async () => {
    const { rows } = await lane.duckdb.query(
      sql`select value from (select (g * 7919 % 100003 - 50000) / 7e0 * pow(10, g % 9) as value from range(60000) t(g)) source`,
      null,
    )
    const values = rows.map(([value]) => value as number)
    const exact = values.reduce((sum, x) => sum + asMultiple(x), 0n)
    const magnitudes = values.reduce((sum, x) => sum + asMultiple(Math.abs(x)), 0n)
    const bound = (BigInt(values.length) * magnitudes) >> 52n
    const forms = await lane.rows('float8', values.map(String), null)
    const spec = aggregates.sum.state('float8', { borders: null })
    for (const quick of [true, false]) {
      const state = (await duckdbStates(lane.duckdb, spec, forms![1]![1], { quick })).get(null)!
      const sum = aggregates.sum.finish(state, spec, { quantile: null }) as number
      const off = asMultiple(sum) - exact
      expect(off < 0n ? -off : off).toBeLessThanOrEqual(bound)
    }
  })
})
