import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTidemark, defineConfig, hypertable, type Tidemark, t } from '../../src/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createCommandLine } from '../helpers/command-line.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const config = (more: string) => `
import { continuousAggregate, count, max, sum } from 'tidemark'
import { defineConfig, hypertable, t } from 'tidemark/schema'
const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), ms: t.int8() }, time: 'time', chunk: '1 day', retain: '10 days',
})
const hourly = continuousAggregate('stats.hourly', {
  from: requests, bucket: '1 hour', select: { n: count(), total: sum('ms')${more} }, refresh: { every: '1 minute' },
})
export default defineConfig({ datasets: [requests, hourly] })
`

const dayMs = 86_400_000
const today = Math.floor(Date.now() / dayMs) * dayMs
const daysAgo = (days: number) => new Date(today - days * dayMs).toISOString().replace('.000Z', 'Z')

let test: TestDatabase
let folder: string
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-refresh-'))
  await writeFile(join(folder, 'tidemark.config.ts'), config(''))
  expect(await run('migrate')).toMatchObject({ code: 0 })
  await withEngine((tm) =>
    tm.insertUnknown(
      'metrics.requests',
      [30, 20, 2].map((days) => ({ time: daysAgo(days), ms: days })),
    ),
  )
}, 60_000)
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
  await test.drop()
})

const { run, json } = createCommandLine({
  cwd: () => folder,
  env: () => ({ DATABASE_URL: test.connectionString }),
})

/** The rows alone, for what has no command. */
async function withEngine(use: (tm: Tidemark) => Promise<unknown>): Promise<void> {
  const requests = hypertable('metrics.requests', {
    columns: { time: t.timestamptz(), ms: t.int8() },
    time: 'time',
    chunk: '1 day',
    retain: '10 days',
  })
  const { connectionString } = test
  await using tm = await createTidemark(defineConfig({ datasets: [requests] }), {
    connectionString,
    root: folder,
  })
  await use(tm)
}

it('computes what is not valid, and says what was done', async () => {
  const first = await run('refresh', 'stats.hourly')
  expect(first).toMatchObject({ code: 0, out: expect.stringContaining('stats.hourly: 3 cells from 3 rows') })
  expect(await run('refresh')).toMatchObject({ code: 0, out: expect.stringContaining('nothing to do') })
  const again = await json('refresh', 'stats.hourly', '--from', daysAgo(21), '--to', daysAgo(19))
  expect(again).toMatchObject({ code: 0, data: { refreshes: [{ cells: 1, versions: [{ left: [] }] }] } })
})

it('says which part of a range it has left as it was, and why', async () => {
  await withEngine(async (tm) => {
    expect(await tm.expire('metrics.requests', { olderThan: daysAgo(25) })).toMatchObject({ chunks: 1 })
  })
  const left = `stats.hourly from ${daysAgo(30)} to ${daysAgo(29)} was left: retention has dropped its rows`
  const { code, out } = await run('refresh', 'stats.hourly', '--from', daysAgo(40))
  expect(code).toBe(0)
  expect(out).toContain(left)
  expect(out).toContain('2 cells from 2 rows')
  const { data } = await json('refresh', 'stats.hourly', '--from', daysAgo(40), '--to', daysAgo(25))
  expect(data.refreshes[0].versions[0].left).toEqual([
    { from: daysAgo(30), to: daysAgo(29), reason: expect.stringContaining('the cells stay as they are') },
  ])
})

it('fails when a new version is not what the current one is, and raises an alarm', async () => {
  const { rows } = await test.db.query(raw('select relation_name from tidemark.aggregate_version'))
  await test.db.execute(
    `update tidemark_aggregates."${rows[0]![0]}" set state_0_n = 9 where bucket = '${daysAgo(2)}'`,
  )
  await writeFile(join(folder, 'tidemark.config.ts'), config(`, most: max('ms')`))
  expect(await run('migrate')).toMatchObject({ code: 0 })
  expect(await run('refresh')).toMatchObject({ code: 1, out: expect.stringContaining('not swapped in') })
  const { code, out } = await run('alarms')
  expect(code).toBe(1)
  expect(out).toMatch(/new version stats\.hourly: 1 time.*\n.*"n" is/)
})
