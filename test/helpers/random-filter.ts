import fc from 'fast-check'
import type { ColumnRef, FilterNode } from '../../src/query/index.ts'

/** Values at the ends of their types, where engines differ. */
export const edgeValues = {
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
  date: ['2026-01-01', '2025-12-31', '0001-01-01', '9999-12-31', 'infinity', '-infinity'],
} as const

export interface FilterShape {
  /** What scalar columns are compared with. */
  readonly columns: Readonly<Record<string, readonly unknown[]>>
  /** Paths into JSON and what they are compared with. */
  readonly json: {
    readonly refs: readonly ColumnRef[]
    readonly values: readonly (string | number | boolean)[]
  }
  /** What else may be asked whether it is null. */
  readonly nullable: readonly ColumnRef[]
  /** `texts` and the JSON paths are matched with them. */
  readonly patterns: readonly string[]
  readonly texts: ColumnRef
  readonly lists: ColumnRef
}

type Value = string | number | bigint | boolean

const operators = ['eq', 'ne', 'lt', 'lte', 'gt', 'gte'] as const

/** Every kind of condition on every column, alone and under not, and, or. */
export function filterArbitrary(shape: FilterShape): fc.Arbitrary<FilterNode> {
  const scalars = Object.entries(shape.columns).map(
    ([column, values]) => [fc.constant({ column, path: [] }), values as readonly Value[]] as const,
  )
  const jsonRef = fc.constantFrom(...shape.json.refs)
  const conditions = [...scalars, [jsonRef, shape.json.values as readonly Value[]] as const].flatMap(
    ([ref, values]): fc.Arbitrary<FilterNode>[] => {
      const value = fc.constantFrom(...values)
      return [
        fc.record({
          kind: fc.constant('compare' as const),
          ref,
          operator: fc.constantFrom(...operators),
          value,
        }),
        fc.record({ kind: fc.constant('in' as const), ref, values: fc.array(value, { maxLength: 4 }) }),
      ]
    },
  )
  const nulls = [...scalars.map(([ref]) => ref), fc.constantFrom(...shape.json.refs, ...shape.nullable)]
  const leaf: fc.Arbitrary<FilterNode> = fc.oneof(
    ...conditions,
    ...nulls.map((ref) => fc.record({ kind: fc.constant('isNull' as const), ref })),
    fc.record({
      kind: fc.constant('like' as const),
      ref: fc.constantFrom(shape.texts, ...shape.json.refs),
      pattern: fc.constantFrom(...shape.patterns),
      caseInsensitive: fc.boolean(),
    }),
    fc.record({
      kind: fc.constant('contains' as const),
      ref: fc.constant(shape.lists),
      value: fc.constantFrom('a', 'b', 'é', 'c'),
    }),
  )
  return fc.letrec<{ node: FilterNode }>((tie) => ({
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
}

/** The n-th value of a pool that ends with null; columns are shifted against each other. */
export function pickShifted(pool: readonly unknown[], n: number, shift: number): unknown {
  const at = (n + shift) % (pool.length + 1)
  return at === pool.length ? null : pool[at]
}
