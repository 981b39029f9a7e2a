import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { filterToSql } from '../../src/hot/filter-sql.ts'
import { evaluateFilter } from '../../src/query/evaluate.ts'
import type { FilterNode } from '../../src/query/nodes.ts'
import { type ColumnType, t, table } from '../../src/schema/index.ts'
import { daysFromCivil } from '../../src/time/index.ts'
import { identifier, join, raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { edgeValues, filterArbitrary, pickShifted } from '../helpers/random-filter.ts'
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
  ...edgeValues,
  timestamptz: [...moments.keys()],
  text: ['', 'a', 'A', 'b', 'ab', 'a_b', 'a%b', 'a\\b', 'é', 'z', '\u{1f600}', '\uffee', "o'k", '10', '9'],
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
  const scalars = Object.entries(columnsOf).map(([name, type], c) => [
    name,
    pickShifted(pools[type], i, c * 3),
  ])
  const [tags, json] = [pickShifted(tagPool, i, 1), pickShifted(jsonPool, i, 0)]
  return { id: i, ...Object.fromEntries(scalars), tags, json } as Record<string, unknown>
})

const filter = filterArbitrary({
  columns: Object.fromEntries(Object.entries(columnsOf).map(([column, type]) => [column, pools[type]])),
  json: {
    refs: [[], ['a'], ['a', 'b'], ['a', '0'], ['missing']].map((path) => ({ column: 'json', path })),
    values: jsonScalars.filter((value) => value !== null),
  },
  nullable: [{ column: 'tags', path: [] }],
  patterns: ['', '%', 'a%', '%b', '_', 'a\\_b', 'a\\%b', 'a\\\\b', 'A%', '%É%', '__'],
  texts: { column: 'name', path: [] },
  lists: { column: 'tags', path: [] },
})

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
