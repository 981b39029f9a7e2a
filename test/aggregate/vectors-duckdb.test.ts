import { afterAll, describe, expect, it } from 'vitest'
import { states } from '../../src/aggregate/index.ts'
import { readVectors, specOf, valuesOf } from '../vectors/format.ts'
import { createDuckDBLane, decimalType, duckdbStates } from './duckdb-harness.ts'
import { bytesOf, finishAll } from './harness.ts'
import { expectSame, isBounded } from './same.ts'

const lane = createDuckDBLane(2)
afterAll(() => lane.close())

describe.each(readVectors())('the vectors of $state', ({ state: kind, cases }) => {
  // a file keeps numerics that no DECIMAL holds as text, and TypeScript adds them up
  const asColumn = cases.filter(
    (vector) => vector.input !== 'numeric' || decimalType(valuesOf(vector.values)),
  )

  it.each(asColumn)('DuckDB gives the bytes and the answers of $input: $name', async (vector) => {
    const spec = specOf(kind, vector)
    const values = valuesOf(vector.values)
    const rows = await lane.rows(vector.input, values, vector.times ?? null)
    for (const [form, from] of rows!) {
      const found = await duckdbStates(lane.duckdb, spec, from)
      const state = found.get(null) ?? states[kind].create(spec)
      if (isBounded(spec)) {
        const all = values.map((value, i) => ({ value, time: vector.times?.[i] ?? '0' }))
        expectSame(spec, state, states[kind].decode(Buffer.from(vector.state, 'hex'), spec), all)
        continue
      }
      expect(bytesOf(spec, state), form).toBe(vector.state)
      expect(finishAll(spec, state), form).toEqual(vector.finished)
    }
  })

  it('are nearly all columns of a file', () => {
    expect(asColumn.length).toBeGreaterThanOrEqual(cases.length - 4)
    expect(asColumn.length).toBeGreaterThan(5)
  })
})
