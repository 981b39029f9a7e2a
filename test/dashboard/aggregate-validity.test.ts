import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { declarationFor } from '../../dashboard/src/pages/aggregates/declaration.ts'
import { firstRowsOf, validityParts, validitySpan } from '../../dashboard/src/pages/aggregates/validity.ts'

const day = 86_400_000
const now = Date.UTC(2026, 5, 10)
const span = { from: now - 100 * day, to: now }
const iso = (at: number): string => new Date(at).toISOString()
const open = (...ranges: (readonly [number, number])[]) => ({
  entries: 0,
  count: ranges.length,
  ranges: ranges.map(([from, to]) => ({ from: iso(from), to: iso(to) })),
})

describe('what answers on the axis of time', () => {
  test('cells before the watermark but for what is open, rows beyond', () => {
    const watermark = iso(now - day)
    const ranges = open([now - 90 * day, now - 80 * day], [now - 5 * day, now - 4 * day])
    expect(
      validityParts({ watermark, open: ranges }, span).map(({ kind, from, to }) => [kind, (to - from) / day]),
    ).toEqual([
      ['valid', 10],
      ['open', 10],
      ['valid', 75],
      ['open', 1],
      ['valid', 3],
      ['rows', 1],
    ])
  })

  test('where nothing is valid yet, rows answer all of it', () => {
    expect(validityParts({ watermark: null, open: open() }, span)).toEqual([{ kind: 'rows', ...span }])
    expect(
      validityParts(
        { watermark: null, open: { entries: 0, count: 1, ranges: [{ from: '-infinity', to: iso(now) }] } },
        span,
      ),
    ).toEqual([{ kind: 'rows', ...span }])
  })

  test('an open range without a beginning begins with the axis', () => {
    const ranges = { entries: 1, count: 1, ranges: [{ from: '-infinity', to: iso(now - 50 * day) }] }
    expect(validityParts({ watermark: iso(now), open: ranges }, span)).toEqual([
      { kind: 'open', from: span.from, to: now - 50 * day },
      { kind: 'valid', from: now - 50 * day, to: now },
    ])
  })

  test('parts cover the axis from end to end, whatever is open', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: -50, max: 150 }), fc.integer({ min: 1, max: 40 })), {
          maxLength: 20,
        }),
        fc.option(fc.integer({ min: -20, max: 120 })),
        (shapes, mark) => {
          let at = -60
          const ranges = shapes.map(([from, length]) => {
            const begin = Math.max(at, from)
            at = begin + length
            return [span.from + begin * day, span.from + at * day] as const
          })
          const watermark = mark === null ? null : iso(span.from + mark * day)
          const parts = validityParts({ watermark, open: open(...ranges) }, span)
          expect(parts[0]!.from).toBe(span.from)
          expect(parts.at(-1)!.to).toBe(span.to)
          for (const [i, part] of parts.entries()) if (i > 0) expect(part.from).toBe(parts[i - 1]!.to)
        },
      ),
    )
  })

  test('the axis begins with the rows that an aggregate stands on, also through another aggregate', () => {
    const chunks = [{ from: iso(now - 30 * day) }] as never
    const aggregates = [
      { name: 'a.daily', from: 'a.hourly' },
      { name: 'a.hourly', from: 'm.requests' },
    ]
    expect(firstRowsOf('a.daily', aggregates, [{ name: 'm.requests', chunks }])).toBe(now - 30 * day)
    expect(firstRowsOf('a.daily', aggregates, [])).toBeNull()
    expect(validitySpan(now - 30 * day, iso(now - day), now)).toEqual({ from: now - 30 * day, to: now })
    expect(validitySpan(null, null, now)).toEqual({ from: now - day, to: now })
  })
})

describe('the declaration that is taught', () => {
  const column = (name: string, type: string) => ({
    name,
    type,
    nullable: false,
    hasDefault: false,
    comment: null,
  })

  test('names columns that are there', () => {
    const text = declarationFor([
      {
        name: 'm.models',
        kind: 'table',
        time: null,
        primaryKey: null,
        comment: null,
        aggregate: null,
        columns: [column('model', 'text')],
      },
      {
        name: 'm.page_views',
        kind: 'hypertable',
        time: 'time',
        primaryKey: ['id'],
        comment: null,
        aggregate: null,
        columns: [
          column('id', 'int8'),
          column('time', 'timestamptz'),
          column('path', 'text'),
          column('ms', 'float8'),
        ],
      },
    ])
    expect(text).toContain("continuousAggregate('aggregates.hourly_page_views'")
    expect(text).toContain('from: pageViews,')
    expect(text).toContain("by: ['path']")
    expect(text).toContain("rows: count(),\n    ms: avg('ms'),\n    p95: percentile('ms', 0.95),\n")
  })

  test('counts rows where there is nothing else, and is an example where there is no table', () => {
    const text = declarationFor([
      {
        name: 'm.ticks',
        kind: 'hypertable',
        time: 'time',
        primaryKey: null,
        comment: null,
        aggregate: null,
        columns: [column('time', 'timestamptz')],
      },
    ])
    expect(text).toContain('select: {\n    rows: count(),\n  },')
    expect(text).not.toContain('by:')
    expect(declarationFor([])).toContain("percentile('latency_ms', 0.95)")
  })
})
