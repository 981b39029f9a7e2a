import { expect, test } from 'vitest'
import { createDuckDB } from '../../src/lake/duckdb.ts'
import { sql } from '../../src/util/sql.ts'

const temporaryTables = sql`select count(*)::integer from duckdb_tables() where temporary`

test('a temporary table that a failed reader has left is not met by the next one', async () => {
  const duckdb = createDuckDB({ threads: 1 })
  try {
    const leaving = duckdb.withConnection(null, async (connection) => {
      await connection.run('create temporary table left_over (a integer)')
      throw new Error('before it was dropped')
    })
    await expect(leaving).rejects.toThrow('before it was dropped')
    expect(await duckdb.query(temporaryTables, null)).toEqual({ rows: [[0]] })
  } finally {
    await duckdb.close()
  }
})
