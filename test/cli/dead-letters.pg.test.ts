import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { raw } from '../../src/util/sql.ts'
import { shellActs } from '../helpers/audit-entries.ts'
import { createCommandLine } from '../helpers/command-line.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const config = `
import { defineConfig, hypertable, t } from 'tidemark/schema'
const events = hypertable('events', {
  columns: { time: t.timestamptz(), user_id: t.text(), ms: t.int4() }, time: 'time', chunk: '1 day',
})
export default defineConfig({ datasets: [events] })
`

let test: TestDatabase
let folder: string
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-dead-'))
  await writeFile(join(folder, 'tidemark.config.ts'), config)
  expect(await run('migrate')).toMatchObject({ code: 0 })
}, 60_000)
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
  await test.drop()
})

const { run, json, start } = createCommandLine({
  cwd: () => folder,
  env: () => ({ DATABASE_URL: test.connectionString }),
})

/** As the pipeline leaves them. */
async function leave(count: number): Promise<void> {
  await test.db.execute(`
    insert into tidemark.dead_letter (
      dataset, file, line, column_name, value, reason, message, raw, on_conflict, is_whole
    )
    select 'public.events', 'http', n, 'user_id', null, 'null', '"user_id" is missing',
      json_build_object('time', '2026-03-01T10:00:00Z', 'userid', 'u' || n, 'ms', n)::text, 'error', true
    from generate_series(1, ${count}) as n`)
}
const numberOf = async (query: string) => Number((await test.db.query(raw(query))).rows[0]![0])

it('lists, shows, fixes, replays and drops; a wrong call is told what to say', async () => {
  expect(await run('dead-letters')).toMatchObject({ code: 0, out: expect.stringContaining('no dead letter') })
  await leave(3)
  const list = await run('dead-letters')
  expect(list.out).toMatch(/public\.events null: 3 rows/)
  const { data } = await json('dead-letters', '--dataset', 'events')
  const id = data[0].samples[0].id as string
  const shown = await run('dead-letters', 'show', id)
  expect(shown.out).toMatch(/userid: "u1"[\s\S]*wrong +"user_id" is missing[\s\S]*allowed[\s\S]*to do/)
  expect((await json('dead-letters', 'explain', id)).data).toMatchObject({ canReplay: true, row: { ms: 1 } })

  const fix = ['dead-letters', 'fix', '--dataset', 'events', '--rename', 'userid=user_id', '--set', 'ms=7']
  expect((await run(...fix)).out).toMatch(/3 rows would be changed, 3 of them fit/)
  expect((await json(...fix, '--apply')).data).toMatchObject({ isApplied: true, changed: 3, fits: 3 })
  expect((await run('dead-letters', 'replay', id)).out).toContain('1 dead letter replayed: 1 inserted')
  expect((await json('dead-letters', 'replay', '--all')).data).toMatchObject({ replayed: 2 })
  expect(await numberOf('select count(*) from events where ms = 7')).toBe(3)

  await leave(1)
  expect(await run('dead-letters', 'replay', '--reason', 'null')).toMatchObject({
    code: 1,
    out: expect.stringContaining('refused again'),
  })
  expect(await run('dead-letters', 'drop', '--all')).toMatchObject({ code: 2 })
  expect((await json('dead-letters', 'drop', '--all', '--yes')).data).toEqual({ dropped: 1 })
  expect(await run('dead-letters', 'replay')).toMatchObject({
    code: 2,
    err: expect.stringContaining('say which'),
  })
  expect(await run('dead-letters', 'fix', '--all', '--set', 'ms')).toMatchObject({ code: 2 })
  const acts = (await shellActs(test)).filter(({ act }) => act.startsWith('dead-letters'))
  expect(acts).toEqual([
    { act: 'dead-letters.fix done', detail: expect.objectContaining({ changed: 3 }) },
    { act: 'dead-letters.replay done', detail: { ids: [id], replayed: 1, rejected: 0 } },
    { act: 'dead-letters.replay done', detail: { all: true, replayed: 2, rejected: 0 } },
    { act: 'dead-letters.replay done', detail: { reason: 'null', replayed: 0, rejected: 1 } },
    { act: 'dead-letters.drop done', detail: { all: true, deleted: 1 } },
    { act: 'dead-letters.replay refused', detail: { code: 'TM_QUERY' } },
  ])
}, 120_000)

it('a replay that is killed and called again writes each row once', async () => {
  const count = 4000
  const before = await numberOf('select count(*) from events')
  await leave(count)
  expect(await run('dead-letters', 'fix', '--all', '--rename', 'userid=user_id', '--apply')).toMatchObject({
    code: 0,
  })
  const left = () => numberOf('select count(*) from tidemark.dead_letter')
  const written = async () => (await numberOf('select count(*) from events')) - before
  let kills = 0
  for (const share of [0.9, 0.6, 0.3]) {
    const running = await start('dead-letters', 'replay', '--all')
    await expect.poll(left, { timeout: 40_000 }).toBeLessThan(count * share)
    await sleep(Math.random() * 20)
    if (running.process.kill('SIGKILL')) kills += 1
    await running.ended
  }
  // what the killed process had sent may still be on its way
  await expect
    .poll(() =>
      numberOf(`
        select count(*) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and application_name = 'tidemark'
          and state <> 'idle'`),
    )
    .toBe(0)
  expect(kills).toBeGreaterThan(0)
  expect((await written()) + (await left())).toBe(count)
  expect(await run('dead-letters', 'replay', '--all')).toMatchObject({ code: 0 })
  expect(await left()).toBe(0)
  expect(await written()).toBe(count)
  expect(await numberOf(`select count(distinct user_id) from events where ms <> 7 or user_id = 'u7'`)).toBe(
    count,
  )
}, 180_000)
