import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { mostPanels } from '../../dashboard/src/pages/boards/document.ts'
import { compact } from '../../dashboard/src/pages/boards/layout.ts'
import { templated, templateOf, templatePanels } from '../../dashboard/src/pages/boards/templates.ts'
import type { DatasetInfo } from '../../src/client/index.ts'

const types = ['timestamptz', 'text', 'float8', 'int8', 'jsonb', 'bool', 'numeric'] as const
const dataset = fc
  .record({
    isTimed: fc.boolean(),
    columns: fc.uniqueArray(
      fc.record({
        name: fc.constantFrom('id', 'tenant', 'model', 'status', 'latency_ms', 'size_bytes', 'props', 'n'),
        type: fc.constantFrom(...types),
        nullable: fc.boolean(),
      }),
      { selector: ({ name }) => name },
    ),
  })
  .map(
    ({ isTimed, columns }): DatasetInfo => ({
      name: 'app.things',
      kind: isTimed ? 'hypertable' : 'table',
      time: isTimed ? 'time' : null,
      primaryKey: isTimed ? null : ['id'],
      comment: null,
      aggregate: null,
      columns: [...(isTimed ? [{ name: 'time', type: 'timestamptz', nullable: false }] : []), ...columns].map(
        (column) => ({ ...column, hasDefault: false, comment: null }),
      ),
    }),
  )

describe('a first board of a dataset', () => {
  it('names only columns that there are, stands without gaps, and has one id for each panel', () => {
    fc.assert(
      fc.property(dataset, (info) => {
        const panels = templatePanels(info)
        const names = new Set(info.columns.map(({ name }) => name))
        expect(panels.length).toBeGreaterThan(0)
        expect(panels.length).toBeLessThanOrEqual(mostPanels)
        expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length)
        expect(compact(panels)).toEqual(panels)
        for (const { query } of panels) {
          for (const name of query.by ?? []) expect(names.has(name)).toBe(true)
          for (const call of Object.values(query.select ?? {})) {
            const { column } = call as { column?: string }
            if (column !== undefined) expect(names.has(column)).toBe(true)
          }
          // what has no time has no buckets
          if (info.time === null) expect(query.bucket).toBeUndefined()
        }
      }),
    )
  })

  it('neither adds up keys nor groups by the tenant, and knows milliseconds and bytes by their names', () => {
    const column = (name: string, type: string) => ({
      ...{ name, type, nullable: false, hasDefault: false, comment: null },
    })
    const info: DatasetInfo = {
      ...{ name: 'a.b', kind: 'hypertable', time: 'time', primaryKey: null, comment: null, aggregate: null },
      columns: [
        column('time', 'timestamptz'),
        column('tenant', 'text'),
        column('user_id', 'int8'),
        column('model', 'text'),
        column('latency_ms', 'float8'),
      ],
    }
    const { name, document } = templateOf(info)
    expect(name).toBe('Overview of a.b')
    expect(document.panels.map(({ title, unit }) => [title, unit])).toEqual([
      ['Rows', undefined],
      ['Rows by model', undefined],
      ['p95 of latency_ms', 'ms'],
      ['latency_ms: p50 and p95', 'ms'],
      ['Most rows: model', undefined],
      ['Newest rows', undefined],
    ])
  })

  it('is offered for hypertables first, and not for continuous aggregates', () => {
    const of = (name: string, kind: DatasetInfo['kind'], time: string | null): DatasetInfo => ({
      ...{ name, kind, time, primaryKey: null, comment: null, columns: [], aggregate: null },
    })
    const all = [of('a', 'table', null), of('c', 'hypertable', 'time'), of('b', 'aggregate', 'bucket')]
    expect(templated(all).map(({ name }) => name)).toEqual(['c', 'a'])
  })
})
