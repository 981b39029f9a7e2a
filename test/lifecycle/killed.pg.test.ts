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

/** To die before a statement is to die after the one before it. */
type Death = 'the worker dies after' | 'the backend is terminated before'

/** Everything that is asked of PostgreSQL goes well up to the n-th statement; from there on the asker is dead. */
function dieAt(n: number, death: Death): Victim {
  const { db } = fixture.test
  let sent = 0
  const step = async <T>(connection: Connection | null, run: () => Promise<T>): Promise<T> => {
    sent += 1
    if (sent > n) throw new Error('dead')
    if (sent < n) return run()
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
    cursor: (statement, options) => connection.cursor(statement, options),
  })
  return {
    sent: () => sent,
    db: {
      query: (statement, options) => step(null, () => db.query(statement, options)),
      execute: (script) => step(null, () => db.execute(script)),
      withConnection: (use, options) => db.withConnection((connection) => use(wrap(connection)), options),
      async transaction(options, use) {
        const result = await step(null, () =>
          db.transaction(options, async (connection) => {
            const used = await use(wrap(connection))
            // the commit is a statement, too
            if (death === 'the backend is terminated before') await step(connection, async () => {})
            return used
          }),
        )
        // the commit has arrived, its answer has not
        if (death === 'the worker dies after') await step(null, async () => {})
        return result
      },
      reading: (options, use) => db.reading(options, use),
      serverVersion: () => db.serverVersion(),
      close: () => db.close(),
    },
  }
}

const settings = { emptyShare: 0, keepDroppedMs: 0, keepStrayMs: 0, leaseMs: 60_000 }

type Move = 'freeze' | 'thaw' | 'compact' | 'reclaim'

interface Round {
  readonly death: Death
  /** Killed one after the other, each at its first statement in the first round, at its second in the second, … */
  readonly killed: readonly Move[]
  /** Makes what the next round needs again. */
  readonly again?: (lifecycle: Lifecycle) => Promise<void>
  /** Sensors that must be there. */
  readonly expected: readonly string[]
}

/** After each death the move is done properly. Ends when no statement is left; gives how many each move has. */
async function killEverywhere({ death, killed, again, expected }: Round): Promise<Record<Move, number>> {
  const sound = fixture.another({ settings })
  const steps = { freeze: 0, thaw: 0, compact: 0, reclaim: 0 }
  for (let n = 1; ; n += 1) {
    let deaths = 0
    for (const move of killed) {
      const assertRows = async (): Promise<void> => {
        const names = (await seen(fixture, fixture.test.db, samples)).map((each) => each.slice(2)).sort()
        expect([move, death, n, names]).toEqual([move, death, n, expected])
      }
      const { db, sent } = dieAt(n, death)
      await fixture
        .another({ db, settings: { ...settings, lockTries: 2 } })
        [move](samples, move === 'freeze' ? { to: 10n ** 18n } : {})
        .catch(() => {})
      await assertRows()
      steps[move] = Math.max(steps[move], Math.min(sent(), n))
      if (sent() < n) continue
      deaths += 1
      await fixture.test.db.execute(
        `update tidemark.chunk set lease_until = now() - interval '1 s' where lease_until is not null`,
      )
      await sound.sweep()
      await sound[move](samples)
      await assertRows()
      const { problems } = await sound.verify([samples])
      expect([move, death, n, problems.filter(({ kind }) => kind !== 'stray')]).toEqual([move, death, n, []])
    }
    if (deaths === 0) return steps
    await again?.(sound)
  }
}

const rows = ['s0', 's1', 's2']

it.each<Death>(['the worker dies after', 'the backend is terminated before'])(
  'freeze and thaw: %s each statement',
  { timeout: 120_000 },
  async (death) => {
    const steps = await killEverywhere({ death, killed: ['freeze', 'thaw'], expected: rows })
    expect(steps.freeze).toBeGreaterThan(20)
    expect(steps.thaw).toBeGreaterThan(15)
  },
)

it('compact: the worker dies after each statement', { timeout: 120_000 }, async () => {
  await fixture.lifecycle.freeze(samples)
  const expected = [...rows]
  const addLate = async () => {
    const prefix = `late${expected.length}-`
    await fixture.writer.insert(samples, day('2026-01-01', 1, prefix))
    expected.push(`${prefix}0`)
    expected.sort()
  }
  await addLate()
  const steps = await killEverywhere({
    death: 'the worker dies after',
    killed: ['compact'],
    again: addLate,
    expected,
  })
  expect(steps.compact).toBeGreaterThan(20)
})

it('reclaim, with partitions that are dropped: the worker dies after each statement', {
  timeout: 120_000,
}, async () => {
  await fixture.lifecycle.freeze(samples)
  const steps = await killEverywhere({
    death: 'the worker dies after',
    killed: ['reclaim'],
    again: async (lifecycle) => {
      await lifecycle.thaw(samples)
      await lifecycle.freeze(samples)
    },
    expected: rows,
  })
  expect(steps.reclaim).toBeGreaterThan(3)
})
