import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import type { HypertableDefinition } from '../../src/schema/index.ts'
import { checkStore } from './lake.ts'
import { verify, verifyAll } from './queries.ts'
import { moveKinds, verifyLake } from './steps/lake.ts'
import { fresh } from './steps/writes.ts'
import { hypertableNames, rowsArbitrary } from './tables.ts'
import { storedRow } from './values.ts'
import { closeWorld, codeOf, createWorld, type World } from './world.ts'

/** A disk of a megabyte or two, and what has to be undone. */
export interface SmallDisk {
  readonly dir: string
  /** Takes all but so many bytes of it. */
  fill(freeBytes: number): void
  /** Gives them back. */
  empty(): void
  unmount(): void
}

/** Null, and why, where nothing may be mounted. */
export function mountSmallDisk(bytes: number): { readonly disk: SmallDisk } | { readonly refusal: string } {
  const dir = mkdtempSync(join(tmpdir(), 'tidemark-small-disk-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', dir], { stdio: 'pipe' })
  } catch (error) {
    rmSync(dir, { recursive: true })
    return {
      refusal: `no small disk can be mounted here: ${String((error as Error).message).split('\n')[0]}`,
    }
  }
  const ballast = join(dir, 'ballast')
  return {
    disk: {
      dir,
      fill(freeBytes) {
        const { bavail, bsize } = statfsSync(dir)
        const file = openSync(ballast, 'w')
        const page = Buffer.alloc(4096)
        for (let left = bavail * bsize - freeBytes; left >= page.length; left -= page.length)
          writeSync(file, page)
        closeSync(file)
      },
      empty: () => rmSync(ballast, { force: true }),
      unmount() {
        execFileSync('umount', ['-l', dir])
        rmSync(dir, { recursive: true })
      },
    },
  }
}

export interface DiskFullReport {
  readonly rounds: number
  readonly queries: number
  /** How moves ended while the disk was full. */
  readonly counts: ReadonlyMap<string, number>
}

interface Round {
  readonly name: string
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  readonly freeBytes: number
  readonly moves: readonly { readonly kind: (typeof moveKinds)[number]; readonly mover: number }[]
  readonly queries: number
}

const round: fc.Arbitrary<Round> = fc.constantFrom(...hypertableNames).chain((name) =>
  fc.record({
    name: fc.constant(name),
    rows: rowsArbitrary(name, { minLength: 5, maxLength: 60 }),
    // about as much as some files take
    freeBytes: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 40_000 })),
    moves: fc.array(fc.record({ kind: fc.constantFrom(...moveKinds, 'freeze'), mover: fc.nat(1) }), {
      minLength: 1,
      maxLength: 4,
    }),
    queries: fc.nat(2 ** 30),
  }),
)

const firstMove = { kind: 'freeze', mover: 0 } as const

/**
 * The disk of the lake is full again and again: a move that does not fit fails with TM_LAKE, rows stay where they were, nothing
 * is left lying around, and when there is room it goes on.
 *
 * @throws Error that says what went wrong in which round.
 */
export async function runDiskFull(options: {
  readonly connectionString: string
  readonly disk: SmallDisk
  readonly seed: number
  readonly rounds: number
}): Promise<DiskFullReport> {
  const { disk, seed } = options
  const world = await createWorld(options.connectionString, disk.dir)
  const counts = new Map<string, number>()
  let i = 0
  try {
    for (const drawn of fc.sample(fc.noBias(round), { seed, numRuns: options.rounds })) {
      world.step = i
      // whatever was drawn, the first one freezes onto a disk without room
      const each = i === 0 ? { ...drawn, freeBytes: 0, moves: [firstMove, ...drawn.moves] } : drawn
      await runRound(world, disk, each, (what) => counts.set(what, (counts.get(what) ?? 0) + 1))
      i += 1
    }
    return { rounds: i, queries: world.queries, counts }
  } catch (error) {
    throw new Error(
      `round ${i} of seed ${seed}: ${(error as Error).message}\nagain: npm run oracle -- --disk-full --seed ${seed} --rounds ${i + 1}`,
      { cause: error },
    )
  } finally {
    await closeWorld(world)
  }
}

async function runRound(
  world: World,
  disk: SmallDisk,
  { name, rows: given, freeBytes, moves, queries }: Round,
  say: (what: string) => void,
): Promise<void> {
  const { lake, db } = world.real
  const definition = world.definition(name) as HypertableDefinition & { name: string }
  if (world.rows(name).size < 300) {
    const rows = fresh(world, world.definition(name), given)
    const draft = world.draft(name)
    draft.add(rows.map((row) => storedRow(world.definition(name), row)))
    try {
      await world.engine(0).insertUnknown(name, rows)
      world.commit(name, draft)
    } catch (error) {
      if (codeOf(error) !== 'TM_CHUNK_CAP') throw error
      await lake.movers[0].lifecycle.reclaim(definition)
    }
  }
  disk.fill(freeBytes)
  try {
    for (const { kind, mover } of moves) {
      try {
        const { chunks, failed } = await lake.movers[mover]!.lifecycle[kind](definition)
        for (const { reason } of failed)
          if (!isFull(reason)) throw new Error(`${kind} on a full disk fails with: ${reason}`)
        say(
          `${kind}: ${failed.length > 0 ? (chunks > 0 ? 'some' : 'TM_LAKE') : chunks > 0 ? 'fits' : 'nothing'}`,
        )
      } catch (error) {
        if (codeOf(error) !== 'TM_LAKE') throw error
        say(`${kind}: TM_LAKE`)
      }
      world.moved(name)
      await verify(world, queries)
    }
    await verifyAll(world)
    await checkStore(lake, db)
    await verifyLake(world, lake.movers[0].lifecycle, true)
  } finally {
    disk.empty()
  }
  // there is room again: work goes on where it stopped
  const { failed, taken } = await lake.movers[1].lifecycle.freeze(definition)
  if (failed.length + taken.length > 0)
    throw new Error(`there is room again, and freeze fails: ${failed.map(({ reason }) => reason).join('; ')}`)
  await verifyAll(world)
  await lake.movers[0].lifecycle.sweep()
  await checkStore(lake, db)
  const left: string[] = []
  for await (const { path } of lake.store.list('tmp/')) left.push(path)
  if (left.length > 0) throw new Error(`left behind after the disk was full: ${left.join(', ')}`)
}

function isFull(reason: string): boolean {
  return /No space left|ENOSPC|no room|is full/i.test(reason)
}
