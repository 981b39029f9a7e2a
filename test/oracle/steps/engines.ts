import fc from 'fast-check'
import { raw } from '../../../src/util/sql.ts'
import { runOp } from '../sql-ops.ts'
import { defineStep, type StepKind } from '../step.ts'
import { type InputRow, oracleNow, rowArbitrary, rowsArbitrary } from '../tables.ts'
import { keyText, storedRow } from '../values.ts'
import { codeOf, isBusy, isOvertaken } from '../world.ts'
import { distinct } from './writes.ts'

/** Restarts, and several writers at the same moment. */

const restartStep = defineStep({
  name: 'an engine starts anew',
  weight: 3,
  args: fc.nat(1),
  async run(world, i) {
    await world.restart(i)
    return 'done'
  },
})

const clocksStep = defineStep({
  name: 'clocks jump',
  weight: 4,
  // hours, to and fro; the two are not of one mind
  args: fc.record({ engine: fc.nat(1), hours: fc.integer({ min: -60, max: 60 }) }),
  async run(world, { engine, hours }) {
    world.real.clocks[engine]!.set(oracleNow + BigInt(hours) * 3_600_000_000n)
    return hours < 0 ? 'back' : 'forth'
  },
})

/** Whether a write at the same moment as others was done; it may have been in somebody's way. */
async function wasDone(
  call: Promise<unknown>,
  isAllowed: (error: unknown) => boolean = () => false,
): Promise<boolean> {
  try {
    await call
    return true
  } catch (error) {
    if (isAllowed(error)) return false
    const code = codeOf(error)
    if (code === 'TM_CHUNK_CAP' || code === 'TM_EXPIRED' || isBusy(code)) return false
    throw error
  }
}

const togetherStep = defineStep({
  name: 'writers at the same moment',
  weight: 3,
  args: fc.record({
    lists: fc.tuple(
      rowsArbitrary('oracle.events', { maxLength: 12 }),
      fc.oneof(
        { weight: 4, arbitrary: rowsArbitrary('oracle.events', { maxLength: 12 }) },
        { weight: 1, arbitrary: rowsArbitrary('oracle.events', { minLength: 201, maxLength: 220 }) },
      ),
      rowsArbitrary('oracle.events', { maxLength: 12 }),
    ),
    hasDrain: fc.boolean(),
    hasWorker: fc.boolean(),
  }),
  async run(world, { lists, hasDrain, hasWorker }) {
    const name = 'oracle.events'
    const definition = world.definition(name)
    const [first, second] = [0, 1].map((i) => world.complete(world.engineDefinition(i, name), lists[i]!))
    const third = world.complete(definition, lists[2])
    const signal = world.patience()
    const [a, b, c] = await Promise.all([
      wasDone(world.engine(0).insertUnknown(name, first!, { signal })),
      wasDone(world.engine(1).insertUnknown(name, second!, { signal })),
      wasDone(
        world.real.db.transaction({ lockTimeoutMs: 3000 }, (connection) =>
          runOp(connection, definition, { op: 'insert', rows: third }),
        ),
        isOvertaken,
      ),
      hasDrain ? world.real.chunks.drainDefault(definition as never) : null,
      hasWorker ? world.engine(1).createWorker().runOnce({ force: true }) : null,
    ])
    const draft = world.draft(name)
    for (const [isIn, rows] of [
      [a, first!],
      [b, second!],
      [c, third],
    ] as const)
      if (isIn) draft.add(rows.map((row) => storedRow(definition, row)))
    world.commit(name, draft)
    return `${[a, b, c].filter(Boolean).length} of 3`
  },
})

const raceStep = defineStep({
  name: 'two upserts of the same keys at the same moment',
  weight: 2,
  args: fc.array(rowArbitrary('oracle.keyed'), { minLength: 1, maxLength: 8 }),
  async run(world, given) {
    const name = 'oracle.keyed'
    const definition = world.definition(name)
    if (![0, 1].every((i) => world.engineDefinition(i, name) === definition)) return 'none'
    // nothing is left to an SQL default: what it would keep of a row depends on who came first
    const rows = distinct(definition, given).map((row) => ({ ...row, source: 'api' }))
    const marks = [world.nextMark(), world.nextMark()]
    const signal = world.patience()
    // in another order, so that they would wait for each other in a circle
    const versions: readonly InputRow[][] = marks.map((mark, i) =>
      world.complete(definition, i === 0 ? rows : [...rows].reverse(), mark),
    )
    const done = await Promise.all(
      versions.map((version, i) => wasDone(world.engine(i).upsertUnknown(name, version, { signal }))),
    )
    const { rows: found } = await world.real.db.query(
      raw(`select tag, time, mark from oracle.keyed where mark in ('${marks.join("', '")}')`),
    )
    const winners = new Map(
      found.map(([tag, time, mark]) => [keyText(definition, { tag, time }), mark as string]),
    )
    const draft = world.draft(name)
    for (const row of rows) {
      const key = keyText(definition, storedRow(definition, row))
      const winner = winners.get(key)
      const isPlausible = winner === undefined ? !done.includes(true) : done[marks.indexOf(winner)] === true
      if (!isPlausible)
        throw new Error(`upserts ended with ${done.join(' and ')}, yet a row is of ${winner ?? 'neither'}`)
      if (winner === undefined) continue
      const existing = draft.byKey(key)
      if (existing) draft.remove(existing)
      const i = marks.indexOf(winner)
      draft.add([
        storedRow(
          definition,
          versions[i]!.find((each) => keyText(definition, storedRow(definition, each)) === key)!,
        ),
      ])
    }
    world.commit(name, draft)
    return done.join(' and ')
  },
})

export const engineSteps: readonly StepKind<never>[] = [
  restartStep,
  clocksStep,
  togetherStep,
  raceStep,
] as readonly unknown[] as readonly StepKind<never>[]
