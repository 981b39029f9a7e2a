import fc from 'fast-check'
import type { HypertableDefinition } from '../../../src/schema/index.ts'
import { isTidemarkError } from '../../../src/util/errors.ts'
import { naiveBucketStart } from '../../helpers/naive-time.ts'
import { underFire } from '../kill.ts'
import type { ChunkState } from '../lake.ts'
import { defineStep, type StepKind } from '../step.ts'
import { firstDay, type InputRow, rowArbitrary } from '../tables.ts'
import { type StoredRow, storedRow } from '../values.ts'
import { countMarked, endOf, isBusy, type World } from '../world.ts'
import { followExpiry, refreshOver } from './lake.ts'

/** Rows of dropped time, into the table that merges them: all of a call count, in table and aggregate, or none. */

const name = 'oracle.ledger'
const day = 86_400_000_000n
/** Around the days that most rows are of. */
const busy = { from: firstDay - 10n * day, to: firstDay + 10n * day }

const lateRowsStep = defineStep({
  name: 'rows of dropped time',
  weight: 10,
  args: fc.record({
    rows: fc.oneof(
      { weight: 8, arbitrary: fc.array(rowArbitrary(name), { minLength: 1, maxLength: 12 }) },
      { weight: 1, arbitrary: fc.array(rowArbitrary(name), { minLength: 205, maxLength: 240 }) },
    ),
    pick: fc.nat(30),
    /** Only rows of the chunk, or around it: what is there of a bucket is stored, and counts in the frozen cell, too. */
    around: fc.boolean(),
    engine: fc.nat(1),
    kill: fc.option(fc.record({ afterMs: fc.nat(12), times: fc.integer({ min: 1, max: 3 }) }), {
      freq: 2,
      nil: null,
    }),
  }),
  async run(world, { rows: given, pick, around, engine, kill }) {
    if (droppedChunks(world).length === 0) await dropSome(world, engine)
    const dropped = droppedChunks(world)
    if (dropped.length === 0) return 'nothing is dropped'
    const { from, to } = dropped[pick % dropped.length]!
    const definition = world.engineDefinition(engine, name)
    const isGone = ({ time }: InputRow): boolean =>
      world.frozen
        .dropped(name)
        .some((chunk) => (time as bigint) >= chunk.from && (time as bigint) < chunk.to)
    const mark = world.nextMark()
    const margin = around ? day : 0n
    const there = new Set([...world.rows(name)].map((row) => keyOf(row)))
    const rows = given
      .map((row, i): InputRow => {
        const { time } = storedRow(definition, row) as { time: bigint }
        const span = to - from + 2n * margin
        return { ...row, time: from - margin + ((time < 0n ? -time : time) % span), num: i, mark }
      })
      // keys of what is stored are compared
      .filter((row) => isGone(row) || !there.has(keyOf(storedRow(definition, row))))
    const stored = rows.filter((row) => !isGone(row))

    const before = await counted(world, engine)
    const clock = world.real.clocks[engine]!
    const was = clock.now()
    // by a clock that is behind nothing of it would be late
    clock.set(was > to + 4n * day ? was : to + 4n * day)
    const { ended } = await underFire(world, { afterMs: 0, times: 0, ...kill }, () =>
      world.engine(engine).insertCounted(name, rows, { signal: world.patience() }),
    )
    clock.set(was)
    if (ended.status === 'rejected') assertAllowed(world, ended.reason, kill !== null)
    else if (ended.value.inserted !== stored.length || ended.value.merged !== rows.length - stored.length)
      throw new Error(
        `${ended.value.inserted} rows are stored and ${ended.value.merged} merged, not ${stored.length} of ${rows.length}`,
      )

    const all = rows.map((row) => storedRow(definition, row))
    const mine = frozenOf(world, all)
    const after = await counted(world, engine)
    const found = await countMarked(world, name, mark)
    const wanted = new Map(before)
    for (const start of mine) wanted.set(start, (wanted.get(start) ?? 0) + 1)
    const isIn = sameCounts(after, wanted) && found === stored.length
    const isOut = sameCounts(after, before) && found === 0
    if (!isIn && !isOut)
      throw new Error(
        `of ${rows.length} late rows some count and some do not: ${found} of ${stored.length} are stored`,
      )
    if (!isIn && ended.status === 'fulfilled')
      throw new Error('late rows were acknowledged, and do not count')
    if (isIn && !(isOut && ended.status === 'rejected')) {
      const draft = world.draft(name)
      draft.add(stored.map((row) => storedRow(definition, row)))
      world.commit(name, draft)
      world.frozen.merge(world, name, all)
    }
    return ended.status === 'fulfilled'
      ? stored.length > 0
        ? 'some stored'
        : 'merged'
      : isIn
        ? 'in after all'
        : 'refused'
  },
})

function droppedChunks(world: World): readonly ChunkState[] {
  return world.frozen.dropped(name).filter(({ from }) => from >= busy.from && from < busy.to)
}

/** Retention takes the older half of the busy days. */
async function dropSome(world: World, mover: number): Promise<void> {
  const cutoff = firstDay + (3n * day) / 2n
  await refreshOver(world, name, mover)
  const definition = world.definition(name) as HypertableDefinition
  const end = await endOf(world, () =>
    world.real.lake.movers[mover]!.lifecycle.expire(definition, { cutoff }),
  )
  world.moved(name)
  await followExpiry(world, name, cutoff, end.ok)
}

function keyOf(row: StoredRow): string {
  return `${String(row['tag'])} ${String(row['num'])} ${String(row['time'])}`
}

/** Starts of the frozen buckets that rows lie in. */
function frozenOf(world: World, rows: readonly StoredRow[]): bigint[] {
  const [aggregate] = overLedger(world)
  return rows.flatMap((row) => {
    const start = naiveBucketStart(aggregate!.bucket, row['time'] as bigint)
    return world.frozen.has(aggregate!.name, start) ? [start] : []
  })
}

function overLedger(world: World) {
  return world.aggregates.filter(({ base }) => base.name === name)
}

/** Rows of each frozen bucket, as the aggregate has them. */
async function counted(world: World, engine: number): Promise<ReadonlyMap<bigint, number>> {
  const [aggregate] = overLedger(world)
  const { rows } = await world.engine(engine).queryUnknown(aggregate!.name, { ...busy, select: { n: 'n' } })
  const counts = new Map<bigint, number>()
  for (const { bucket, n } of rows) {
    const start = BigInt(Date.parse(bucket as string)) * 1000n
    if (world.frozen.has(aggregate!.name, start)) counts.set(start, Number(n))
  }
  return counts
}

function sameCounts(some: ReadonlyMap<bigint, number>, others: ReadonlyMap<bigint, number>): boolean {
  return some.size === others.size && [...some].every(([start, n]) => others.get(start) === n)
}

function assertAllowed(world: World, error: unknown, wasKilled: boolean): void {
  if (!isTidemarkError(error)) throw error
  const { code } = error
  // an aggregate that began after the chunk was dropped knows nothing of it
  if (['TM_EXPIRED', 'TM_CHUNK_CAP'].includes(code)) return
  if (code === 'TM_MIGRATION' && world.isOutdated(name)) return
  if (isBusy(code) && (wasKilled || world.isContended)) return
  if (wasKilled && ['TM_CONNECT', 'TM_COMMIT_UNKNOWN'].includes(code)) return
  throw error
}

export const lateRowsSteps: readonly StepKind<never>[] = [
  lateRowsStep,
] as readonly unknown[] as readonly StepKind<never>[]
