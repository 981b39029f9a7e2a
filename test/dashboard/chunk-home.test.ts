import { expect, test } from 'vitest'
import { homeSpan, type Lane, wholeSpan } from '../../dashboard/src/pages/storage/chunk-model.ts'

const day = 86_400_000

/** A table with chunks of a day on these days, of which some hold rows. */
function lane(days: readonly { readonly at: number; readonly rows: number }[]): Lane {
  return {
    dataset: { chunks: days.map(({ rows }) => ({ rows })) },
    drawn: days.map(({ at }) => ({ from: at * day, to: (at + 1) * day })),
  } as unknown as Lane
}

test('the axis begins with what holds rows where chunks made ahead would leave nearly all of it empty', () => {
  const lanes = [lane([...Array.from({ length: 10 }, (_, at) => ({ at, rows: 5 })), { at: 9000, rows: 0 }])]
  const whole = wholeSpan(lanes, 9000 * day)!
  expect(whole).toEqual({ from: 0, to: 9001 * day })
  expect(homeSpan(lanes, whole)).toEqual({ from: 0, to: 10.5 * day })
})

test('the axis is whole where rows are over a quarter of it or more, and where there are none', () => {
  const some = [
    lane([
      { at: 0, rows: 5 },
      { at: 3, rows: 0 },
    ]),
  ]
  expect(homeSpan(some, wholeSpan(some, 3 * day)!)).toEqual({ from: 0, to: 4 * day })
  const none = [
    lane([
      { at: 0, rows: 0 },
      { at: 300, rows: 0 },
    ]),
  ]
  expect(homeSpan(none, wholeSpan(none, 3 * day)!)).toEqual({ from: 0, to: 301 * day })
})
