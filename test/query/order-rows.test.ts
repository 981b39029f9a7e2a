import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { AggregateQueryNode } from '../../src/query/index.ts'
import { keyOrder, orderRows, type RowOrder } from '../../src/query/order-rows.ts'
import { compareNullable } from '../../src/query/values.ts'
import { hypertable, t } from '../../src/schema/index.ts'

/** With more rows than are sorted by comparing them. */
const text = fc.constantFrom(null, 'a', 'b', 'B', '', 'é', '\u{1f600}', '￿')
const number = fc.constantFrom(null, 0, 1, -1, Number.NaN, Number.POSITIVE_INFINITY)
const numeric = fc.constantFrom(null, '1', '1.0', '01', '-2', 'NaN')
const list = fc
  .constantFrom(null, [])
  .chain((none) => fc.oneof(fc.constant(none), fc.array(text, { maxLength: 2 })))
const rows = fc.array(fc.tuple(text, number, numeric, list), { minLength: 0, maxLength: 200 })
const types = ['text', 'float8', 'numeric', 'text[]'] as const

describe('rows in order', () => {
  it('are those that comparing them gives, equal ones as they lay', () => {
    fc.assert(
      fc.property(
        rows,
        fc.shuffledSubarray([0, 1, 2, 3], { minLength: 1 }),
        fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
        (some, by, descending) => {
          const order: RowOrder = by.map((i) => ({
            i,
            compare: (a, b) => compareNullable(types[i] as 'text', a, b, descending[i] as boolean),
          }))
          const expected = [...some].sort((a, b) => {
            for (const { i, compare } of order) if (compare(a[i], b[i]) !== 0) return compare(a[i], b[i])
            return 0
          })
          const found = [...some]
          orderRows(found, order)
          expect(found).toEqual(expected)
          // the very rows, not equal ones
          expect(found.every((row, i) => row === expected[i])).toBe(true)
        },
      ),
    )
  })

  it('are ordered by groups as an answer is where nothing is asked', () => {
    const dataset = hypertable('t.t', {
      columns: { time: t.timestamptz(), a: t.text(), b: t.int8() },
      time: 'time',
    })
    const by = ['a', 'b'].map((name) => ({ name, ref: { column: name, path: [] } }))
    const node = {
      kind: 'aggregate',
      dataset,
      bucket: {},
      by,
      select: [],
      fill: { kind: 'none' },
    } as unknown as AggregateQueryNode
    const keys = [
      ['b', 1n],
      ['a', 10n],
      [null, 0n],
      ['a', 9n],
      ['a', null],
    ]
    expect(keys.sort(keyOrder(node))).toEqual([
      ['a', 9n],
      ['a', 10n],
      ['a', null],
      ['b', 1n],
      [null, 0n],
    ])
  })
})
