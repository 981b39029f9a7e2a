import fc from 'fast-check'
import { isTidemarkError } from '../../../src/util/errors.ts'
import { type KillPlan, underFire } from '../kill.ts'
import { defineStep, type StepKind } from '../step.ts'
import { type InputRow, rowsArbitrary } from '../tables.ts'
import { keyText, storedRow, upsertedRow } from '../values.ts'
import { countMarked, isBusy, type World } from '../world.ts'
import { distinct, fresh } from './writes.ts'

/** Backends that are ended at a random moment: afterwards the rows of a call are all there, once, or none is. */

const plan: fc.Arbitrary<KillPlan> = fc.record({
  afterMs: fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 0, max: 20 })),
  times: fc.integer({ min: 1, max: 6 }),
})

/** What may come of a call whose backend was ended. */
const lostCodes = [
  'TM_CONNECT',
  'TM_COMMIT_UNKNOWN',
  'TM_BUSY',
  'TM_PARTIAL_WRITE',
  'TM_CHUNK_CAP',
  'TM_EXPIRED',
]

function codeOfEnd(ended: PromiseSettledResult<unknown>, isOutdated = false): string | null {
  if (ended.status === 'fulfilled') return null
  const error = ended.reason as unknown
  const isAllowed = (code: string): boolean =>
    lostCodes.includes(code) || isBusy(code) || (isOutdated && code === 'TM_MIGRATION')
  if (isTidemarkError(error) && isAllowed(error.code)) return error.code
  throw new Error(`a call whose backend was ended gave ${String(error)}`, { cause: error })
}

const killedInsertStep = defineStep({
  name: 'an insert is killed',
  weight: 4,
  args: fc.constantFrom('oracle.events', 'oracle.keyed', 'oracle.ledger', 'oracle.settings').chain((name) =>
    fc.record({
      name: fc.constant(name),
      rows: fc.oneof(
        rowsArbitrary(name, { minLength: 3, maxLength: 12 }),
        rowsArbitrary(name, { minLength: 205, maxLength: 240 }),
      ),
      engine: fc.nat(1),
      batchRows: fc.option(fc.integer({ min: 5, max: 40 }), { nil: null }),
      plan,
    }),
  ),
  async run(world, { name, rows: given, engine, batchRows, plan }) {
    const definition = world.engineDefinition(engine, name)
    const mark = world.nextMark()
    const rows = world.complete(definition, fresh(world, definition, given), mark)
    const signal = world.patience()
    const { ended, killed } = await underFire(world, plan, () =>
      batchRows === null
        ? world.engine(engine).insertUnknown(name, rows, { signal })
        : world.engine(engine).insertUnknown(name, rows.values(), inBatches(batchRows, signal)),
    )
    const code = codeOfEnd(ended)
    const found = await countMarked(world, name, mark)
    const isWhole =
      found === rows.length ||
      (batchRows === null ? found === 0 : found < rows.length && found % batchRows === 0)
    if (!isWhole)
      throw new Error(`of ${rows.length} rows for ${name} there are ${found} after ${code ?? 'no error'}`)
    if (code === null && found !== rows.length)
      throw new Error(`acknowledged, and ${found} of ${rows.length} rows are in ${name}`)
    if (code === 'TM_PARTIAL_WRITE') assertSaid(ended, found, batchRows!)
    const draft = world.draft(name)
    draft.add(rows.slice(0, found).map((row) => storedRow(definition, row)))
    world.commit(name, draft)
    return `${killed > 0 ? 'hit' : 'missed'}, ${code ?? 'all there'}`
  },
})

function inBatches(batchRows: number, signal: AbortSignal | null) {
  return { batchRows, signal }
}

/** A partial write says how many rows are in; the batch whose commit was cut may be in, too. */
function assertSaid(ended: PromiseSettledResult<unknown>, found: number, batchRows: number): void {
  const error = (ended as PromiseRejectedResult).reason as { params: { rows: number }; cause?: unknown }
  const said = error.params.rows
  const isUnknown = isTidemarkError(error.cause) && error.cause.code === 'TM_COMMIT_UNKNOWN'
  if (found !== said && !(isUnknown && found === said + batchRows))
    throw new Error(`a partial write says that ${said} rows are in, and ${found} are`)
}

const killedUpsertStep = defineStep({
  name: 'an upsert is killed',
  weight: 2,
  args: fc.record({
    rows: rowsArbitrary('oracle.keyed', { minLength: 2, maxLength: 12 }),
    engine: fc.nat(1),
    plan,
  }),
  async run(world, { rows: given, engine, plan }) {
    const name = 'oracle.keyed'
    const definition = world.engineDefinition(engine, name)
    const mark = world.nextMark()
    const rows: InputRow[] = world.complete(definition, distinct(definition, given), mark)
    const signal = world.patience()
    const { ended, killed } = await underFire(world, plan, () =>
      world.engine(engine).upsertUnknown(name, rows, { signal }),
    )
    const code = codeOfEnd(ended, world.isOutdated(name))
    const found = await countMarked(world, name, mark)
    if (found !== rows.length && (found !== 0 || code === null))
      throw new Error(`of ${rows.length} upserted rows there are ${found} after ${code ?? 'no error'}`)
    if (found > 0) {
      const draft = world.draft(name)
      for (const row of rows) {
        const existing = draft.byKey(keyText(definition, storedRow(definition, row)))
        if (existing) draft.remove(existing)
        draft.add([existing ? upsertedRow(definition, existing, row) : storedRow(definition, row)])
      }
      world.commit(name, draft)
    }
    return `${killed > 0 ? 'hit' : 'missed'}, ${code ?? 'all there'}`
  },
})

const killedDeleteStep = defineStep({
  name: 'a delete is killed',
  weight: 2,
  args: fc.record({
    name: fc.constantFrom('oracle.events', 'oracle.keyed', 'oracle.settings'),
    n: fc.integer({ min: -3, max: 9 }),
    engine: fc.nat(1),
    plan,
  }),
  async run(world, { name, n, engine, plan }) {
    const definition = world.engineDefinition(engine, name)
    const gone = [...world.rows(name)].filter((row) => row['num'] === n)
    const call = world.engine(engine) as unknown as {
      delete(table: object, selection: object, options: object): Promise<number>
    }
    const signal = world.patience()
    const { ended, killed } = await underFire(world, plan, () =>
      call.delete(definition, { where: { num: n } }, { signal }),
    )
    const code = codeOfEnd(ended, world.isOutdated(name))
    const left = await countWithN(world, name, n)
    if (left !== gone.length && (left !== 0 || gone.length === 0))
      throw new Error(`${left} of ${gone.length} rows are left after a delete and ${code ?? 'no error'}`)
    if (code === null && left !== 0) throw new Error(`a delete was acknowledged, and ${left} rows are left`)
    if (left === 0) {
      const draft = world.draft(name)
      for (const row of gone) draft.remove(row)
      world.commit(name, draft)
    }
    return `${killed > 0 ? 'hit' : 'missed'}, ${code ?? 'all gone'}`
  },
})

async function countWithN(world: World, name: string, n: number): Promise<number> {
  const { rows } = await world
    .engine(0)
    .queryUnknown(name, { where: { num: n }, select: { n: { fn: 'count' } } })
  return rows[0]!['n'] as number
}

const killedWorkerStep = defineStep({
  name: 'the worker is killed',
  weight: 2,
  args: fc.record({ engine: fc.nat(1), plan }),
  async run(world, { engine, plan }) {
    const { ended, killed } = await underFire(world, plan, () =>
      world.engine(engine).createWorker().runOnce({ force: true }),
    )
    codeOfEnd(ended)
    // as if the leases of the dead had run out
    await world.real.db.execute('update tidemark.job set lease_owner = null, lease_until = null')
    return killed > 0 ? 'hit' : 'missed'
  },
})

export const killSteps: readonly StepKind<never>[] = [
  killedInsertStep,
  killedUpsertStep,
  killedDeleteStep,
  killedWorkerStep,
] as readonly unknown[] as readonly StepKind<never>[]
