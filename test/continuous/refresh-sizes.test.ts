import { expect, it } from 'vitest'
import { createRefreshSizes } from '../../src/continuous/refresh-sizes.ts'
import type { AggregateVersion } from '../../src/continuous/version.ts'
import { materializationOf } from '../../src/query/index.ts'
import { readings } from '../lifecycle/fixture.ts'
import { aggregateOf } from './cells-fixture.ts'

const sketched = aggregateOf('hourly', readings, {
  bucket: '1 hour',
  by: ['sensor'],
  select: { users: { fn: 'uniques', column: 'value' } },
})
const version = { materialization: materializationOf(sketched) } as AggregateVersion
const sizes = () => createRefreshSizes(version, { maxRows: 1_000_000, maxBytes: 10_000_000 })

it('small cells let twice as many be asked for each time, up to eight times what was expected', () => {
  const some = sizes()
  const first = some.maxCells()
  const asked = Array.from({ length: 5 }, () => {
    some.learn({ rows: 100, cells: 100, bytes: 100 })
    return Math.round((some.maxCells() / first) * 10) / 10
  })
  expect(asked).toEqual([2, 4, 8, 8, 8])
})

it('large cells let fewer be asked for at once, and fewer rows', () => {
  const some = sizes()
  some.learn({ rows: 1000, cells: 100, bytes: 100 * 100_000 })
  expect(some.maxCells()).toBeLessThan(100)
  expect(some.maxRows()).toBeLessThan(1000)
})

it('rows are asked for by how many cells they have, and a part of all keys where one bucket has too many', () => {
  const some = sizes()
  expect(some.maxRows()).toBe(1_000_000)
  expect(some.nextShare({ rows: 1_000_000 })).toBe(1)
  some.learn({ rows: 1000, cells: 500, bytes: 500 * 4000 })
  expect(some.maxRows()).toBe(Math.floor((some.maxCells() * 0.8) / 0.5))
  expect(some.nextShare({ rows: some.maxCells() * 4 })).toBeCloseTo(0.4)
  expect(some.nextShare({ share: 0.1, cells: some.maxCells() * 0.8 })).toBeCloseTo(0.1)
})

it('what took too long is tried with an eighth, three times', () => {
  const some = sizes()
  const first = some.maxRows()
  expect([some.shrink(), some.shrink(), some.shrink(), some.shrink()]).toEqual([true, true, true, false])
  expect(some.maxRows()).toBe(Math.floor(first / 8 ** 4))
})
