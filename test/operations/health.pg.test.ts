import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer } from '../../src/api/index.ts'
import type { AggregateHealth, JobHealth } from '../../src/client/index.ts'
import { createTidemark } from '../../src/engine.ts'
import { sql } from '../../src/util/sql.ts'
import { config, type OperationsWorld, openWorld, requests, rowsOf } from './world.ts'

let world: OperationsWorld
beforeAll(async () => {
  world = await openWorld()
  // so many that an aggregate costs less to read
  for (let i = 0; i < 20; i++) await world.engine.tm.insert(requests, rowsOf('2026-03-08', 1440))
})
afterAll(() => world?.close())

async function hourly(): Promise<AggregateHealth> {
  const aggregates = await world.client.operations.aggregates()
  return aggregates.find(({ name }) => name === 'metrics.hourly')!
}
async function job(name: string): Promise<JobHealth> {
  const { jobs } = await world.client.operations.jobs()
  return jobs.find((one) => one.name === name)!
}

describe('continuous aggregates', () => {
  it('say how far they are, what is open, and what they were refreshed with', async () => {
    const { tm } = world.engine
    expect(await hourly()).toMatchObject({
      from: 'metrics.requests',
      bucket: '1 hour',
      versions: [{ state: 'current' }],
      watermark: null,
      lagMs: null,
      retain: '2 years',
      refreshEveryMs: 3_600_000,
      lastRefresh: null,
      building: null,
      isDeclared: true,
      usedBy: { queries: 0, lastAt: null, recent: [] },
    })
    await tm.refresh('metrics.hourly')
    expect(await hourly()).toMatchObject({
      watermark: expect.any(String),
      lagMs: 0,
      open: { entries: 0, count: 0, ranges: [] },
      lastRefresh: { at: expect.any(String), ms: null },
    })
    await tm.insert(requests, rowsOf('2026-03-08', 3, 'late'))
    const { open } = await hourly()
    expect(open.entries).toBeGreaterThan(0)
    expect(open.ranges).toEqual([{ from: '2026-03-08T00:00:00Z', to: '2026-03-08T01:00:00Z' }])
    await tm.refresh('metrics.hourly')
    await expect.poll(async () => (await hourly()).cells).toBeGreaterThanOrEqual(24)
  })

  it('say which queries were answered from them, without values', async () => {
    const { client } = world
    await client.query('metrics.requests', {
      from: '2026-03-08',
      to: '2026-03-09',
      bucket: '1 hour',
      where: { model: 'small' },
      select: { n: { fn: 'count' } },
    })
    await client.query('metrics.hourly', { from: '2026-03-08', to: '2026-03-09', select: { n: 'n' } })
    // of rows: no aggregate can help
    await client.query('metrics.requests', { limit: 1 })
    const { usedBy } = await hourly()
    expect(usedBy).toMatchObject({ queries: 2, lastAt: expect.any(String) })
    expect(usedBy.recent.map(({ dataset }) => dataset)).toEqual(['metrics.hourly', 'metrics.requests'])
    expect(usedBy.recent[1]!.summary).toContain('"where":{"model":"?"}')
    expect(JSON.stringify(usedBy)).not.toContain('small')
  })

  it('say how far a new version is', async () => {
    const { db } = world.engine.test
    await db.query(sql`
      insert into tidemark.aggregate_version (aggregate_id, definition, definition_hash, relation_name, state)
      select aggregate_id, definition, 'changed', 'changed', 'building' from tidemark.aggregate_version`)
    const { versions, building } = await hourly()
    expect(versions.map(({ state }) => state)).toEqual(['current', 'building'])
    // of the one chunk that there is
    expect(building).toEqual({ done: 0, total: 86_400_000 })
    await db.query(sql`delete from tidemark.aggregate_version where state = 'building'`)
  })
})

describe('background jobs', () => {
  it('say that no worker runs, and what to do', async () => {
    expect((await world.client.operations.jobs()).workers).toEqual([])
    expect(await job('freeze metrics.requests')).toMatchObject({
      job: 'freeze',
      dataset: 'metrics.requests',
      everyMs: 60_000,
      isRunning: false,
      lastStartedAt: null,
      nextAt: null,
      waitsFor: 'no worker runs',
      advice: expect.stringContaining('start `tidemark worker`'),
    })
  })

  it('are listed with what each did, and with the worker that lives', async () => {
    const worker = world.engine.tm.createWorker({ pollMs: 50 })
    worker.start()
    try {
      await expect.poll(async () => (await job('sample-storage')).lastFinishedAt).not.toBeNull()
      await expect.poll(async () => (await job('refresh metrics.hourly')).runs).toBeGreaterThan(0)
      const { workers } = await world.client.operations.jobs()
      expect(workers).toMatchObject([{ processId: process.pid, isAlive: true, host: expect.any(String) }])
      expect(await job('sample-storage')).toMatchObject({
        dataset: null,
        lastError: null,
        lastResult: { datasets: 2, forgotten: 0 },
        nextAt: expect.any(String),
        waitsFor: null,
        advice: null,
      })
      expect(await hourly()).toMatchObject({
        lastRefresh: { ms: expect.any(Number) },
        nextRefresh: expect.any(String),
      })
    } finally {
      await worker.stop()
    }
    // it has said good-bye
    expect((await world.client.operations.jobs()).workers).toEqual([])
    await using once = world.engine.tm.createWorker()
    await once.runOnce()
    expect((await world.client.operations.jobs()).workers).toHaveLength(1)
    await once.stop()
    expect((await world.client.operations.jobs()).workers).toEqual([])
  })

  it('that fail say why, and when they are tried again', async () => {
    const { db } = world.engine.test
    await db.query(sql`
      update tidemark.job
      set last_error = 'the disk is full', failures = 4, failures_in_a_row = 2, next_run_at = now() + interval '1 minute'
      where name = 'freeze metrics.requests'`)
    await db.query(sql`
      insert into tidemark.worker (id, host, process_id) values ('one', 'there', 17)`)
    expect(await job('freeze metrics.requests')).toMatchObject({
      failures: 4,
      failuresInARow: 2,
      lastError: 'the disk is full',
      waitsFor: null,
      advice: expect.stringMatching(/^it failed 2 times in a row: .* tries again by itself at /),
    })
    await db.query(sql`
      insert into tidemark.job (name, next_run_at) values ('freeze metrics.gone', now() - interval '1 hour')`)
    expect(await job('freeze metrics.gone')).toMatchObject({
      everyMs: null,
      waitsFor: 'nobody declares it any more',
    })
    await db.query(sql`delete from tidemark.worker`)
  })
})

describe('health', () => {
  it('says that nobody runs jobs which have long been due', async () => {
    const { db } = world.engine.test
    await db.query(sql`delete from tidemark.job where name = 'freeze metrics.gone'`)
    await db.query(
      sql`update tidemark.job set failures_in_a_row = 0, next_run_at = now() + interval '1 hour'`,
    )
    await db.query(sql`update tidemark.job set next_run_at = now() - interval '1 hour' where name = 'sweep'`)
    const jobs = (await world.engine.tm.doctor()).filter(({ check }) => check === 'jobs')
    expect(jobs).toMatchObject([
      { level: 'warn', message: expect.stringMatching(/^no worker runs: job "sweep" has been due since/) },
    ])
    await db.query(sql`insert into tidemark.worker (id, host, process_id) values ('one', 'there', 17)`)
    expect((await world.engine.tm.doctor()).find(({ check }) => check === 'jobs')!.level).toBe('ok')
    await db.query(sql`delete from tidemark.worker`)
    await db.query(sql`
      update tidemark.job set failures_in_a_row = 2 where name = 'freeze metrics.requests'`)
  })

  it('shows rates, latencies and what is red, the worst first', async () => {
    const { client } = world
    await client.insertNow('metrics.requests', rowsOf('2026-03-09', 20) as never)
    await expect(client.query('metrics.requests', { where: { nothing: 1 } as never })).rejects.toMatchObject({
      code: 'TM_QUERY',
    })
    const overview = await client.operations.overview()
    expect(overview).toMatchObject({
      version: world.engine.tm.version,
      postgres: { reachable: true, target: world.engine.tm.target },
      queries: { errors: 0, refused: 1 },
      writes: { errors: 0, refused: 0 },
      cache: { results: { name: 'results' } },
      redis: null,
      slowThresholdMs: 500,
    })
    const { queries, writes, ingest, pool, findings } = overview
    expect(queries.p50Ms).toBeGreaterThan(0)
    expect(queries.p50Ms).toBeLessThanOrEqual(queries.p99Ms as number)
    expect(queries.perSecond).toBeGreaterThan(0)
    expect(writes.rowsPerSecond).toBeGreaterThan(0)
    expect(ingest.rowsPerSecond).toBeGreaterThan(0)
    expect(pool.total).toBe(pool.inUse + pool.idle)
    const ranks = ['error', 'warn', 'note', 'ok']
    const levels = findings.map(({ level }) => ranks.indexOf(level))
    expect(levels).toEqual([...levels].sort())
    expect(findings).toContainEqual({
      level: 'error',
      subject: 'jobs',
      message: expect.stringContaining('the disk is full'),
      doNext: expect.stringContaining('tries again by itself'),
    })
    expect(findings.every(({ level, doNext }) => level === 'ok' || level === 'note' || doNext !== null)).toBe(
      true,
    )
  })

  it('says that PostgreSQL is gone, and what to do, instead of failing', async () => {
    const connectionString = 'postgres://somebody:secret@127.0.0.1:1/gone'
    const tm = await createTidemark(config, { connectionString, root: world.engine.root })
    const app = await createServer(tm)
    try {
      const answered = await app.inject('/api/v1/overview')
      expect(answered.statusCode).toBe(200)
      expect(answered.json()).toMatchObject({
        postgres: { reachable: false, version: null },
        syncLag: { aggregatesMs: null, spoolMs: null },
        findings: [{ level: 'error', subject: 'server', message: expect.stringContaining('127.0.0.1:1') }],
      })
      expect(answered.body).not.toContain('secret')
    } finally {
      await app.close()
      await tm.close()
    }
  })
})
