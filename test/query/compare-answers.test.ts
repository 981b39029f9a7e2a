import { describe, expect, it } from 'vitest'
import { type AggregateQueryNode, compareAnswers, parseQuery } from '../../src/query/index.ts'
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
      notCompared: [],
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
