import { afterAll, beforeAll, expect, it } from 'vitest'
import { createHotWriter } from '../../src/hot/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, readings, testChunks } from './create-test-hypertable.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, readings)
})
afterAll(() => test.drop())

/** Keys in an order that PostgreSQL's sort, which is not stable, does not keep. */
function rowsOf(day: string, count: number) {
  return Array.from({ length: count }, (_, i) => ({
    time: `${day}T00:00:0${(i * 7) % 5}Z`,
    tenant: 't',
    sensor: `s${(i * 13) % 11}`,
    value: i,
  }))
}

it.each([
  ['2026-01-01', 150, 'in one statement'],
  ['2026-01-02', 900, 'by COPY'],
])(
  'of rows of one key in a call the first one is written when conflicts are ignored (%s, %i rows %s)',
  async (day, count) => {
    const rows = rowsOf(day, count)
    const firsts = new Map<string, number>()
    for (const { time, sensor, value } of rows)
      if (!firsts.has(`${time} ${sensor}`)) firsts.set(`${time} ${sensor}`, value)
    const writer = createHotWriter({ db: test.db, chunks: testChunks(test.db) })
    expect(await writer.insert(readings, rows, { onConflict: 'ignore' })).toEqual({
      inserted: firsts.size,
      ignored: count - firsts.size,
    })
    const { rows: found } = await test.db.query(
      raw(
        `select value from readings where time >= '${day}' and time < timestamptz '${day}' + interval '1 day' order by 1`,
      ),
    )
    expect(found.map(([value]) => value)).toEqual([...firsts.values()].sort((a, b) => a - b))
  },
)
