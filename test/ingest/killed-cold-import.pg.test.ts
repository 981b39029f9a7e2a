import { randomInt } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Tidemark } from '../../src/engine.ts'
import { raw } from '../../src/util/sql.ts'
import type { TestDatabase } from '../helpers/database.ts'
import { killWhenDone, startProcess } from '../helpers/processes.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { writeFile } from './files.ts'
import { killedConfig } from './killed-table.ts'

const records = 12_000
const isBad = (i: number): boolean => i % 97 === 5
const bad = Array.from({ length: records }, (_, i) => i).filter(isBad).length
/** Seven days, the last one first: chunks are met in another order than that of time. */
const content = `time,number,text\n${Array.from(
  { length: records },
  (_, i) =>
    `${1767225600 + ((i * 50 + 518_400) % 604_800)},${isBad(i) ? 'x' : i},"row ${i}${i % 10 === 0 ? '\nand more' : ''}"`,
).join('\n')}\n`

let engine: TestEngine
let test: TestDatabase
let tm: Tidemark
let root: string
beforeAll(async () => {
  engine = await createTestEngine(killedConfig)
  ;({ test, tm, root } = engine)
})
afterAll(() => engine.close())

async function numbers(query: string): Promise<number[]> {
  return (await test.db.query(raw(query))).rows[0]!.map(Number)
}

it('an import into the lake that is killed at random moments goes on; rows are in all at once, and once', async () => {
  const file = writeFile('killed.csv.gz', content, { gzip: true })
  const moments: string[] = []
  let kills = 0
  let before = 0
  try {
    for (;;) {
      // the last one is let go, or killed while it makes all rows visible
      const killAt = Math.min(before + randomInt(0, 5000), records)
      const waitMs = randomInt(0, killAt === records ? 300 : 60)
      moments.push(`${killAt}+${waitMs} ms`)
      const child = await startProcess('test/ingest/cold-import-child.ts', [
        ...[test.connectionString, root, file, '400'],
      ])
      const end = await killWhenDone(child, kills < 4 ? killAt : null, waitMs)
      const [state, staged, listed, noted, stagedRows, dead, letters, lines] = await numbers(`
        select
          (select count(*) from tidemark.import where state = 'done'),
          (select count(*) from tidemark.import_file),
          (select count(*) from tidemark.lake_file),
          (select coalesce(sum(rows), 0) from tidemark.import_batch),
          (select coalesce(sum((file ->> 'rowCount')::int8), 0) from tidemark.import_file),
          (select coalesce(sum(dead), 0) from (
            select dead from tidemark.import_batch union all select dead from tidemark.import where state = 'done'
          ) noted),
          (select count(*) from tidemark.dead_letter),
          (select count(distinct line) from tidemark.dead_letter)`)
      // all of it is visible, or nothing; what is noted is written
      expect([stagedRows, letters, lines]).toEqual([noted, dead, dead])
      expect(staged === 0 || listed === 0).toBe(true)
      const { rows } = await tm.queryUnknown('import.killed', {
        from: '2026-01-01T00:00:00Z',
        to: '2026-02-01T00:00:00Z',
        select: { n: { fn: 'count' } },
      })
      expect(rows).toEqual([{ n: state === 1 ? records - bad : 0 }])
      if (end === 'done' || state === 1) break
      expect(noted! + dead!).toBeGreaterThanOrEqual(before)
      before = noted! + dead!
      kills += 1
    }
  } catch (error) {
    throw new Error(`killed at ${moments.join(', ')}`, { cause: error })
  }
  expect(kills).toBeGreaterThan(0)
  const select = {
    n: { fn: 'count' },
    sum: { fn: 'sum', column: 'number' },
  }
  const { rows } = await tm.queryUnknown('import.killed', {
    from: '2026-01-01T00:00:00Z',
    to: '2026-02-01T00:00:00Z',
    select,
  })
  const sum = Array.from({ length: records }, (_, i) => (isBad(i) ? 0 : i)).reduce((a, b) => a + b, 0)
  expect(rows).toEqual([{ n: records - bad, sum: BigInt(sum) }])
  expect(await numbers('select count(*), count(distinct chunk_id) from tidemark.lake_file')).toMatchObject([
    expect.any(Number),
    7,
  ])
  const { problems, rows: verified } = await tm.verify()
  // files that a kill has left are strays, until the sweep takes them
  expect(problems.filter(({ kind }) => kind !== 'stray')).toEqual([])
  expect(verified).toBe(records - bad)
  await tm.thaw('import.killed', { all: true })
  expect(await numbers('select count(*), count(distinct number), sum(number) from import.killed')).toEqual([
    records - bad,
    records - bad,
    sum,
  ])
}, 120_000)
