import { afterEach, beforeEach, expect, it } from 'vitest'
import type { Lifecycle } from '../../src/lifecycle/index.ts'
import type { Connection, Database } from '../../src/postgres/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createFixture, day, type Fixture, readings, samples, seen } from './fixture.ts'

let fixture: Fixture
beforeEach(async () => {
  fixture = await createFixture(readings, samples)
  await fixture.writer.insert(samples, day('2026-01-01'))
})
afterEach(() => fixture.drop())

interface Victim {
  readonly db: Database
  /** Statements that were sent so far. */
  readonly sent: () => number
}

type Death = 'the worker dies before' | 'the worker dies after' | 'the backend is terminated before'

/** Everything that is asked of PostgreSQL goes well up to the n-th statement; from there on the asker is dead. */
function dieAt(n: number, death: Death): Victim {
  const { db } = fixture.test
  let sent = 0
  const step = async <T>(connection: Connection | null, run: () => Promise<T>): Promise<T> => {
    sent += 1
    if (sent > n) throw new Error('dead')
    if (sent < n) return run()
    if (death === 'the worker dies before') throw new Error('dead')
    if (death === 'the worker dies after') {
      await run()
      throw new Error('dead')
    }
    if (connection !== null) {
      await db.query(sql`select pg_terminate_backend(${connection.processId}::int4, 5000)`)
      return run()
    }
    throw new Error('dead')
  }
  const wrap = (connection: Connection): Connection => ({
    processId: connection.processId,
    query: (statement, options) => step(connection, () => connection.query(statement, options)),
    execute: (script) => step(connection, () => connection.execute(script)),
    copyFrom: (statement, source, options) =>
      step(connection, () => connection.copyFrom(statement, source, options)),
    async *copyTo(statement, options) {
      await step(connection, async () => {})
      yield* connection.copyTo(statement, options)
    },
  })
  return {
    sent: () => sent,
    db: {
      query: (statement, options) => step(null, () => db.query(statement, options)),
      execute: (script) => step(null, () => db.execute(script)),
      withConnection: (use, options) => db.withConnection((connection) => use(wrap(connection)), options),
      async transaction(options, use) {
        const result = await step(null, () => db.transaction(options, (connection) => use(wrap(connection))))
        // The commit has arrived, its answer has not.
        if (sent >= n) throw new Error('dead')
        return result
      },
      reading: (options, use) => db.reading(options, use),
      serverVersion: () => db.serverVersion(),
      close: () => db.close(),
    },
  }
}

const settings = { emptyShare: 0, keepDroppedMs: 0, keepStrayMs: 0, lockTries: 2, leaseMs: 60_000 }

/** Kills `work` at its first statement, its second, …, and has it done properly after each death, and undone. */
async function killEverywhere(
  death: Death,
  expected: readonly string[],
  work: (lifecycle: Lifecycle) => Promise<unknown>,
  undo: (lifecycle: Lifecycle) => Promise<unknown>,
): Promise<number> {
  const sound = fixture.another({ settings })
  const names = async () =>
    (await seen(fixture, fixture.test.db, samples)).map((each) => each.slice(2)).sort()
  for (let n = 1; ; n += 1) {
    const { db, sent } = dieAt(n, death)
    const doomed = fixture.another({ db, settings })
    await work(doomed).catch(() => {})
    expect([death, n, await names()]).toEqual([death, n, expected])
    if (sent() < n) return n
    await fixture.test.db.execute(
      `update tidemark.chunk set lease_until = now() - interval '1 s' where lease_until is not null`,
    )
    await sound.sweep()
    await work(sound)
    expect([death, n, await names()]).toEqual([death, n, expected])
    const { problems } = await sound.verify([samples])
    expect([death, n, problems.filter(({ kind }) => kind !== 'stray')]).toEqual([death, n, []])
    await undo(sound)
  }
}

const deaths: Death[] = [
  'the worker dies before',
  'the worker dies after',
  'the backend is terminated before',
]
const rows = ['s0', 's1', 's2']
const first = { to: 10n ** 18n }

it.each(deaths)('freeze: %s each statement', { timeout: 120_000 }, async (death) => {
  const steps = await killEverywhere(
    death,
    rows,
    (lifecycle) => lifecycle.freeze(samples, first),
    (lifecycle) => lifecycle.thaw(samples),
  )
  expect(steps).toBeGreaterThan(20)
})

it.each(deaths)('thaw: %s each statement', { timeout: 120_000 }, async (death) => {
  await fixture.lifecycle.freeze(samples)
  const steps = await killEverywhere(
    death,
    rows,
    (lifecycle) => lifecycle.thaw(samples),
    (lifecycle) => lifecycle.freeze(samples),
  )
  expect(steps).toBeGreaterThan(15)
})

it('compact: the worker dies after each statement', { timeout: 120_000 }, async () => {
  await fixture.lifecycle.freeze(samples)
  let late = 0
  const expected = [...rows]
  const add = async () => {
    await fixture.writer.insert(samples, day('2026-01-01', 1, `late${late}-`))
    expected.push(`late${late}-0`)
    expected.sort()
    late += 1
  }
  await add()
  const steps = await killEverywhere(
    'the worker dies after',
    expected,
    (lifecycle) => lifecycle.compact(samples),
    add,
  )
  expect(steps).toBeGreaterThan(20)
})

it('reclaim, with partitions that are dropped: the worker dies after each statement', {
  timeout: 120_000,
}, async () => {
  await fixture.lifecycle.freeze(samples)
  const steps = await killEverywhere(
    'the worker dies after',
    rows,
    (lifecycle) => lifecycle.reclaim(samples),
    async (lifecycle) => {
      await lifecycle.thaw(samples)
      await lifecycle.freeze(samples)
    },
  )
  expect(steps).toBeGreaterThan(3)
})
