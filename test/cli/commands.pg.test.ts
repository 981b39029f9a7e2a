import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { raw } from '../../src/util/sql.ts'
import { createCommandLine } from '../helpers/command-line.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
let folder: string
beforeAll(async () => {
  test = await createTestDatabase({ empty: true })
  folder = await mkdtemp(join(tmpdir(), 'tidemark-cli-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true, force: true })
  await test.drop()
})

const {
  start,
  run,
  json: runJson,
} = createCommandLine({
  cwd: () => folder,
  env: () => ({ DATABASE_URL: test.connectionString }),
})

describe('a newcomer with the command line', () => {
  it('writes a configuration once, and never over one that is there', async () => {
    expect(await run('init')).toMatchObject({ code: 0 })
    const text = await readFile(join(folder, 'tidemark.config.ts'), 'utf8')
    expect(text).toContain("hypertable('metrics.requests'")
    expect(await run('init')).toMatchObject({ code: 2, err: expect.stringContaining('exists already') })
    expect(await readFile(join(folder, 'tidemark.config.ts'), 'utf8')).toBe(text)
  })

  it('sees what migrate would do, lets it, and has nothing left to do', async () => {
    const dry = await run('migrate', '--dry-run')
    expect(dry).toMatchObject({ code: 0, out: expect.stringMatching(/partition by range/i) })
    expect((await runJson('migrate')).data.steps.length).toBeGreaterThan(0)
    expect((await runJson('migrate')).data.steps).toEqual([])
  })

  it('imports a file, with what does not fit counted by reason', async () => {
    const lines = Array.from(
      { length: 50 },
      (_, i) => `2026-01-01T${String(i % 24).padStart(2, '0')}:00:00Z,api,${i}`,
    )
    lines.push('2026-01-01T00:00:00Z,api,slow', '2026-01-01T00:00:00Z,,5')
    await writeFile(join(folder, 'requests.csv'), ['time,service,latency_ms', ...lines].join('\n'))
    const preview = await run('import', 'requests.csv', '--into', 'metrics.requests', '--dry-run')
    expect(preview).toMatchObject({ code: 0, out: expect.stringContaining('separator ","') })
    const { code, data } = await runJson('import', 'requests.csv', '--into', 'metrics.requests')
    expect(code).toBe(0)
    expect(data.imports[0].rows + data.imports[0].dead).toBe(52)
    expect(data.imports[0].deadByReason).toMatchObject({ type: 1 })
  })

  it('asks: a picture in a terminal, the whole answer as JSON', async () => {
    const question = ['query', 'metrics.requests']
    const drawn = await run(...question, '--bucket', '1 hour', '--select', 'n=count()', '--plan')
    expect(drawn.code).toBe(0)
    expect(drawn.out).toMatch(/[▁▂▃▄▅▆▇█]{10}/)
    expect(drawn.out).toMatch(/hot +- +- +5\d/)
    const { data } = await runJson(
      ...[...question, '--by', 'service', '--where', 'latency_ms>=10'],
      ...['--select', 'n=count(),p=percentile(latency_ms,0.5)'],
    )
    expect(data.rows.find((row: { service: string }) => row.service === 'api').n).toBe(40)
    const latest = await runJson(...question, '--latest-by', 'service', '--columns', 'time,service')
    expect(latest.data.rows).toContainEqual({ time: '2026-01-01T23:00:00Z', service: 'api' })
  })

  it('keeps an aggregate, and asks it by nothing but its name', async () => {
    const file = join(folder, 'tidemark.config.ts')
    const text = await readFile(file, 'utf8')
    const aggregate = `const hourly = continuousAggregate('stats.hourly', {
      from: requests, bucket: '1 hour', by: ['service'], select: { n: count() },
    })\n`
    await writeFile(
      join(folder, 'aggregates.config.ts'),
      `import { continuousAggregate, count } from 'tidemark'\n${text
        .replace('export default', `${aggregate}export default`)
        .replace(/datasets: \[/, 'datasets: [hourly, ')}`,
    )
    const config = ['--config', 'aggregates.config.ts']
    expect(await run('migrate', ...config)).toMatchObject({ code: 0 })
    expect((await runJson('refresh', ...config)).data.refreshes).toMatchObject([{ cells: 25 }])
    const { data } = await runJson('query', 'stats.hourly', '--from', '2026-01-01T22:00:00Z', ...config)
    expect(data.rows).toEqual([
      { bucket: '2026-01-01T22:00:00Z', service: 'api', n: 2 },
      { bucket: '2026-01-01T23:00:00Z', service: 'api', n: 2 },
    ])
    expect((await run('query', 'stats.hourly', '--where', 'service=api', ...config)).out).toMatch(
      /^api +·? *n/m,
    )
    expect((await run('status', ...config)).out).toMatch(/stats\.hourly .*2026-01-02T00:00:00Z +none/)
    expect(await run('refresh', 'stats.hourli', ...config)).toMatchObject({ code: 2 })
  })

  it('means midnight of the zone with a date, where a zone is given', async () => {
    const range = ['--from', '2026-01-01', '--to', '2026-01-02', '--zone', 'America/New_York']
    const { data: rows } = await runJson(
      'query',
      'metrics.requests',
      ...range,
      '--columns',
      'time',
      '-n',
      '1',
    )
    expect(rows).toMatchObject({
      rows: [{ time: '2026-01-01T05:00:00Z' }],
      plan: { range: { from: '2026-01-01T05:00:00Z', to: '2026-01-02T05:00:00Z' } },
    })
    const { data } = await runJson('query', 'metrics.requests', ...range.slice(0, 2), '-s', 'n=count()')
    expect(data.plan.range.from).toBe('2026-01-01T00:00:00Z')
  })

  it('runs the jobs once, looks at the status and at the doctor', async () => {
    const worker = await runJson('worker', '--once')
    expect(worker.code).toBe(0)
    expect(worker.data.runs.map((r: { error: string | null }) => r.error)).toEqual(
      worker.data.runs.map(() => null),
    )
    const { data: status } = await runJson('status')
    expect(status.datasets[0]).toMatchObject({ name: 'metrics.requests', exists: true })
    expect(status.datasets[0].chunks.length).toBeGreaterThan(0)
    expect(status.deadLetters).not.toEqual([])
    const { data: doctor } = await runJson('doctor')
    expect(
      doctor.findings
        .filter((f: { level: string }) => f.level === 'fail')
        .map((f: { check: string }) => f.check),
    ).toEqual(
      // tests switch fsync off
      ['durability'],
    )
  })

  it('stops an import with Ctrl-C: exit code 130, and the same command goes on', async () => {
    const file = 'long.csv'
    const service = 'stopped'
    // some 200 transactions: the signal comes before the first of them
    const count = 60_000
    const lines = Array.from({ length: count }, (_, i) => `${1_767_225_600 + (i % 86_400)},${service},${i}`)
    await writeFile(join(folder, file), `time,service,latency_ms\n${lines.join('\n')}\n`)
    const args = ['import', file, '--into', 'metrics.requests', '--batch-rows', '300', '--connections', '1']
    const child = await start(...args)
    child.process.stderr?.on('data', () => {
      // the plan is told before the first row; a second signal would end the process at once
      if (child.err().includes('service <-') && !child.process.killed) child.process.kill('SIGINT')
    })
    const { code: stopped, err } = await child.ended
    expect(stopped).toBe(130)
    expect(err).toMatch(
      /TM_CANCELLED .*rows and 0 dead letters of whole batches are in, and the same import goes on/,
    )
    const { code, data } = await runJson(...args)
    expect({ code, rows: data.imports[0].rows, isResumed: data.imports[0].isResumed }).toEqual({
      code: 0,
      rows: count,
      isResumed: true,
    })
    const where = ['--where', `service=${service}`, '-s', 'n=count()']
    expect((await runJson('query', 'metrics.requests', ...where)).data.rows).toEqual([{ n: count }])
  })

  it('has everything in one process with dev, which ends cleanly', async () => {
    const dev = await start('dev', '--port', '0', '--json')
    const first = await new Promise<string>((done, fail) => {
      dev.process.stdout?.on('data', () => dev.out().includes('\n') && done(dev.out()))
      void dev.ended.then(({ out }) => fail(new Error(`dev ended: ${out}`)))
    })
    const { address } = JSON.parse(first)
    const health = await fetch(`${address}/api/v1/health`)
    expect(await health.json()).toMatchObject({ status: 'ok' })
    dev.process.kill('SIGINT')
    expect((await dev.ended).code).toBe(0)
  })
})

describe('an existing table', () => {
  const config = `import { defineConfig, hypertable, t } from 'tidemark/schema'
export default defineConfig({ datasets: [hypertable('old.readings', {
  columns: { at: t.timestamptz(), device: t.text(), value: t.float8() }, time: 'at', chunk: '1 day',
})] })`
  const fill = async (name: string): Promise<void> => {
    const { db } = test
    await db.query(raw('create schema if not exists old'))
    await db.query(
      raw(`create table old.${name} (at timestamptz not null, device text not null, value float8 not null)`),
    )
    await db.query(
      raw(`insert into old.${name}
        select timestamptz '2026-01-01Z' + i * interval '1 minute', 'd' || i % 7, i from generate_series(0, 4999) as i`),
    )
  }
  const migrate = (...args: string[]) => runJson('migrate', '--config', 'old.config.ts', ...args)

  it('is converted only when that is said, and keeps every row', async () => {
    await writeFile(join(folder, 'old.config.ts'), config)
    await fill('readings')
    const refused = await migrate()
    expect(refused).toMatchObject({ code: 2, data: { error: { code: 'TM_MIGRATION' } } })
    expect(refused.data.error.message).toContain('tidemark migrate --convert')
    const none = await migrate('--cancel-conversion', 'old.readings')
    expect(none).toMatchObject({ code: 0, data: { dataset: 'old.readings', cancelled: false } })
    const done = await migrate('--convert')
    expect(done).toMatchObject({
      code: 0,
      data: { conversions: [{ rowsCopied: 5000, keptAs: 'old.readings_before_tidemark', unfinished: null }] },
    })
    const counted = await runJson('query', 'old.readings', '-s', 'n=count()', '--config', 'old.config.ts')
    expect(counted.data.rows).toEqual([{ n: 5000 }])
    expect((await migrate()).data.steps).toEqual([])
  })

  it('is dropped at the end with --drop-old', async () => {
    await fill('others')
    await writeFile(join(folder, 'old.config.ts'), config.replace('old.readings', 'old.others'))
    expect((await migrate('--convert', '--drop-old')).data.conversions).toMatchObject([{ keptAs: null }])
    const { rows } = await test.db.query(raw(`select to_regclass('old.others_before_tidemark') is null`))
    expect(rows).toEqual([[true]])
  })
})
