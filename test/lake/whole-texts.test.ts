import { afterAll, expect, test } from 'vitest'
import { createDuckDB } from '../../src/lake/duckdb.ts'
import { sql } from '../../src/util/sql.ts'

const duckdb = createDuckDB({ threads: 1 })
afterAll(() => duckdb.close())

test('a text that begins with U+FEFF comes out of DuckDB whole', async () => {
  const texts = ['\uFEFFa', '\uFEFF\uFEFF a text of more than twelve bytes', '\uFEFF']
  const { rows } = await duckdb.query(
    sql`select ${texts[0]}::varchar, ${texts[1]}::varchar, [${texts[2]}::varchar]`,
    null,
  )
  expect(rows).toEqual([[texts[0], texts[1], [texts[2]]]])
})
