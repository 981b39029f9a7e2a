import { beforeAll, describe, expect, it } from 'vitest'
import { states } from '../../src/aggregate/index.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { readVectors, specOf, valuesOf } from '../vectors/format.ts'
import { bytesOf, finishAll, postgresState } from './harness.ts'
import { expectSame, isBounded } from './same.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
})

describe.each(readVectors())('the vectors of $state', ({ state: kind, cases }) => {
  it.each(cases)('PostgreSQL gives the bytes and the answers of $input: $name', async (vector) => {
    const spec = specOf(kind, vector)
    const values = valuesOf(vector.values)
    const state = await postgresState(test.db, spec, values, vector.times ?? null)
    if (isBounded(spec)) {
      const rows = values.map((value, i) => ({ value, time: vector.times?.[i] ?? '0' }))
      expectSame(spec, state, states[kind].decode(Buffer.from(vector.state, 'hex'), spec), rows)
      return
    }
    expect(bytesOf(spec, state)).toBe(vector.state)
    expect(finishAll(spec, state)).toEqual(vector.finished)
  })
})
