import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { raw } from '../../src/util/sql.ts'
import { shellActs } from '../helpers/audit-entries.ts'
import { createCommandLine } from '../helpers/command-line.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const config = `
import { defineConfig, hypertable, t } from 'tidemark/schema'
const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), service: t.text(), latency_ms: t.float8() },
  time: 'time', chunk: '1 day', orderBy: ['service', 'time'], freeze: { after: '7 days' },
})
const events = hypertable('metrics.events', { columns: { time: t.timestamptz(), name: t.text() }, time: 'time', chunk: '1 day' })
export default defineConfig({ datasets: [requests, events], lake: { dir: 'lake', threads: 1 } })
`

let test: TestDatabase
let folder: string
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-lake-'))
  await writeFile(join(folder, 'tidemark.config.ts'), config)
  const lines = Array.from(
    { length: 5000 },
    (_, i) => `${new Date(Date.UTC(2026, 0, 1) + i * 60_000).toISOString()},s${i % 5},${i % 100}`,
  )
  await writeFile(join(folder, 'requests.csv'), ['time,service,latency_ms', ...lines].join('\n'))
  expect(await tidemark('migrate')).toMatchObject({ code: 0 })
  expect(await tidemark('import', join(folder, 'requests.csv'), '--into', 'metrics.requests')).toMatchObject({
    code: 0,
  })
}, 60_000)
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
  await test.drop()
})

const { run: tidemark, json } = createCommandLine({
  // not the folder of the configuration: lake.dir is relative to that
  cwd: tmpdir,
  env: () => ({ DATABASE_URL: test.connectionString }),
  args: () => ['--config', join(folder, 'tidemark.config.ts')],
})

const ask = async () =>
  (
    await json(
      ...['query', 'metrics.requests', '--by', 'service', '--bucket', '1 day'],
      ...['--select', 'n=count(),mean=avg(latency_ms),p95=percentile(latency_ms,0.95)'],
    )
  ).data

describe('the lake from the command line', () => {
  it('freezes what is old and answers the same, says where it came from, and takes it back', async () => {
    const before = await ask()
    expect(before.plan.parts.map((part: { source: string }) => part.source)).toEqual(['hot'])

    const dry = await tidemark('freeze', '--dry-run')
    expect(dry).toMatchObject({
      code: 0,
      out: expect.stringMatching(/5,000 rows, .* with indexes; nothing was moved/),
    })
    expect((await json('status')).data.datasets[0].lake).toMatchObject({ coldChunks: 0 })

    const frozen = await json('freeze')
    expect(frozen.code).toBe(0)
    expect(frozen.data.freezes).toMatchObject([
      { dataset: 'metrics.requests', chunks: 4, rows: 5000, failed: [], taken: [] },
    ])
    const seen = await json('sql', 'select count(*) from metrics.requests')
    expect(seen.data).toEqual({ rows: [{ count: 0 }], notSeen: ['metrics.requests'] })
    const after = await ask()
    expect(after.rows).toEqual(before.rows)
    expect(after.plan.parts).toMatchObject([
      { source: 'cold', files: expect.any(Number), bytes: expect.any(Number) },
    ])
    const drawn = await tidemark('query', 'metrics.requests', '--select', 'n=count()', '--plan')
    expect(drawn.out).toMatch(/part +from +to +rows read +bytes +files +time\ncold /)

    const { data: status } = await json('status')
    const [lake] = status.datasets.map((dataset: { lake: unknown }) => dataset.lake)
    expect(lake).toMatchObject({
      coldChunks: 4,
      rows: 5000,
      files: 4,
      lateRows: 0,
      moveErrors: [],
      nextFreeze: null,
    })
    expect(lake.before.ratio).toBeGreaterThan(1)
    expect(status.lake).toMatchObject({ files: 4, trash: { files: 0 } })
    expect((await tidemark('status', '--chunks')).out).toMatch(/5 cold|4, 4 cold/)

    expect((await tidemark('verify')).out).toMatch(/4 files, 5,000 rows, .* each as it was written/)
    expect(await tidemark('compact', 'metrics.requests')).toMatchObject({
      code: 0,
      out: expect.stringContaining('nothing to compact'),
    })
    const chunk = status.datasets[0].chunks[0].id
    expect(await json('thaw', 'metrics.requests', '--chunk', chunk)).toMatchObject({
      code: 0,
      data: { chunks: 1, rows: 1440 },
    })
    expect((await ask()).rows).toEqual(before.rows)
    expect(await tidemark('freeze', 'metrics.requests', '--older-than', '7 days')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/1 chunk, 1,440 rows in .* with indexes -> .* times smaller/),
    })
    expect((await json('sweep')).data).toMatchObject({ removed: 0, held: null })
  }, 120_000)

  it('the doctor finds a lake in order, and what is wrong with one', async () => {
    const { data: good } = await json('doctor')
    const lake = good.findings.filter(({ check }: { check: string }) =>
      ['lake folder', 'freezing', 'moves', 'guards', 'lake files', 'lake trash'].includes(check),
    )
    expect(lake.map(({ level }: { level: string }) => level)).toEqual(['ok', 'ok', 'ok', 'ok', 'ok', 'ok'])

    await test.db.query(raw(`create table public.note (time timestamptz, service text)`))
    await test.db.query(raw(`create unique index on metrics.requests (time, service)`))
    await test.db.query(
      raw(
        `alter table public.note add foreign key (time, service) references metrics.requests (time, service)`,
      ),
    )
    await test.db.query(raw(`alter table metrics.requests disable trigger tidemark_cold_table`))
    const path = (await test.db.query(raw('select path from tidemark.lake_file limit 1')))
      .rows[0]?.[0] as string
    await rm(join(folder, 'lake', path))
    const { code, data } = await json('doctor')
    expect(code).toBe(1)
    const messages = data.findings
      .filter(({ level }: { level: string }) => level === 'fail')
      .map(({ check, message }: { check: string; message: string }) => `${check}: ${message}`)
    expect(messages).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^freezing: rows of metrics.requests cannot go to the lake: the foreign key/),
        expect.stringMatching(/^guards: metrics.requests: the guard/),
        expect.stringContaining(`lake files: ${path}: is not in the folder`),
      ]),
    )
    expect(await tidemark('verify', '--quick')).toMatchObject({
      code: 1,
      out: expect.stringContaining('missing'),
    })
    await test.db.query(raw('drop table public.note'))
  }, 60_000)

  it('ejects with --yes, and not where nobody can be asked', async () => {
    expect(await tidemark('eject', 'metrics.events')).toMatchObject({
      code: 2,
      err: expect.stringContaining('--yes'),
    })
    await test.db.query(raw(`insert into metrics.events values ('2026-01-01', 'a')`))
    await tidemark('worker', '--once')
    expect(await tidemark('freeze', 'metrics.events', '--all')).toMatchObject({ code: 0 })
    expect(await tidemark('eject', 'metrics.events', '--yes')).toMatchObject({
      code: 0,
      out: expect.stringMatching(/plain table with \d+ partitions?; 1 rows came back/),
    })
    expect((await test.db.query(raw('select name from metrics.events'))).rows).toEqual([['a']])
  }, 60_000)

  it('leaves in the audit log who did what, and what came of it', async () => {
    const acts = await shellActs(test)
    expect(acts.map(({ act }) => act)).toEqual([
      'migrate done',
      'freeze metrics.requests done',
      'compact metrics.requests done',
      'thaw metrics.requests done',
      'freeze metrics.requests done',
      'sweep done',
      'freeze metrics.events done',
      'eject metrics.events done',
    ])
    const [migrated, frozen, , thawed, , , all] = acts.map(({ detail }) => detail)
    expect(migrated).toMatchObject({
      steps: expect.arrayContaining([expect.stringContaining('metrics.requests')]),
    })
    expect(frozen).toMatchObject({ chunks: expect.any(Number), rows: 5000, failed: 0 })
    expect(thawed).toMatchObject({ chunks: 1, rows: expect.any(Number) })
    expect(all).toMatchObject({ all: true, rows: 1 })
  })
})
