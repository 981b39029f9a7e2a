import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { filterToSql } from '../../src/hot/filter-sql.ts'
import { evaluateFilter } from '../../src/query/evaluate.ts'
import type { FilterNode } from '../../src/query/nodes.ts'
import { type ColumnType, t, table } from '../../src/schema/index.ts'
import { daysFromCivil } from '../../src/time/index.ts'
import { identifier, join, raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createForReading, start } from './reading-fixture.ts'

const kinds = table('filtered.kinds', {
  columns: {
    id: t.int4(),
    moment: t.timestamptz().nullable(),
    day: t.date().nullable(),
    name: t.text().nullable(),
    token: t.uuid().nullable(),
    flag: t.bool().nullable(),
    small: t.int2().nullable(),
    big: t.int8().nullable(),
    real: t.float4().nullable(),
    double: t.float8().nullable(),
    exact: t.numeric().nullable(),
    tags: t.textArray().nullable(),
    json: t.jsonb().nullable(),
  },
  primaryKey: ['id'],
})

const microsOf = (year: number, month: number, day: number) =>
  BigInt(daysFromCivil(year, month, day)) * 86_400_000_000n
const moments: ReadonlyMap<bigint, string> = new Map([
  [start, '2026-01-01 00:00:00+00'],
  [start + 1n, '2026-01-01 00:00:00.000001+00'],
  [start - 1n, '2025-12-31 23:59:59.999999+00'],
  [-1n, '1969-12-31 23:59:59.999999+00'],
  [microsOf(-43, 3, 15), '0044-03-15 00:00:00+00 BC'],
  [microsOf(0, 12, 31), '0001-12-31 00:00:00+00 BC'],
  [microsOf(1, 1, 1), '0001-01-01 00:00:00+00'],
  [microsOf(290_000, 2, 29), '290000-02-29 00:00:00+00'],
  [2n ** 63n - 1n, 'infinity'],
  [-(2n ** 63n), '-infinity'],
])
const pools: Readonly<Record<Exclude<ColumnType, 'jsonb' | 'text[]' | 'int4'>, readonly unknown[]>> = {
  timestamptz: [...moments.keys()],
  date: ['2026-01-01', '2025-12-31', '0001-01-01', '9999-12-31', 'infinity', '-infinity'],
  text: ['', 'a', 'A', 'b', 'ab', 'a_b', 'a%b', 'a\\b', 'é', 'z', '\u{1f600}', '\uffee', "o'k", '10', '9'],
  uuid: [
    '00000000-0000-0000-0000-000000000000',
    '80000000-0000-4000-8000-000000000001',
    'ffffffff-ffff-ffff-ffff-ffffffffffff',
  ],
  bool: [true, false],
  int2: [0, 1, -1, 32767, -32768],
  int8: [0n, 1n, -1n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)],
  float4: [0, -0, 1, Math.fround(0.1), Math.fround(-1e-40), Number.NaN, Infinity, -Infinity],
  float8: [0, -0, 1, 0.1, 5e-324, 1.7976931348623157e308, Number.NaN, Infinity, -Infinity],
  numeric: ['0', '1', '1.0', '-1', '0.1', '12345678901234567890.123456789', 'NaN', 'Infinity', '-Infinity'],
}
const columnsOf = {
  moment: 'timestamptz',
  day: 'date',
  name: 'text',
  token: 'uuid',
  flag: 'bool',
  small: 'int2',
  big: 'int8',
  real: 'float4',
  double: 'float8',
  exact: 'numeric',
} as const
const jsonScalars = ['', 'a', 'b', '1', 'é', 0, 1, -1, 1.5, 1e300, true, false, null]
const jsonPool: readonly unknown[] = [
  null,
  ...jsonScalars,
  ...jsonScalars.map((value) => ({ a: value })),
  { a: { b: 'x' } },
  { a: { b: 2 } },
  { a: [1, 'a'] },
  { a: {} },
  {},
  [1],
]
const tagPool: readonly unknown[] = [null, [], ['a'], ['a', null], ['b', 'é'], [null]]

/** Every value of every pool appears, the columns shifted against each other. */
const rowCount = 40
const rows = Array.from({ length: rowCount }, (_, i) => {
  const pick = (pool: readonly unknown[], shift: number) => {
    const at = (i + shift) % (pool.length + 1)
    return at === pool.length ? null : pool[at]
  }
  const scalars = Object.entries(columnsOf).map(([name, type], c) => [name, pick(pools[type], c * 3)])
  return { id: i, ...Object.fromEntries(scalars), tags: pick(tagPool, 1), json: pick(jsonPool, 0) } as Record<
    string,
    unknown
  >
})

const patterns = ['', '%', 'a%', '%b', '_', 'a\\_b', 'a\\%b', 'a\\\\b', 'A%', '%É%', '__']
const operators = ['eq', 'ne', 'lt', 'lte', 'gt', 'gte'] as const
const jsonRefs = [[], ['a'], ['a', 'b'], ['a', '0'], ['missing']].map((path) => ({ column: 'json', path }))
const jsonValues = jsonScalars.filter((value) => value !== null) as (string | number | boolean)[]

const leaf: fc.Arbitrary<FilterNode> = fc.oneof(
  ...Object.entries(columnsOf).flatMap(([column, type]): fc.Arbitrary<FilterNode>[] => {
    const ref = { column, path: [] }
    const value = fc.constantFrom(...(pools[type] as (string | number | bigint | boolean)[]))
    return [
      fc.record({
        kind: fc.constant('compare' as const),
        ref: fc.constant(ref),
        operator: fc.constantFrom(...operators),
        value,
      }),
      fc.record({
        kind: fc.constant('in' as const),
        ref: fc.constant(ref),
        values: fc.array(value, { maxLength: 4 }),
      }),
      fc.constant({ kind: 'isNull' as const, ref }),
    ]
  }),
  fc.record({
    kind: fc.constant('compare' as const),
    ref: fc.constantFrom(...jsonRefs),
    operator: fc.constantFrom(...operators),
    value: fc.constantFrom(...jsonValues),
  }),
  fc.record({
    kind: fc.constant('in' as const),
    ref: fc.constantFrom(...jsonRefs),
    values: fc.array(fc.constantFrom(...jsonValues), { maxLength: 4 }),
  }),
  fc.record({
    kind: fc.constant('isNull' as const),
    ref: fc.constantFrom(...jsonRefs, { column: 'tags', path: [] }),
  }),
  fc.record({
    kind: fc.constant('like' as const),
    ref: fc.constantFrom({ column: 'name', path: [] }, ...jsonRefs),
    pattern: fc.constantFrom(...patterns),
    caseInsensitive: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('contains' as const),
    ref: fc.constant({ column: 'tags', path: [] }),
    value: fc.constantFrom('a', 'b', 'é', 'c'),
  }),
)
const filter: fc.Arbitrary<FilterNode> = fc.letrec<{ node: FilterNode }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 3 },
    { weight: 4, arbitrary: leaf },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('not' as const), filter: tie('node') }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constantFrom('and' as const, 'or' as const),
        filters: fc.array(tie('node'), { maxLength: 3 }),
      }),
    },
  ),
})).node

describe('filters as SQL', () => {
  let base: TestDatabase
  beforeAll(async () => {
    base = await createTestDatabase()
    await createForReading(base.db, kinds)
    const names = Object.keys(kinds.columns)
    for (const row of rows) {
      const values = names.map((name) => {
        const { type } = kinds.columns[name as keyof typeof kinds.columns]!
        const value = row[name]
        if (value === null || value === undefined) return sql`null`
        if (type === 'timestamptz') return sql`${moments.get(value as bigint)}::timestamptz`
        return type === 'jsonb' ? sql`${JSON.stringify(value)}::jsonb` : sql`${value}::${raw(type)}`
      })
      await base.db.query(
        sql`insert into filtered.kinds (${join(
          names.map((name) => identifier(name)),
          ', ',
        )}) values (${join(values, ', ')})`,
      )
    }
  })
  afterAll(() => base.drop())

  test('are true, false or unknown for the same rows as the evaluator says', async () => {
    const stored = await base.db.query(
      sql`select ${join(
        Object.keys(kinds.columns).map((name) => identifier(name)),
        ', ',
      )} from filtered.kinds order by id`,
    )
    const places = new Map(Object.keys(kinds.columns).map((name, i) => [name, i]))
    await base.db.withConnection(async (connection) => {
      await fc.assert(
        fc.asyncProperty(filter, async (node) => {
          const answer = await connection.query(
            sql`select ${filterToSql(node, kinds)} from filtered.kinds order by id`,
          )
          const expected = stored.rows.map((row) =>
            evaluateFilter(node, ({ column, path }) => {
              const held = row[places.get(column)!]
              const { type } = kinds.columns[column as keyof typeof kinds.columns]!
              if (type !== 'jsonb') return { type, value: held }
              let value = held
              for (const key of path) {
                const inner = value as Record<string, unknown> | null
                value =
                  typeof inner === 'object' && inner !== null && Object.hasOwn(inner, key) ? inner[key] : null
              }
              return { type, value: value ?? null }
            }),
          )
          expect(answer.rows.map(([truth]) => truth)).toEqual(expected)
        }),
        { numRuns: 600 },
      )
    })
  })

  test('use an ordinary index for equality, lists and ranges of everything but text', async () => {
    await base.db.execute(
      `create index on filtered.kinds (name); create index on filtered.kinds (moment); create index on filtered.kinds (small)`,
    )
    await base.db.withConnection(async (connection) => {
      const plan = async (node: FilterNode) => {
        const { rows } = await connection.query(
          sql`explain select id from filtered.kinds where ${filterToSql(node, kinds)}`,
        )
        return rows.flat().join('\n')
      }
      await connection.execute('set enable_seqscan = off')
      const ref = (column: string) => ({ column, path: [] })
      expect(await plan({ kind: 'compare', ref: ref('name'), operator: 'eq', value: 'a' })).toContain(
        'Index Cond: (name = ',
      )
      expect(await plan({ kind: 'in', ref: ref('name'), values: ['a', 'b'] })).toContain(
        'Index Cond: (name = ANY',
      )
      expect(await plan({ kind: 'compare', ref: ref('moment'), operator: 'gte', value: start })).toContain(
        'Index Cond: (moment >= ',
      )
      expect(await plan({ kind: 'compare', ref: ref('small'), operator: 'lt', value: 3 })).toContain(
        'Index Cond: (small < ',
      )
      await connection.execute('reset enable_seqscan')
    })
  })

  test('refuse a column that is not there and an operation that its type has not', () => {
    const refused = (node: FilterNode) =>
      expect(() => filterToSql(node, kinds)).toThrow(expect.objectContaining({ code: 'TM_QUERY' }))
    refused({ kind: 'isNull', ref: { column: 'constructor', path: [] } })
    refused({ kind: 'compare', ref: { column: 'tags', path: [] }, operator: 'eq', value: 'a' })
    refused({ kind: 'like', ref: { column: 'small', path: [] }, pattern: 'a', caseInsensitive: false })
    refused({ kind: 'isNull', ref: { column: 'name', path: ['a'] } })
  })
})
