import { randomInt } from 'node:crypto'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createHotWriter } from '../../src/hot/index.ts'
import { importFile } from '../../src/ingest/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { killWhenDone, type Running, startProcess } from '../helpers/processes.ts'
import { createTestHypertable, testChunks } from '../hot/create-test-hypertable.ts'
import { writeFile } from './files.ts'
import { killed } from './killed-table.ts'

const records = 12_000
const isBad = (i: number): boolean => i % 97 === 5
const bad = Array.from({ length: records }, (_, i) => i).filter(isBad).length
const content = `time,number,text\n${Array.from(
  { length: records },
  (_, i) => `${1767225600 + i * 20},${isBad(i) ? 'x' : i},"row ${i}${i % 10 === 0 ? '\nand more' : ''}"`,
).join('\n')}\n`

let test: TestDatabase

beforeAll(async () => {
  test = await createTestDatabase()
  await createTestHypertable(test.db, killed)
})
afterAll(() => test.drop())

async function numbers(query: string): Promise<number[]> {
  return (await test.db.query(raw(query))).rows[0]!.map(Number)
}

const start = (file: string, batchRows: number, connections: number): Promise<Running> =>
  startProcess('test/ingest/import-child.ts', [
    test.connectionString,
    file,
    String(batchRows),
    String(connections),
  ])

it('an import that is killed at random moments goes on, and every row is in exactly once', async () => {
  const file = writeFile('killed.csv.gz', content, { gzip: true })
  const moments: string[] = []
  let kills = 0
  try {
    for (;;) {
      const [committed] = await numbers('select count(*) from import.killed')
      const killAt = committed! + randomInt(1, 4500)
      const waitMs = randomInt(0, 12)
      moments.push(`${killAt}+${waitMs} ms`)
      const end = await killWhenDone(
        await start(file, 150, 2),
        killAt > records - 800 ? null : killAt,
        waitMs,
      )
      // one statement: a commit of the killed process may still land between two
      const [rows, distinct, noted, dead, letters, lines] = await numbers(
        `select
          (select count(*) from import.killed),
          (select count(distinct number) from import.killed),
          (select sum(rows) from (
            select rows from tidemark.import_batch union all select rows from tidemark.import where state = 'done'
          ) noted),
          (select sum(dead) from (
            select dead from tidemark.import_batch union all select dead from tidemark.import where state = 'done'
          ) noted),
          (select count(*) from tidemark.dead_letter),
          (select count(distinct line) from tidemark.dead_letter)`,
      )
      // what is in is in once, and is what the import says is in
      expect([distinct, noted, letters, lines]).toEqual([rows, rows, dead, dead])
      if (end === 'done') break
      kills += 1
      // the kill may come just after the last commit
      const [done] = await numbers(`select count(*) from tidemark.import where state = 'done'`)
      if (done === 1) break
    }
  } catch (error) {
    throw new Error(`killed at ${moments.join(', ')}`, { cause: error })
  }
  expect(kills).toBeGreaterThan(0)
  expect(
    await numbers(
      'select count(*), count(distinct number), sum(number), count(distinct time) from import.killed',
    ),
  ).toEqual([
    records - bad,
    records - bad,
    Array.from({ length: records }, (_, i) => (isBad(i) ? 0 : i)).reduce((a, b) => a + b, 0),
    records - bad,
  ])
  expect(await numbers(`select count(*) from tidemark.dead_letter where reason = 'type'`)).toEqual([bad])
}, 120_000)

it('a process that was thought dead cannot commit after another one has taken over', async () => {
  const file = writeFile('stopped.csv', content.replaceAll('row', 'line'))
  const stopped = await start(file, 100, 1)
  await new Promise<void>((resolve) =>
    createInterface({ input: stopped.process.stdout! }).on('line', (line) => Number(line) > 0 && resolve()),
  )
  stopped.process.kill('SIGSTOP')
  // its lock goes with its connection, as after a network that was cut; the process itself does not know yet
  await test.db.query(
    raw(`select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and state = 'idle in transaction' and pid <> pg_backend_pid()`),
  )
  const before = await numbers(`select count(*) from import.killed where text like 'line%'`)
  expect(before[0]).toBeLessThan(records - bad)
  const report = await importFile({
    db: test.db,
    writer: createHotWriter({ db: test.db, chunks: testChunks(test.db), loadRows: 200 }),
    definition: killed,
    file,
    options: { timeFormat: 'unix-s' },
  })
  stopped.process.kill('SIGCONT')
  expect((await stopped.ended).err).not.toBe('')
  expect(report).toMatchObject({ isResumed: true, rows: records - bad, dead: bad })
  expect(
    await numbers(`select count(*), count(distinct number) from import.killed where text like 'line%'`),
  ).toEqual([records - bad, records - bad])
}, 120_000)
