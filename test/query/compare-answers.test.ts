import { describe, expect, it } from 'vitest'
import {
  type AggregateQueryNode,
  comparableQuestion,
  compareAnswers,
  parseQuery,
} from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { fixedClock } from '../../src/time/index.ts'

const readings = hypertable('readings', {
  columns: { time: t.timestamptz(), serial: t.int8().nullable(), value: t.float8().nullable() },
  time: 'time',
})
const node = parseQuery(
  { by: ['value', 'serial'], select: { n: { fn: 'count' }, most: { fn: 'max', column: 'value' } } },
  { dataset: readings, clock: fixedClock(0n) },
) as AggregateQueryNode

/** Groups that JSON has one word for, or none. */
const rows = [Number.NaN, Infinity, -Infinity, null, 1.5].flatMap((value, i) =>
  [null, 7n, 9007199254740993n].map((serial) => ({ value, serial, n: i + 1, most: value })),
)

describe('two computations of one question', () => {
  it('agree when groups are NaN, infinities, null, and integers of 64 bits', () => {
    expect(compareAnswers(node, rows, [...rows].reverse())).toEqual({
      differences: [],
      total: 0,
    })
  })

  it('differ when one says NaN and the other null, or infinity', () => {
    const [nan, ...rest] = rows as [(typeof rows)[number], ...typeof rows]
    for (const most of [null, Infinity, 0])
      expect(compareAnswers(node, [nan], [{ ...nan, most }]).total).toBe(1)
    expect(compareAnswers(node, [nan], rest).total).toBe(rows.length)
  })

  it('name a group that differs in JSON', () => {
    const serial = 9007199254740993n
    const { differences } = compareAnswers(node, [{ value: Infinity, serial, n: 1, most: 1 }], [])
    expect(differences[0]?.keys).toEqual({ value: 'Infinity', serial: String(serial) })
  })
})

describe('the most frequent values of two computations', () => {
  const asked = parseQuery(
    { select: { top: { fn: 'topK', column: 'serial', k: 2 } } },
    { dataset: readings, clock: fixedClock(0n) },
  ) as AggregateQueryNode
  const wider = comparableQuestion(asked)!.select[1]!
  const top = (value: number, count: number, error = 0) => ({ value: BigInt(value), count, error })
  const differences = (answered: readonly object[], computed: readonly object[]) =>
    compareAnswers(asked, [{ top: answered }], [{ top: computed, [wider.name]: computed }]).total
  const many = (rest: number) => Array.from({ length: rest }, (_, i) => top(100 + i, 1))

  it('are asked for until it is known that nothing was dropped', () => {
    expect(wider.aggregate).toMatchObject({ fn: 'topK', k: 257 })
  })

  it('are the same where all values are kept', () => {
    const all = [top(1, 9), top(2, 5), top(3, 5)]
    expect(differences([top(1, 9), top(2, 5)], all)).toBe(0)
    for (const wrong of [
      [top(1, 8), top(2, 5)],
      [top(1, 9), top(3, 5)],
      [top(1, 9, 1), top(2, 5)],
      [top(1, 9)],
      [],
    ])
      expect(differences(wrong, all), JSON.stringify(wrong.map(({ count }) => count))).toBe(1)
  })

  it('differ beyond only where the bounds contradict', () => {
    const all = [top(1, 9, 2), top(2, 5), ...many(255)]
    for (const right of [
      [top(1, 9, 2), top(2, 5)],
      [top(1, 7, 2), top(7, 3, 9)],
      [top(1, 11), top(2, 1, 4)],
    ])
      expect(differences(right, all)).toBe(0)
    for (const wrong of [[top(1, 12), top(2, 5)], [top(1, 9, 2), top(2, 1, 3)], [top(1, 9, 2)]])
      expect(differences(wrong, all)).toBe(1)
  })
})

describe('counters and averages over time of two computations', () => {
  const asked = parseQuery(
    {
      select: {
        grown: { fn: 'increase', column: 'value', series: ['serial'] },
        speed: { fn: 'rate', column: 'value', series: ['serial'] },
        held: { fn: 'timeWeightedAvg', column: 'value', series: ['serial'] },
      },
    },
    { dataset: readings, clock: fixedClock(0n) },
  ) as AggregateQueryNode
  const scales = comparableQuestion(asked)!.select.slice(3)
  const row = { grown: 30, speed: 0.3, held: 2.5 }
  const computed = Object.fromEntries([
    ...Object.entries(row),
    ...scales.map(({ name, aggregate: { fn } }) => [name, fn === 'count' ? 10 : fn === 'min' ? -5 : 20]),
  ])

  it('may differ by their rounding and no more', () => {
    expect(scales.map(({ aggregate: { fn, series } }) => [fn, series])).toEqual(
      Array.from({ length: 3 }, () => ['count', 'min', 'max'].map((fn) => [fn, undefined])).flat(),
    )
    const differences = (changed: object) => compareAnswers(asked, [{ ...row, ...changed }], [computed]).total
    for (const right of [{}, { grown: 30 + 1e-13 }, { speed: 0.3 + 1e-14 }, { held: 2.5 + 1e-14 }])
      expect(differences(right), JSON.stringify(right)).toBe(0)
    for (const wrong of [
      { grown: 30.001 },
      { speed: 0.31 },
      { held: 2.501 },
      { grown: null },
      { speed: Number.NaN },
    ])
      expect(differences(wrong), JSON.stringify(wrong)).toBe(1)
  })
})
