import fc from 'fast-check'
import { afterEach, expect, it, vi } from 'vitest'
import { createIds } from '../../src/tracker/ids.ts'

afterEach(() => vi.useRealTimers())

const uuid7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

it('ids are UUIDs of version 7 that sort in the order of their making, also when a clock stands still or goes back', () => {
  vi.useFakeTimers()
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: -10_000, max: 10_000 }), { minLength: 1, maxLength: 50 }),
      (steps) => {
        const newId = createIds()
        let now = Date.parse('2026-01-01T00:00:00Z')
        const ids = steps.flatMap((step) => {
          now += step
          vi.setSystemTime(now)
          return [newId(), newId(), newId()]
        })
        expect([...ids].sort()).toEqual(ids)
        expect(new Set(ids).size).toBe(ids.length)
        for (const id of ids) expect(id).toMatch(uuid7)
      },
    ),
  )
})

it('an id begins with the milliseconds of its making', () => {
  const before = Date.now()
  const id = createIds()()
  const ms = Number.parseInt(id.replace('-', '').slice(0, 12), 16)
  expect(ms).toBeGreaterThanOrEqual(before)
  expect(ms).toBeLessThanOrEqual(Date.now())
})
