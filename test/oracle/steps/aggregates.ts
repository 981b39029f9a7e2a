import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { isTidemarkError } from '../../../src/util/errors.ts'
import { sql } from '../../../src/util/sql.ts'
import { aggregateNames, variants } from '../aggregates.ts'
import { type KillPlan, underFire } from '../kill.ts'
import { askCells, verifySnapshot } from '../queries.ts'
import { runOp } from '../sql-ops.ts'
import { defineStep, type StepKind } from '../step.ts'
import { firstDay, rowArbitrary } from '../tables.ts'
import { storedRow } from '../values.ts'
import { codeOf, endOf, isBusy, type World } from '../world.ts'
import { choice } from './lake.ts'
import { move, planned, writeOne } from './lake-together.ts'
import type { LentSnapshot } from './snapshots.ts'

/** Cells are computed, given up, killed, defined anew; no answer changes by it. */

const anyAggregate = fc.constantFrom(...aggregateNames)
const day = 86_400_000_000n

const refreshStep = defineStep({
  name: 'an aggregate is refreshed',
  weight: 10,
  args: fc.record({
    aggregate: anyAggregate,
    engine: fc.nat(1),
    // a range is computed anew, valid or not
    range: fc.option(
      fc.tuple(fc.integer({ min: 0, max: 71 }), fc.integer({ min: 1, max: 40 })).map(([at, hours]) => ({
        from: firstDay + (BigInt(at) * day) / 24n,
        to: firstDay + (BigInt(at + hours) * day) / 24n,
      })),
      { freq: 3, nil: null },
    ),
  }),
  async run(world, { aggregate, engine, range }) {
    const end = await endOf(world, () => world.engine(engine).refresh(aggregate, range ?? {}))
    if (end.ok) return end.value.cells > 0 ? 'cells' : 'nothing'
    if (isBusy(end.code)) return 'busy'
    // an engine with an older declaration than the database has
    if (end.code === 'TM_MIGRATION' && world.engineVariant(engine) !== world.variant)
      return 'old declaration refused'
    throw new Error(`a refresh of ${aggregate} gave ${end.code}`)
  },
})

const plan: fc.Arbitrary<KillPlan> = fc.record({
  afterMs: fc.oneof(fc.integer({ min: 0, max: 5 }), fc.integer({ min: 0, max: 60 })),
  times: fc.integer({ min: 1, max: 5 }),
})

const killedStep = defineStep({
  name: 'a refresh is killed',
  weight: 4,
  args: fc.record({ aggregate: anyAggregate, engine: fc.nat(1), plan }),
  async run(world, { aggregate, engine, plan }) {
    const { ended, killed } = await underFire(world, plan, () => world.engine(engine).refresh(aggregate))
    if (ended.status === 'rejected') {
      const code = isTidemarkError(ended.reason) ? ended.reason.code : null
      const isExpected =
        code !== null && (['TM_CONNECT', 'TM_COMMIT_UNKNOWN', 'TM_MIGRATION'].includes(code) || isBusy(code))
      if (!isExpected)
        throw new Error('a refresh whose backend was ended gave something else', { cause: ended.reason })
    }
    return killed > 0 ? 'hit' : 'missed'
  },
})

const togetherStep = defineStep({
  name: 'refreshes at the same moment',
  weight: 3,
  args: fc.array(fc.tuple(anyAggregate, fc.nat(1)), { minLength: 2, maxLength: 4 }),
  async run(world, calls) {
    const ends = await Promise.all(
      calls.map(([aggregate, engine]) => endOf(world, () => world.engine(engine).refresh(aggregate))),
    )
    for (const end of ends)
      if (!end.ok && !isBusy(end.code) && end.code !== 'TM_MIGRATION')
        throw new Error(`refreshes at the same moment gave ${end.code}`)
    return `${ends.filter(({ ok }) => ok).length} of ${ends.length}`
  },
})

/** Bases of aggregates that rows come into while cells of them are computed. */
const writable = ['oracle.events', 'oracle.keyed', 'oracle.ledger', 'oracle.usage'] as const

const writersStep = defineStep({
  name: 'writers while aggregates are refreshed',
  weight: 8,
  args: fc.constantFrom(...writable).chain((name) =>
    fc.record({
      name: fc.constant(name),
      writes: fc.array(planned(name), { minLength: 2, maxLength: 10, size: 'max' }),
      /** By each of the two, one after the other. */
      refreshes: fc.tuple(fc.nat(3), fc.nat(3)),
      freezes: fc.boolean(),
      choice: choice(name),
      seed: fc.nat(2 ** 30),
    }),
  ),
  async run(world, { name, writes, refreshes, freezes, choice, seed }) {
    const definition = world.definition(name)
    const canUseEngine = definition === world.engineDefinition(1, name)
    const mine = world.aggregates.filter(({ base }) => base.name === name)
    const draft = world.draft(name)
    let done = 0
    let isOver = false
    const writeAll = async (): Promise<void> => {
      for (let i = 0; i < writes.length || (!isOver && i < 20); i += 1) {
        const { write, byEngine, pause } = writes[i % writes.length]!
        await sleep(pause)
        if (await writeOne(world, name, draft, write, byEngine && canUseEngine)) done += 1
      }
    }
    let computed = 0
    const refreshing = Promise.all([
      ...refreshes.map(async (count, engine) => {
        for (let i = 0; i <= count; i += 1) {
          const aggregate = mine[(seed + i) % mine.length]!.name
          try {
            computed += (await world.engine(engine).refresh(aggregate)).cells
          } catch (error) {
            const code = codeOf(error)
            if (!isBusy(code) && code !== 'TM_MIGRATION')
              throw new Error(`a refresh of ${aggregate} beside writers gave ${code}`, { cause: error })
          }
        }
      }),
      freezes ? move(world, 0, name, { kind: 'freeze', choice }) : null,
      // what was seen before all of this stays as it was
      ...world.participants
        .filter((participant): participant is LentSnapshot => participant.kind === 'lent-snapshot')
        .slice(0, 1)
        .map(({ snapshot, seen }) => verifySnapshot(world, snapshot, name, seen!.get(name)!, seed)),
    ]).finally(() => {
      isOver = true
    })
    for (const result of await Promise.allSettled([writeAll(), refreshing]))
      if (result.status === 'rejected') throw result.reason
    world.commit(name, draft)
    return `${done === 0 ? 'none was done' : 'written'}, ${computed === 0 ? 'nothing computed' : 'cells'}`
  },
})

const betweenStep = defineStep({
  name: 'a transaction ends between equal questions about an aggregate',
  weight: 5,
  args: fc.constantFrom(...writable).chain((name) =>
    fc.record({
      name: fc.constant(name),
      rows: fc.array(rowArbitrary(name), { minLength: 1, maxLength: 3 }),
      engine: fc.nat(1),
      seed: fc.nat(2 ** 30),
    }),
  ),
  async run(world, { name, rows: given, engine, seed }) {
    const definition = world.definition(name)
    const rows = world.complete(definition, given)
    // all of them were of dropped time
    if (rows.length === 0) return 'nothing'
    const draft = world.draft(name)
    if (!draft.add(rows.map((row) => storedRow(definition, row)))) return 'duplicate'
    return world.real.db.withConnection(async (connection) => {
      await connection.execute(`begin; set local lock_timeout = '200ms'`)
      try {
        await runOp(connection, definition, { op: 'insert', rows })
      } catch (error) {
        await connection.execute('rollback')
        const code = codeOf(error)
        if (isBusy(code) || (await world.isCold(name, code))) return 'refused'
        throw error
      }
      // a younger one is over: this one is known by its number among those that run, not by coming later
      await world.real.db.query(sql`select pg_current_xact_id()`)
      // it runs while they are answered, and what they leave behind must not outlive it
      for (let i = 0; i < 2; i += 1) await askCells(world, engine, name, seed)
      await connection.execute('commit')
      world.commit(name, draft)
      await askCells(world, engine, name, seed)
      return 'done'
    })
  },
})

/** The new version is built beside the old one; engines learn of it when they start anew. */
const definitionStep = defineStep({
  name: 'the definition of an aggregate changes',
  weight: 2,
  args: fc.record({ variant: fc.nat(variants - 1), restarts: fc.nat(2) }),
  async run(world, { variant, restarts }) {
    if (variant === world.variant) return 'none'
    const before = world.variant
    world.variant = variant
    const tm = await world.createEngine([...world.definitions.values()])
    try {
      await tm.migrate({ lockTimeoutMs: 100, tries: world.isContended ? 2 : 30 })
    } catch (error) {
      world.variant = before
      const code = codeOf(error)
      if (isBusy(code) && world.isContended) return 'busy'
      throw new Error(`a migration of an aggregate gave ${code}`, { cause: error })
    } finally {
      await tm.close()
    }
    if (restarts < 2) await world.restart(restarts)
    return 'done'
  },
})

export const aggregateSteps: readonly StepKind<never>[] = [
  refreshStep,
  killedStep,
  togetherStep,
  writersStep,
  betweenStep,
  definitionStep,
] as readonly unknown[] as readonly StepKind<never>[]

/** Everything is refreshed and valid at the end of an episode. */
export async function refreshAggregates(world: World): Promise<void> {
  for (const i of [0, 1]) await world.restart(i)
  for (const aggregate of aggregateNames) {
    const report = await world.engine(0).refresh(aggregate)
    if (report.cells < 0) throw new Error(`a refresh of ${aggregate} wrote ${report.cells} cells`)
  }
}
