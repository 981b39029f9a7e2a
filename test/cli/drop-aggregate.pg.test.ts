import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { raw } from '../../src/util/sql.ts'
import { shellActs } from '../helpers/audit-entries.ts'
import { createCommandLine } from '../helpers/command-line.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const config = (datasets: string) => `
import { continuousAggregate, count } from 'tidemark'
import { defineConfig, hypertable, t } from 'tidemark/schema'
const requests = hypertable('metrics.requests', { columns: { time: t.timestamptz() }, time: 'time', chunk: '1 day' })
const hourly = continuousAggregate('stats.hourly', { from: requests, bucket: '1 hour', select: { n: count() } })
export default defineConfig({ datasets: [${datasets}] })
`

let test: TestDatabase
let folder: string
const declare = (datasets: string) => writeFile(join(folder, 'tidemark.config.ts'), config(datasets))
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-drop-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
  await test.drop()
})

const { run, json } = createCommandLine({
  cwd: () => folder,
  env: () => ({ DATABASE_URL: test.connectionString }),
})

it('an aggregate that is declared no more is named with the command that drops it, and that command does', async () => {
  await declare('requests, hourly')
  expect(await run('migrate')).toMatchObject({ code: 0 })
  expect(await run('migrate', '--drop-aggregate', 'stats.hourly')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/stats\.hourly is declared.*take its declaration away first/),
  })

  await declare('requests')
  const command = 'tidemark migrate --drop-aggregate stats.hourly'
  expect((await run('migrate')).out).toMatch(
    new RegExp(`stats\\.hourly is no longer declared.*change log.*retention.*${command}`),
  )
  expect((await json('migrate')).data).toMatchObject({
    undeclared: ['stats.hourly'],
    undeclaredAggregates: ['stats.hourly'],
  })
  expect((await run('doctor')).out).toContain(command)

  expect(await run('migrate', '--drop-aggregate', 'stats.daily')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/no continuous aggregate stats\.daily.*no longer declared are stats\.hourly/),
  })
  expect(await run('migrate', '--drop-aggregate', 'stats.hourly', '--dry-run')).toMatchObject({ code: 2 })
  await test.db.execute('create view public.busy as select * from stats.hourly where n > 10')
  expect(await run('migrate', '--drop-aggregate', 'stats.hourly')).toMatchObject({
    code: 2,
    err: expect.stringMatching(/other views stand on its own/),
  })
  await test.db.execute('drop view public.busy')

  expect((await json('migrate', '--drop-aggregate', 'stats.hourly')).data).toEqual({
    dropped: 'stats.hourly',
  })
  const left = `select
    (select count(*) from tidemark.change_consumer), (select count(*) from tidemark.aggregate),
    (select count(*) from pg_class where relnamespace = 'tidemark_aggregates'::regnamespace and relkind = 'r')`
  expect((await test.db.query(raw(left))).rows).toEqual([[0n, 0n, 0n]])
  expect((await json('migrate')).data.undeclared).toEqual([])
  const drops = (await shellActs(test)).filter(({ act }) => act.startsWith('aggregate.drop'))
  expect(drops.at(-2)).toEqual({
    act: 'aggregate.drop stats.hourly refused',
    detail: { code: 'TM_MIGRATION' },
  })
  expect(drops.at(-1)).toEqual({ act: 'aggregate.drop stats.hourly done', detail: null })
}, 180_000)
