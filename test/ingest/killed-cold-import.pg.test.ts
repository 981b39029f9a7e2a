import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { writeFile } from './files.ts'
import { killedConfig } from './killed-table.ts'

const jiti = fileURLToPath(new URL('../../node_modules/jiti/lib/jiti-cli.mjs', import.meta.url))
const child = fileURLToPath(new URL('cold-import-child.ts', import.meta.url))

const records = 30_000
const isBad = (i: number): boolean => i % 97 === 5
const bad = Array.from({ length: records }, (_, i) => i).filter(isBad).length
/** Seven days, the last one first: chunks are met in another order than that of time. */
const content = `time,number,text\n${Array.from(
  { length: records },
  (_, i) =>
    `${1767225600 + ((i * 20 + 518_400) % 604_800)},${isBad(i) ? 'x' : i},"row ${i}${i % 10 === 0 ? '\nand more' : ''}"`,
).join('\n')}\n`

let test: TestDatabase
let root: string
let tm: Tidemark
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
  root = await mkdtemp(join(tmpdir(), 'tidemark-killed-cold-'))
  tm = await createTidemark(killedConfig, { connectionString: test.connectionString, root })
  await tm.migrate()
})
const running = new Set<ChildProcess>()
afterAll(async () => {
  for (const process of running) process.kill('SIGKILL')
  await tm.close()
  await test.drop()
  await rm(root, { recursive: true, force: true })
})

async function numbers(query: string): Promise<number[]> {
  return (await test.db.query(raw(query))).rows[0]!.map(Number)
}

/** Kills the import when it has told of `killAt` written records, then `waitMs` later. */
async function run(file: string, killAt: number | null, waitMs: number): Promise<'killed' | 'done'> {
  const process_ = spawn(process.execPath, [jiti, child, test.connectionString, root, file, '1000'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(process_)
  let output = ''
  process_.stderr.on('data', (data) => {
    output += data
  })
  createInterface({ input: process_.stdout }).on('line', (line) => {
    output += `${line}\n`
    if (killAt !== null && Number(line) >= killAt) setTimeout(() => process_.kill('SIGKILL'), waitMs)
  })
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    process_.on('close', (...how) => resolve(how)),
  )
  running.delete(process_)
  if (signal === 'SIGKILL') return 'killed'
  if (code !== 0) throw new Error(`the import failed:\n${output}`)
  return 'done'
}

it('an import into the lake that is killed at random moments goes on; rows are in all at once, and once', async () => {
  const file = writeFile('killed.csv.gz', content, { gzip: true })
  const moments: string[] = []
  let kills = 0
  let before = 0
  try {
    for (;;) {
      // the last one is let go, or killed while it makes all rows visible
      const killAt = Math.min(before + randomInt(0, 12_000), records)
      const waitMs = randomInt(0, killAt === records ? 300 : 60)
      moments.push(`${killAt}+${waitMs} ms`)
      const end = await run(file, kills < 4 ? killAt : null, waitMs)
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
