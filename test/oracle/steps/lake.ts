import fc from 'fast-check'
import type { ChunkSelection, Lifecycle, MovedChunks } from '../../../src/lifecycle/index.ts'
import type { HypertableDefinition, StoredDefinition } from '../../../src/schema/index.ts'
import { parseInterval } from '../../../src/time/index.ts'
import { type ChunkState, checkStore } from '../lake.ts'
import { defineStep, type StepKind } from '../step.ts'
import { Subscriber } from '../subscriber.ts'
import { firstDay, hypertableNames, rowArbitrary, timeArbitrary } from '../tables.ts'
import { storedRow } from '../values.ts'
import { type Ended, endOf, isBusy, type World } from '../world.ts'

/** Rows go to the lake and come back, are folded, written anew, expire; files go. No answer changes, but for retention. */

const day = 86_400_000_000n
const anyHypertable = fc.constantFrom(...hypertableNames)

/** Which chunks: one of those that are there, some beside each other, all that are older than a time, or all. */
export interface Choice {
  readonly pick: number
  readonly kind: 'one' | 'some' | 'older' | 'all'
  readonly at: bigint
}

export const choice = (name: string): fc.Arbitrary<Choice> =>
  fc.record({
    pick: fc.nat(30),
    // a move costs as much as ten queries, and one chunk is like the other
    kind: fc.constantFrom('one', 'one', 'one', 'some', 'some', 'some', 'older', 'all'),
    at: timeArbitrary(name),
  })

export async function selectionOf(
  world: World,
  name: string,
  { pick, kind, at }: Choice,
  wants: (chunk: ChunkState) => boolean,
): Promise<ChunkSelection | null> {
  if (kind === 'all') return {}
  if (kind === 'older') return { olderThan: at }
  const chunks = (await world.chunkStates(name)).filter(wants)
  if (chunks.length === 0) return null
  const first = chunks[pick % chunks.length]!
  if (kind === 'one') return { chunk: first.id }
  return { from: first.from, to: chunks[Math.min((pick % chunks.length) + 2, chunks.length - 1)]!.to }
}

export const moveKinds = ['freeze', 'thaw', 'compact'] as const
export type MoveKind = (typeof moveKinds)[number]

/** What each kind of move is for. */
export const wantedBy: Readonly<Record<MoveKind, (chunk: ChunkState) => boolean>> = {
  freeze: (chunk) => chunk.state !== 'dropped' && chunk.relation !== null,
  thaw: (chunk) => chunk.state === 'cold',
  compact: (chunk) => chunk.state === 'cold',
}

/** How moves ended: failures are allowed where somebody may be in the way. */
export function outcomeOf(world: World, end: Ended<MovedChunks>, what: string, mayFail = false): string {
  const isInTheWay = world.isContended || world.real.lake.mayHaveStrays || mayFail
  if (!end.ok) {
    if (isBusy(end.code) && isInTheWay) return 'busy'
    throw new Error(`${what} gave ${end.code}`)
  }
  const { chunks, failed, taken } = end.value
  if (failed.length > 0 && !isInTheWay)
    throw new Error(
      `nobody else was there, and yet ${what} failed: ${failed.map(({ reason }) => reason).join('; ')}`,
    )
  if (taken.length > 0 && !isInTheWay)
    throw new Error(`nobody else was there, and yet chunks ${taken.join(', ')} are taken`)
  if (chunks > 0) return failed.length + taken.length > 0 ? 'some' : 'done'
  return failed.length > 0 ? 'busy' : taken.length > 0 ? 'taken' : 'nothing'
}

const moveSteps = moveKinds.map((kind) =>
  defineStep({
    name: `chunks: ${kind}`,
    weight: { freeze: 12, thaw: 5, compact: 5 }[kind],
    args: anyHypertable.chain((name) =>
      fc.record({ name: fc.constant(name), choice: choice(name), mover: fc.nat(1), engine: fc.nat(1) }),
    ),
    async run(world, { name, choice, mover, engine }) {
      const selection = await selectionOf(world, name, choice, wantedBy[kind])
      if (selection === null) return 'none'
      const definition = world.engineDefinition(engine, name) as HypertableDefinition & StoredDefinition
      const end = await endOf(world, () =>
        world.real.lake.movers[mover]!.lifecycle[kind](definition, selection),
      )
      world.moved(name)
      await checkStore(world.real.lake, world.real.db)
      if (kind !== 'thaw' && world.isOutdated(name, definition)) {
        const isMoved = end.ok && end.value.rows > 0
        if (isMoved)
          throw new Error(`${kind} by an old declaration moved rows of ${name}: columns would be lost`)
        if (end.ok || end.code === 'TM_MIGRATION' || isBusy(end.code)) return 'old declaration refused'
      }
      if (kind === 'thaw' && world.isPublished(name)) {
        const reasons = end.ok ? end.value.failed.map(({ reason }) => reason) : [end.code]
        if (end.ok && end.value.chunks > 0) throw new Error(`a thaw of ${name} sends its rows a second time`)
        if (!reasons.every((reason) => /publication|over the cap|TM_MIGRATION|TM_BUSY/.test(reason)))
          throw new Error(`a thaw of the published ${name} gave ${reasons.join('; ')}`)
        return reasons.length > 0 ? 'refused: published' : 'nothing'
      }
      if (kind === 'thaw' && world.isOutdated(name, definition)) {
        // only where the files have the column: the queries after the step see whether it is lost
        const isRefused = end.ok ? end.value.failed.length > 0 : end.code === 'TM_MIGRATION'
        if (isRefused) return 'old declaration refused'
      }
      // a chunk whose partition is gone needs one to come back to
      if (kind === 'thaw' && !end.ok && end.code === 'TM_CHUNK_CAP') return 'over the cap'
      return outcomeOf(world, end, `${kind} of ${name}`)
    },
  }),
)

const policyStep = defineStep({
  name: 'chunks: what is due',
  weight: 3,
  args: fc.record({
    name: anyHypertable,
    mover: fc.nat(1),
    what: fc.constantFrom('freeze', 'compact'),
    after: fc.constantFrom('6 hours', '1 day'),
  }),
  async run(world, { name, mover, what, after }) {
    const interval = parseInterval(after)
    const definition = { ...(world.definition(name) as HypertableDefinition), freeze: { after: interval } }
    const { lifecycle } = world.real.lake.movers[mover]!
    const end = await endOf(world, () =>
      what === 'freeze'
        ? lifecycle.freezeDue(definition as never)
        : lifecycle.compactDue(definition as never),
    )
    world.moved(name)
    return `${what} ${outcomeOf(world, end, `${what} of what is due in ${name}`)}`
  },
})

const reclaimStep = defineStep({
  name: 'chunks: reclaim',
  weight: 7,
  args: fc.record({ name: anyHypertable, mover: fc.nat(1) }),
  async run(world, { name, mover }) {
    const definition = world.definition(name) as HypertableDefinition
    const end = await endOf(world, () => world.real.lake.movers[mover]!.lifecycle.reclaim(definition))
    if (!end.ok) return outcomeOf(world, end, `reclaim of ${name}`)
    const { reclaimed, dropped, held } = end.value
    return dropped > 0 ? 'partitions dropped' : reclaimed > 0 ? 'done' : held.length > 0 ? 'held' : 'nothing'
  },
})

/** After an expiry: what the catalog says has gone is gone from the shadow. */
export async function followExpiry(
  world: World,
  name: string,
  cutoff: bigint,
  isWhole: boolean,
): Promise<number> {
  const rows = world.rows(name)
  let gone = 0
  const chunks = await world.chunkStates(name)
  await world.frozen.follow(world, name, chunks)
  for (const chunk of chunks) {
    if (chunk.state !== 'dropped' || chunk.to > cutoff) continue
    const isIn = (row: object): boolean => {
      const { time } = row as { time: bigint }
      return time >= chunk.from && time < chunk.to
    }
    const mine = [...rows].filter(isIn)
    if (mine.length === 0) continue
    const answer = await world
      .engine(0)
      .queryUnknown(name, { from: chunk.from, to: chunk.to, select: { n: { fn: 'count' } } })
    const left = answer.rows[0]!['n'] as number
    if (left === mine.length && !isWhole) continue
    if (left !== 0)
      throw new Error(`${left} of ${mine.length} rows of the dropped chunk ${chunk.id} of ${name} are left`)
    for (const row of mine) rows.delete(row)
    gone += mine.length
  }
  return gone
}

/** What stands on a table is brought up to now, unless somebody is in the way. */
export async function refreshOver(world: World, name: string, engine: number): Promise<void> {
  for (const { name: aggregate, base } of world.aggregates) {
    if (base.name !== name) continue
    const end = await endOf(world, () => world.engine(engine).refresh(aggregate))
    if (!end.ok && !isBusy(end.code)) throw new Error(`a refresh of ${aggregate} gave ${end.code}`)
  }
}

const expireStep = defineStep({
  name: 'chunks: expire',
  weight: 3,
  args: anyHypertable.chain((name) =>
    fc.record({
      name: fc.constant(name),
      mover: fc.nat(1),
      // or the aggregates hold what is past the retention
      refreshes: fc.integer({ min: 0, max: 3 }).map((n) => n > 0),
      // most of the time only what is centuries old: what is dropped never comes back
      cutoff: fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom(0n, firstDay - 20n * day) },
        {
          weight: 2,
          arbitrary: fc.integer({ min: 0, max: 8 }).map((i) => firstDay + (BigInt(i) * day) / 4n),
        },
      ),
    }),
  ),
  async run(world, { name, mover, refreshes, cutoff }) {
    const definition = world.definition(name) as HypertableDefinition
    if (refreshes) await refreshOver(world, name, mover)
    const end = await endOf(world, () =>
      world.real.lake.movers[mover]!.lifecycle.expire(definition, { cutoff }),
    )
    world.moved(name)
    const gone = await followExpiry(world, name, cutoff, end.ok)
    await checkStore(world.real.lake, world.real.db)
    if (!end.ok) {
      if (!isBusy(end.code)) throw new Error(`expiry of ${name} gave ${end.code}`)
      return 'busy'
    }
    return end.value.chunks === 0 ? (gone > 0 ? 'late rows' : 'nothing') : gone > 0 ? 'rows' : 'empty chunks'
  },
})

const sweepStep = defineStep({
  name: 'the lake is swept',
  weight: 6,
  args: fc.nat(1),
  async run(world, mover) {
    const { lake, db } = world.real
    const report = await lake.movers[mover]!.lifecycle.sweep()
    if (report.strays > 0 && !lake.mayHaveStrays)
      throw new Error(`nobody was killed, and yet ${report.strays} strays were found`)
    await checkStore(lake, db)
    return report.removed > 0 ? 'removed' : report.kept > 0 ? 'kept' : 'nothing'
  },
})

const verifyStep = defineStep({
  name: 'the lake is verified',
  weight: 2,
  args: fc.record({ mover: fc.nat(1), content: fc.boolean() }),
  async run(world, { mover, content }) {
    await verifyLake(world, world.real.lake.movers[mover]!.lifecycle, content)
    return content ? 'whole' : 'quick'
  },
})

/** Nothing is wrong with the lake; files that nobody names are allowed after a death only. */
export async function verifyLake(world: World, lifecycle: Lifecycle, content: boolean): Promise<void> {
  const definitions = hypertableNames.map((name) => world.definition(name) as HypertableDefinition)
  const { problems } = await lifecycle.verify(definitions, { content })
  const wrong = problems.filter(({ kind }) => kind !== 'stray' || !world.real.lake.mayHaveStrays)
  if (wrong.length > 0)
    throw new Error(
      `verify finds: ${wrong.map(({ kind, path, problem }) => `${kind} ${path}: ${problem}`).join('; ')}`,
    )
}

/** At the end of an episode, when nobody is open any more: everything of use is there, and nothing else. */
export async function finishLake(world: World): Promise<void> {
  const { lake, db } = world.real
  await world.subscriber?.compare()
  await verifyLake(world, lake.movers[0].lifecycle, true)
  const { held } = await lake.movers[0].lifecycle.sweep()
  lake.mayHaveStrays = false
  const found = await checkStore(lake, db)
  // on a server with other databases somebody else's prepared transaction may hold files
  if (held === null && !found.includes('named, 0 in the trash, 0 strays'))
    throw new Error(`after the sweep there are still: ${found}`)
}

const lateStep = defineStep({
  name: 'late rows for cold chunks',
  weight: 6,
  args: anyHypertable.chain((name) =>
    fc.record({
      name: fc.constant(name),
      rows: fc.array(rowArbitrary(name), { minLength: 1, maxLength: 12 }),
      pick: fc.nat(30),
      engine: fc.nat(1),
    }),
  ),
  async run(world, { name, rows: given, pick, engine }) {
    const cold = (await world.chunkStates(name)).filter(({ state }) => state === 'cold')
    if (cold.length === 0) return 'none'
    const { from, to } = cold[pick % cold.length]!
    const definition = world.engineDefinition(engine, name)
    const rows = world.complete(definition, given).map((row) => {
      const { time } = storedRow(definition, row) as { time: bigint }
      return { ...row, time: from + ((time < 0n ? -time : time) % (to - from)) }
    })
    if (world.withoutLate(definition, rows).length < rows.length) return 'near dropped time'
    const draft = world.draft(name)
    const fits = draft.add(rows.map((row) => storedRow(definition, row)))
    const end = await endOf(world, () =>
      world.engine(engine).insertUnknown(name, rows, { signal: world.patience() }),
    )
    if (end.ok) {
      if (!fits) throw new Error(`rows of one key went into ${name}`)
      world.commit(name, draft)
      return 'done'
    }
    if (end.code === 'TM_DUPLICATE_KEY' && !fits) return 'duplicate'
    if (end.code === 'TM_CHUNK_CAP') return 'over the cap'
    if (end.code === 'TM_EXPIRED') return 'past the retention'
    if (isBusy(end.code)) return 'busy'
    throw new Error(`late rows for ${name} gave ${end.code}`)
  },
})

const subscribeStep = defineStep({
  name: 'a subscriber begins, or is compared',
  weight: 2,
  args: fc.integer({ min: 0, max: 2 }).map((n) => n === 0),
  async run(world, begins) {
    if (world.subscriber) {
      await world.subscriber.compare()
      return 'compared'
    }
    // a slot waits for all who are open
    if (!begins || world.isContended || !world.isLogical) return 'none'
    world.subscriber = await Subscriber.create(world)
    return 'began'
  },
})

export const lakeSteps: readonly StepKind<never>[] = [
  ...moveSteps,
  policyStep,
  reclaimStep,
  expireStep,
  sweepStep,
  verifyStep,
  lateStep,
  subscribeStep,
] as readonly unknown[] as readonly StepKind<never>[]
