import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TidemarkError } from '../../src/util/errors.ts'
import { sql } from '../../src/util/sql.ts'
import { type Job, type JobRun, Worker } from '../../src/worker/index.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
})
afterAll(() => test.drop())

const quick = { everyMs: 1, leaseMs: 60_000 }

describe('the worker', () => {
  it('runs a job that is due once, and not again before its time', async () => {
    let runs = 0
    const job: Job = { name: 'once', everyMs: 3_600_000, leaseMs: 60_000, run: async () => ({ n: ++runs }) }
    const worker = new Worker(test.db, [job])
    expect((await worker.runOnce()).map(({ result }) => result)).toEqual([{ n: 1 }])
    expect(await worker.runOnce()).toEqual([])
    expect(await worker.runOnce({ force: true })).toHaveLength(1)
    expect(runs).toBe(2)
  })

  it('shares jobs out: of many workers at once one runs it', async () => {
    let running = 0
    let most = 0
    const job: Job = {
      name: 'alone',
      everyMs: 3_600_000,
      leaseMs: 60_000,
      async run() {
        most = Math.max(most, ++running)
        await sleep(20)
        running--
        return {}
      },
    }
    const runs = await Promise.all(Array.from({ length: 8 }, () => new Worker(test.db, [job]).runOnce()))
    expect(runs.flat()).toHaveLength(1)
    expect(most).toBe(1)
  })

  it('takes a job over when the lease of a worker that died has run out', async () => {
    const job: Job = { name: 'orphan', ...quick, run: async () => ({}) }
    await new Worker(test.db, [job]).runOnce()
    await test.db.query(sql`
      update tidemark.job
      set lease_owner = 'dead', lease_until = now() + interval '1 hour', next_run_at = '-infinity'
      where name = 'orphan'`)
    expect(await new Worker(test.db, [job]).runOnce()).toEqual([])
    await test.db.query(
      sql`update tidemark.job set lease_until = now() - interval '1 second' where name = 'orphan'`,
    )
    expect(await new Worker(test.db, [job]).runOnce()).toHaveLength(1)
  })

  it('records a failure, goes on with the other jobs, and forgets the failure after a success', async () => {
    let fails = true
    const failing: Job = {
      name: 'failing',
      ...quick,
      async run() {
        if (fails) throw new Error('no room on disk')
        return {}
      },
    }
    const other: Job = { name: 'other', ...quick, run: async () => ({}) }
    const runs = await new Worker(test.db, [failing, other]).runOnce({ force: true })
    expect(runs.map(({ name, error }) => [name, error?.message])).toEqual([
      ['failing', 'no room on disk'],
      ['other', undefined],
    ])
    const state = () =>
      test.db.query(
        sql`select last_error, failures_in_a_row, failures from tidemark.job where name = 'failing'`,
      )
    expect((await state()).rows).toEqual([['no room on disk', 1, 1n]])
    fails = false
    await new Worker(test.db, [failing]).runOnce({ force: true })
    expect((await state()).rows).toEqual([[null, 0, 1n]])
  })

  it('waits twice as long after each failure in a row, five minutes at most, and no longer after a success', async () => {
    let fails = true
    const job: Job = {
      name: 'stubborn',
      everyMs: 10_000,
      leaseMs: 60_000,
      async run() {
        if (fails) throw new Error('still no room')
        return {}
      },
    }
    // without chance: 0.9 + 0.5 / 5
    const worker = new Worker(test.db, [job], { random: () => 0.5 })
    const waits: number[] = []
    for (let i = 0; i < 8; i += 1) {
      fails = i < 7
      await worker.runOnce({ force: true })
      const { rows } = await test.db.query(
        sql`select extract(epoch from next_run_at - last_finished_at)::float8 from tidemark.job where name = 'stubborn'`,
      )
      waits.push(Math.round(rows[0]![0] as number))
    }
    expect(waits).toEqual([20, 40, 80, 160, 300, 300, 300, 10])
  })

  it('stops: the running job is aborted and awaited', async () => {
    const runs: JobRun[] = []
    let started = () => {}
    const hasStarted = new Promise<void>((resolve) => {
      started = resolve
    })
    const job: Job = {
      name: 'long',
      ...quick,
      async run({ signal }) {
        started()
        await sleep(60_000, undefined, { signal })
        return {}
      },
    }
    const worker = new Worker(test.db, [job], { pollMs: 5, onRun: (run) => runs.push(run) })
    worker.start()
    await hasStarted
    await worker.stop()
    expect(runs.map(({ name, error }) => [name, error?.name])).toEqual([['long', 'AbortError']])
  })

  it('a job that its stop interrupts has not failed, and is due for whoever comes next', async () => {
    const runs: JobRun[] = []
    let began = (): void => {}
    const hasBegun = new Promise<void>((resolve) => {
      began = resolve
    })
    const job: Job = {
      name: 'interrupted',
      ...quick,
      run: ({ signal }) =>
        new Promise((_, reject) => {
          signal.addEventListener('abort', () =>
            reject(new TidemarkError('TM_CANCELLED', { what: 'the job' })),
          )
          began()
        }),
    }
    const worker = new Worker(test.db, [job], { pollMs: 5, onRun: (run) => runs.push(run) })
    worker.start()
    await hasBegun
    await worker.stop()
    expect(runs).toEqual([])
    const { rows } = await test.db.query(sql`
      select failures, failures_in_a_row, last_error, lease_owner from tidemark.job where name = 'interrupted'`)
    expect(rows).toEqual([[0n, 0, null, null]])
    const next: Job = { ...job, run: async () => ({ done: 1 }) }
    expect((await new Worker(test.db, [next]).runOnce()).map(({ result }) => result)).toEqual([{ done: 1 }])
  })

  it('goes on when the database cannot be asked for a while', async () => {
    const errors: Error[] = []
    let runs = 0
    const job: Job = { name: 'patient', ...quick, run: async () => ({ n: ++runs }) }
    await using worker = new Worker(test.db, [job], { pollMs: 5, onError: (error) => errors.push(error) })
    await test.db.execute('alter table tidemark.job rename to job_away')
    worker.start()
    await expect.poll(() => errors.length).toBeGreaterThan(0)
    await test.db.execute('alter table tidemark.job_away rename to job')
    await expect.poll(() => runs, { timeout: 10_000 }).toBeGreaterThan(0)
  })
})
