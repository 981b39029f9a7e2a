import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Hours, hoursOf, hoursOfChange, maxBins, TagState } from '../../src/cache/tag-state.ts'
import { infinityInstant, minusInfinityInstant } from '../../src/time/index.ts'

const hour = 3_600_000_000n

describe('the state of a tag', () => {
  it('takes an answer for right until a change meets its ranges', () => {
    const state = TagState.begin('a')
    const before = state.version
    state.change([{ from: 10, to: 12 }])
    expect(state.isUntouched(before, [{ from: 0, to: 10 }])).toBe(true)
    expect(state.isUntouched(before, [{ from: 12, to: 20 }])).toBe(true)
    expect(state.isUntouched(before, [{ from: 0, to: 11 }])).toBe(false)
    expect(state.isUntouched(before, null)).toBe(false)
    expect(state.isUntouched(state.version, [{ from: 0, to: 11 }])).toBe(true)
    state.change(null)
    expect(state.isUntouched(before, [{ from: 0, to: 10 }])).toBe(false)
  })

  it('knows no version of another epoch', () => {
    expect(TagState.begin('a').isUntouched(TagState.begin('b').version, [])).toBe(false)
  })

  it('never says that an answer is right that a change has met, and is the same as text', () => {
    const seed = Date.now() & 0x7fffffff
    const someHours = fc
      .tuple(fc.integer({ min: -20, max: 2000 }), fc.integer({ min: 1, max: 30 }))
      .map(([from, width]): Hours => ({ from, to: from + width }))
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.array(someHours, { minLength: 1, maxLength: 4 }) },
      { weight: 1, arbitrary: fc.constant(null) },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 80 }), someHours, (steps, asked) => {
        const meets = (change: readonly Hours[] | null): boolean =>
          change === null || change.some(({ from, to }) => from < asked.to && asked.from < to)
        let state = TagState.begin('e')
        const versions = [state.version]
        for (const change of steps) {
          state.change(change)
          versions.push(state.version)
          state = TagState.parse(state.text)!
        }
        versions.forEach((version, at) => {
          if (steps.slice(at).some(meets)) expect(state.isUntouched(version, [asked])).toBe(false)
        })
        expect(state.isUntouched(state.version, [asked])).toBe(true)
      }),
      { seed },
    )
  })

  it('remembers a number of stretches, however many change', () => {
    const state = TagState.begin('e')
    const first = state.version
    for (let i = 0; i < 10 * maxBins; i++) state.change([{ from: 2 * i, to: 2 * i + 1 }])
    expect(state.text.split(';').length).toBe(maxBins)
    // what is given up counts as changed
    expect(state.isUntouched(first, [{ from: 1, to: 2 }])).toBe(false)
  })

  it('keeps what is old when only the newest hour changes, however often', () => {
    const state = TagState.begin('e')
    const first = state.version
    for (let i = 0; i < 1000; i++) state.change([{ from: 500, to: 501 }])
    expect(state.isUntouched(first, [{ from: 0, to: 500 }])).toBe(true)
  })
})

it('hours hold all of a range, before 1970 and at both ends of time', () => {
  expect(hoursOf({ from: 0n, to: hour })).toEqual({ from: 0, to: 1 })
  expect(hoursOf({ from: 1n, to: hour + 1n })).toEqual({ from: 0, to: 2 })
  expect(hoursOf({ from: -1n, to: 0n })).toEqual({ from: -1, to: 0 })
  expect(hoursOf({ from: 5n, to: 5n })).toEqual({ from: 0, to: 1 })
  const all = hoursOf({ from: minusInfinityInstant, to: infinityInstant })
  expect(all.from).toBeLessThan(hoursOf({ from: -200_000n * 24n * hour, to: 0n }).from)
  expect(all.to).toBeGreaterThan(1e9)
  const many = Array.from({ length: 50 }, (_, i) => ({
    from: BigInt(i) * 3n * hour,
    to: (BigInt(i) * 3n + 1n) * hour,
  }))
  expect(hoursOfChange(many)).toEqual([{ from: 0, to: 148 }])
})
