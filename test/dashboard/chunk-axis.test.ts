import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  chunkColumns,
  chunkNear,
  type DrawnChunk,
  firstAfter,
  lanePaths,
  lookOf,
} from '../../dashboard/src/pages/storage/chunk-columns.ts'
import { axisTicks, createAxis, showing, zoomed } from '../../dashboard/src/pages/storage/time-axis.ts'
import { chosen, type WalkKey, walk } from '../../dashboard/src/pages/storage/walk.ts'

const day = 86_400_000
const start = Date.UTC(2020, 0, 1)

function chunk(place: number, more: Partial<DrawnChunk> = {}): DrawnChunk {
  const from = start + place * day
  return {
    from,
    to: from + day,
    state: 'cold',
    isMoving: false,
    hasError: false,
    bytes: 0,
    coldBytes: 1000,
    bytesBefore: 10_000,
    ...more,
  }
}

describe('columns of chunks', () => {
  test('each chunk is in exactly one column, columns do not overlap, and are never more than the pixels allow', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ gap: fc.integer({ min: 0, max: 5 }), days: fc.integer({ min: 1, max: 40 }) }), {
          minLength: 1,
          maxLength: 400,
        }),
        fc.integer({ min: 40, max: 1600 }),
        (shapes, width) => {
          let at = start
          const chunks = shapes.map(({ gap, days }) => {
            const from = at + gap * day
            at = from + days * day
            return { ...chunk(0), from, to: at }
          })
          const columns = chunkColumns(chunks, createAxis({ from: start, to: at }, width))
          const covered = columns.flatMap(({ first, last }) =>
            Array.from({ length: last - first + 1 }, (_, i) => first + i),
          )
          expect(covered).toEqual(chunks.map((_, i) => i))
          expect(columns.length).toBeLessThanOrEqual(width / 2.5 + 1)
          for (const [i, column] of columns.entries()) {
            expect(column.width).toBeGreaterThan(0)
            const next = columns[i + 1]
            if (next) expect(column.x + column.width).toBeLessThanOrEqual(next.x + 0.51)
          }
        },
      ),
    )
  })

  test('ten thousand chunks become a few hundred rectangles in five paths', () => {
    const chunks = Array.from({ length: 10_000 }, (_, i) => chunk(i))
    const axis = createAxis({ from: start, to: start + 10_000 * day }, 1200)
    const columns = chunkColumns(chunks, axis)
    expect(columns.length).toBeGreaterThan(300)
    expect(columns.length).toBeLessThanOrEqual(480)
    const paths = lanePaths(columns, { height: 48, band: 6, gap: 2 })
    expect(paths.looks.cold.split('M').length - 1).toBe(columns.length)
    expect(paths.looks.hot).toBe('')
  })

  test('what moves or failed is seen however many chunks rest beside it, and so is the largest', () => {
    const chunks = Array.from({ length: 5000 }, (_, i) => chunk(i))
    chunks[2500] = chunk(2500, { hasError: true })
    chunks[2501] = chunk(2501, { coldBytes: 900_000 })
    const columns = chunkColumns(chunks, createAxis({ from: start, to: start + 5000 * day }, 300))
    expect(columns.filter(({ look }) => look === 'failed')).toHaveLength(1)
    expect(Math.max(...columns.map(({ coldBytes }) => coldBytes))).toBe(900_000)
  })

  test('only what is in view is drawn, also a chunk that the view begins within', () => {
    const chunks = Array.from({ length: 10 }, (_, i) => chunk(i))
    const columns = chunkColumns(chunks, createAxis({ from: start + 2.5 * day, to: start + 4 * day }, 600))
    expect(columns.map(({ first }) => first)).toEqual([2, 3])
    expect(columns[0]!.x).toBe(0)
  })

  test('a bar shows what lies where: files below, late rows above, what it was as an outline', () => {
    const chunks = [
      chunk(0, { bytes: 500, state: 'delta' }),
      chunk(1, { state: 'hot', bytes: 10_000, coldBytes: 0, bytesBefore: null }),
    ]
    const columns = chunkColumns(chunks, createAxis({ from: start, to: start + 2 * day }, 100))
    const paths = lanePaths(columns, { height: 100, band: 6, gap: 2 })
    expect(paths.coldBytes).toBe('M0 90h49v10h-49z')
    expect(paths.lateBytes).toBe('M0 85h49v5h-49z')
    expect(paths.before).toBe('M0 0h49v85h-49z')
    expect(paths.hotBytes).toBe('M50 0h49v100h-49z')
    expect(paths.emptyBytes).toBe('')
    const moved = lanePaths(
      chunkColumns([chunk(0, { bytes: 500 })], createAxis({ from: start, to: start + day }, 50)),
      {
        height: 100,
        band: 6,
        gap: 2,
      },
    )
    // its rows have gone, and nobody came late
    expect(moved.emptyBytes).toBe('M0 85h49v5h-49z')
    expect(moved.lateBytes).toBe('')
    expect(paths.looks.delta).toBe('M0 102h49v6h-49z')
  })

  test('a chunk that is compacted looks as one that moves, and one that failed and is tried again, too', () => {
    expect(lookOf({ state: 'cold', isMoving: true, hasError: false })).toBe('moving')
    expect(lookOf({ state: 'freezing', isMoving: false, hasError: true })).toBe('moving')
    expect(lookOf({ state: 'hot', isMoving: false, hasError: true })).toBe('failed')
    expect(lookOf({ state: 'delta', isMoving: false, hasError: false })).toBe('delta')
  })
})

describe('finding a chunk', () => {
  const chunks = [chunk(0), chunk(1), chunk(10)]

  test('the one at a moment, and in a gap the nearer one', () => {
    expect(firstAfter(chunks, start + day)).toBe(1)
    expect(firstAfter(chunks, start + 11 * day)).toBe(3)
    expect(chunkNear(chunks, start + 1.5 * day)).toBe(1)
    expect(chunkNear(chunks, start + 3 * day)).toBe(1)
    expect(chunkNear(chunks, start + 9 * day)).toBe(2)
    expect(chunkNear(chunks, start - day)).toBe(0)
    expect(chunkNear(chunks, start + 100 * day)).toBe(2)
    expect(chunkNear([], start)).toBe(-1)
  })
})

describe('the axis', () => {
  test('ticks are borders of the calendar of the reader, also where clocks change', () => {
    const from = Date.parse('2026-03-28T00:00:00+01:00')
    const axis = createAxis({ from, to: from + 4 * day }, 500)
    expect(
      axisTicks(axis, 'Europe/Berlin').map(({ at, label }) => [new Date(at).toISOString(), label]),
    ).toEqual([
      ['2026-03-27T23:00:00.000Z', '2026-03-28'],
      ['2026-03-28T23:00:00.000Z', '2026-03-29'],
      ['2026-03-29T22:00:00.000Z', '2026-03-30'],
      ['2026-03-30T22:00:00.000Z', '2026-03-31'],
      ['2026-03-31T22:00:00.000Z', '2026-04-01'],
    ])
  })

  test('from minutes to centuries labels have room, ascend, and lie in view', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -2_000_000_000, max: 4_000_000_000 }),
        fc.integer({ min: 60, max: 20_000_000_000 }),
        fc.constantFrom('UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kolkata'),
        (seconds, length, zone) => {
          const span = { from: seconds * 1000, to: (seconds + length) * 1000 }
          const ticks = axisTicks(createAxis(span, 880), zone)
          expect(ticks.length).toBeLessThanOrEqual(12)
          for (const [i, { at, label }] of ticks.entries()) {
            expect(at >= span.from && at <= span.to).toBe(true)
            expect(label).not.toBe('')
            if (i > 0) expect(at).toBeGreaterThan(ticks[i - 1]!.at)
          }
        },
      ),
      { numRuns: 60 },
    )
  })

  test('months are named by the month, years by the year', () => {
    const year = createAxis({ from: Date.UTC(2026, 0, 1), to: Date.UTC(2027, 0, 1) }, 500)
    expect(axisTicks(year, 'UTC').map(({ label }) => label)).toEqual([
      '2026-01',
      '2026-04',
      '2026-07',
      '2026-10',
      '2027-01',
    ])
    const decade = createAxis({ from: Date.UTC(2015, 0, 1), to: Date.UTC(2025, 0, 1) }, 500)
    expect(axisTicks(decade, 'UTC').map(({ label }) => label)).toEqual(['2015', '2020', '2025'])
  })

  const whole = { from: 0, to: 100 * day }

  test('zooming keeps the point under it where it is, and never leaves the whole', () => {
    const half = zoomed(whole, whole, 0.5, 75 * day)
    expect(half).toEqual({ from: 37.5 * day, to: 87.5 * day })
    expect(zoomed(half, whole, 2, 40 * day)).toEqual(whole)
    expect(zoomed({ from: 0, to: 10 * day }, whole, 2, 0)).toEqual({ from: 0, to: 20 * day })
    const least = zoomed({ from: 0, to: 60_000 }, whole, 0.5, 0)
    expect(least.to - least.from).toBe(60_000)
  })

  test('the view moves no more than it takes to show a chunk', () => {
    const view = { from: 10 * day, to: 20 * day }
    expect(showing(view, whole, { from: 12 * day, to: 13 * day })).toBe(view)
    expect(showing(view, whole, { from: 20 * day, to: 21 * day })).toEqual({ from: 11 * day, to: 21 * day })
    expect(showing(view, whole, { from: 0, to: day })).toEqual({ from: 0, to: 10 * day })
  })
})

describe('walking with the keyboard', () => {
  const key = (name: string, more: Partial<WalkKey> = {}): WalkKey => ({
    key: name,
    shiftKey: false,
    ctrlKey: false,
    metaKey: false,
    altKey: false,
    ...more,
  })

  test('arrows walk and stop at the ends', () => {
    expect(walk({ anchor: 3, at: 3 }, 10, key('ArrowRight'))).toEqual({ anchor: 4, at: 4 })
    expect(walk({ anchor: 9, at: 9 }, 10, key('ArrowRight'))).toEqual({ anchor: 9, at: 9 })
    expect(walk({ anchor: 0, at: 0 }, 10, key('ArrowLeft'))).toEqual({ anchor: 0, at: 0 })
    expect(walk({ anchor: 3, at: 3 }, 10, key('PageUp'))).toEqual({ anchor: 9, at: 9 })
    expect(walk({ anchor: 3, at: 3 }, 10, key('Home'))).toEqual({ anchor: 0, at: 0 })
  })

  test('Shift chooses what is walked over, in both directions; Escape goes back to one', () => {
    const more = walk({ anchor: 3, at: 3 }, 10, key('End', { shiftKey: true }))!
    expect(chosen(more)).toEqual({ first: 3, last: 9 })
    const back = walk(more, 10, key('Home', { shiftKey: true }))!
    expect(chosen(back)).toEqual({ first: 0, last: 3 })
    expect(walk(back, 10, key('Escape'))).toEqual({ anchor: 0, at: 0 })
    expect(walk({ anchor: 0, at: 0 }, 10, key('Escape'))).toBeNull()
  })

  test('Ctrl+A and Cmd+A choose all; other keys are left to the browser', () => {
    expect(walk({ anchor: 3, at: 3 }, 10, key('a', { ctrlKey: true }))).toEqual({ anchor: 0, at: 9 })
    expect(walk({ anchor: 3, at: 3 }, 10, key('A', { metaKey: true }))).toEqual({ anchor: 0, at: 9 })
    expect(walk({ anchor: 3, at: 3 }, 10, key('ArrowLeft', { altKey: true }))).toBeNull()
    expect(walk({ anchor: 3, at: 3 }, 10, key('x'))).toBeNull()
    expect(walk({ anchor: 0, at: 0 }, 0, key('End'))).toBeNull()
  })
})
