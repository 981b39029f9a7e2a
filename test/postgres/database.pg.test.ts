import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
})
afterAll(() => test.drop())

describe('database', () => {
  it('answers a statement', async () => {
    const { rows, columns, rowCount } = await test.db.query(sql`select 1::int4 as one, ${2n}::int8 as two`)
    expect(rows).toEqual([[1, 2n]])
    expect(columns).toEqual(['one', 'two'])
    expect(rowCount).toBe(1)
  })
})
