import { describe, expect, test } from 'vitest'
import type { FileLayout } from '../../src/lake/contract.ts'
import { filterToDuckDB, necessaryFilter } from '../../src/lake/filter-sql.ts'
import { inexact } from '../../src/lake/json-sql.ts'
import type { FilterNode } from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { printSqlInline } from '../../src/util/sql.ts'

const dataset = hypertable('lake.notes', {
  columns: { time: t.timestamptz(), tag: t.text(), exact: t.numeric(), properties: t.jsonb() },
  time: 'time',
})
const layout = {
  order: Object.keys(dataset.columns),
  columns: {
    time: { kind: 'native', type: 'timestamptz' },
    tag: { kind: 'native', type: 'text' },
    exact: { kind: 'numericText', type: 'numeric' },
    properties: { kind: 'json', type: 'jsonb', rest: 'properties', shredded: [] },
  },
} as unknown as FileLayout
const scope = { dataset, layout }

const compare = (column: string, path: readonly string[], value: unknown): FilterNode =>
  ({ kind: 'compare', ref: { column, path }, operator: 'gt', value }) as FilterNode
const tag = compare('tag', [], 'a')
const doubtful = compare('properties', ['score'], 1.5)
const unsaid = compare('exact', [], '1.5')
const necessary = (filters: readonly FilterNode[]): string | null => {
  const said = necessaryFilter({ kind: 'and', filters }, scope)
  return said && printSqlInline(said)
}

describe('what a filter needs of every row', () => {
  test('has a comparison of JSON that DuckDB may be unable to make', () => {
    expect(printSqlInline(filterToDuckDB(doubtful, scope)!)).toContain(inexact)
    expect(filterToDuckDB(unsaid, scope)).toBeNull()
  })

  test('is asked of DuckDB only where its answer is certain: nobody would ask again', () => {
    expect(necessary([tag, doubtful, unsaid])).toBe(`(${printSqlInline(filterToDuckDB(tag, scope)!)})`)
    expect(necessary([doubtful, unsaid])).toBeNull()
    expect(necessary([tag, doubtful])).not.toContain(inexact)
  })
})
