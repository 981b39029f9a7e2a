import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  arrange,
  columns,
  compact,
  type Direction,
  firstGap,
  overlaps,
  type Place,
  type Placed,
  readingOrder,
  resize,
  smallest,
  step,
  tallest,
} from '../../dashboard/src/pages/boards/layout.ts'

const place = fc.record({
  x: fc.integer({ min: -2, max: 14 }),
  y: fc.integer({ min: -2, max: 20 }),
  w: fc.integer({ min: 0, max: 15 }),
  h: fc.integer({ min: 0, max: 9 }),
})
const wild = fc
  .array(place, { maxLength: 12 })
  .map((places) => places.map((at, i): Placed => ({ id: `p${i}`, place: at })))
const tidy = wild.map((panels) => compact(panels))
const some = tidy.filter((panels) => panels.length > 0)
const direction = fc.constantFrom<Direction>('left', 'right', 'up', 'down')

function assertTidy(panels: readonly Placed[]): void {
  for (const [i, { place: a }] of panels.entries()) {
    expect(a.x >= 0 && a.x + a.w <= columns && a.y >= 0).toBe(true)
    expect(a.w >= smallest.w && a.h >= smallest.h && a.h <= tallest).toBe(true)
    const others = panels.filter((_, k) => k !== i)
    expect(others.some((b) => overlaps(a, b.place))).toBe(false)
    const couldRise = a.y > 0 && !others.some((b) => overlaps({ ...a, y: a.y - 1 }, b.place))
    expect(couldRise).toBe(false)
  }
}

const at = (panels: readonly Placed[], id: string): Place =>
  panels.find((panel) => panel.id === id)?.place as Place
const row = (...places: readonly (readonly [string, number, number, number, number])[]): Placed[] =>
  places.map(([id, x, y, w, h]) => ({ id, place: { x, y, w, h } }))

describe('the layout of a board', () => {
  it('never overlaps, never leaves the grid and leaves no gap above, whatever came in', () => {
    fc.assert(fc.property(wild, (panels) => assertTidy(compact(panels))))
  })

  it('is stable: what is compact stays as it is, object by object', () => {
    fc.assert(
      fc.property(tidy, (panels) => {
        const again = compact(panels)
        expect(again.every((panel, i) => panel === panels[i])).toBe(true)
      }),
    )
  })

  it('keeps every panel, its place in the list and its size, wherever one is dragged', () => {
    fc.assert(
      fc.property(some, fc.nat(), place, (panels, pick, target) => {
        const { id } = panels[pick % panels.length] as Placed
        const next = arrange(panels, id, target)
        assertTidy(next)
        expect(next.map((panel) => panel.id)).toEqual(panels.map((panel) => panel.id))
        for (const [i, panel] of next.entries()) {
          if (panel.id === id) continue
          const was = panels[i] as Placed
          expect([panel.place.w, panel.place.h]).toEqual([was.place.w, was.place.h])
        }
      }),
    )
  })

  it('is not changed by a drag that ends where it began', () => {
    fc.assert(
      fc.property(some, fc.nat(), (panels, pick) => {
        const { id, place: own } = panels[pick % panels.length] as Placed
        expect(arrange(panels, id, own)).toEqual(panels)
      }),
    )
  })

  it('is tidy after any steps and sizes by keyboard, and a step up or down goes that way or nowhere', () => {
    fc.assert(
      fc.property(
        some,
        fc.array(fc.tuple(fc.nat(), direction, fc.boolean()), { minLength: 1, maxLength: 8 }),
        (panels, acts) => {
          let now: readonly Placed[] = panels
          for (const [pick, way, isResize] of acts) {
            const { id, place: before } = now[pick % now.length] as Placed
            const next = isResize ? resize(now, id, way) : step(now, id, way)
            assertTidy(next)
            if (!isResize && next !== now && way === 'up') expect(at(next, id).y).toBeLessThan(before.y)
            if (!isResize && next !== now && way === 'down') expect(at(next, id).y).toBeGreaterThan(before.y)
            if (!isResize && next !== now && way === 'left') expect(at(next, id).x).toBeLessThan(before.x)
            if (!isResize && next !== now && way === 'right') expect(at(next, id).x).toBeGreaterThan(before.x)
            now = next
          }
        },
      ),
    )
  })

  it('lets two neighbours change sides with one key, and comes back with the other', () => {
    const two = row(['a', 0, 0, 6, 4], ['b', 6, 0, 6, 4])
    const swapped = step(two, 'a', 'right')
    expect(swapped).toEqual(row(['a', 6, 0, 6, 4], ['b', 0, 0, 6, 4]))
    expect(step(swapped, 'a', 'left')).toEqual(two)
  })

  it('passes a panel below with one key, whatever its height', () => {
    const stack = row(['a', 0, 0, 12, 4], ['b', 0, 4, 12, 7])
    expect(step(stack, 'a', 'down')).toEqual(row(['a', 0, 7, 12, 4], ['b', 0, 0, 12, 7]))
    expect(step(stack, 'b', 'up')).toEqual(row(['a', 0, 7, 12, 4], ['b', 0, 0, 12, 7]))
  })

  it('says by the same list that there is nowhere to go', () => {
    const one = row(['a', 0, 0, 12, tallest])
    for (const way of ['left', 'right', 'up', 'down'] as const) expect(step(one, 'a', way)).toBe(one)
    expect(resize(one, 'a', 'right')).toBe(one)
    expect(resize(one, 'a', 'down')).toBe(one)
  })

  it('puts a new panel into the first gap that is large enough', () => {
    const gap = row(['a', 0, 0, 6, 4], ['b', 0, 4, 12, 4])
    expect(firstGap(gap, { w: 6, h: 4 })).toEqual({ x: 6, y: 0, w: 6, h: 4 })
    expect(firstGap(gap, { w: 7, h: 4 })).toEqual({ x: 0, y: 8, w: 7, h: 4 })
    fc.assert(
      fc.property(tidy, fc.integer({ min: 2, max: 12 }), fc.integer({ min: 2, max: 9 }), (panels, w, h) => {
        const added = [...panels, { id: 'new', place: firstGap(panels, { w, h }) }]
        expect(added.some((a) => a.id !== 'new' && overlaps(a.place, at(added, 'new')))).toBe(false)
        // what was there stays
        expect(compact(added).slice(0, -1)).toEqual(panels)
      }),
    )
  })

  it('is read line by line, from left to right', () => {
    const panels = row(['c', 0, 4, 12, 4], ['b', 6, 0, 6, 4], ['a', 0, 0, 6, 4])
    expect(readingOrder(panels).map(({ id }) => id)).toEqual(['a', 'b', 'c'])
  })
})
