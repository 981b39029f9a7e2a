import { type Database, isRetryable, retry } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import {
  addInterval,
  bucketStart,
  type Instant,
  type Interval,
  nextBucket,
  type TimeRange,
} from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { type ChunkMap, loadChunkMap, rangesOf } from './chunk-map.ts'
import { createPartitions, hasPlace, withoutPartition } from './chunk-partitions.ts'
import { missingRanges, rangeIndex } from './chunk-ranges.ts'
import {
  type ApplyPartitionPolicies,
  assertChunkCap,
  attachChunks,
  attachedCount,
  DefaultNotEmpty,
  lockForAttach,
  lockHypertable,
} from './create-chunks.ts'
import {
  type DefaultPartitionStatus,
  type DrainOutcome,
  defaultPartitionStatus,
  drainDefaultOnce,
  maxDrainBytes,
} from './default-partition.ts'
import { ChunkLoader, findLoadableIndexes } from './load-chunks.ts'

export interface ChunkOptions {
  readonly db: Database
  readonly applyPolicies: ApplyPartitionPolicies
  /** ms that a try waits for a lock; new readers of the default partition wait as long. Default 100. */
  readonly lockTimeoutMs?: number
  /** Tries before TM_BUSY; default 8, some 4 s altogether. */
  readonly tries?: number
  /** ms to wait for older snapshots to end before the default partition is drained; default 200. */
  readonly settleMs?: number
  /** Bytes of rows that a drain of the default partition holds in memory; default 256 MiB. */
  readonly maxDrainBytes?: number
  /** In [0, 1), for jitter; default Math.random. */
  readonly random?: () => number
  readonly sleep?: (ms: number) => Promise<void>
}

const chunkDefaults = Object.freeze({
  lockTimeoutMs: 100,
  tries: 8,
  settleMs: 200,
  maxDrainBytes,
}) satisfies Partial<ChunkOptions>

export interface CallOptions {
  readonly signal?: AbortSignal | null
}

export interface ChunkManager {
  /** The chunks as last seen; loaded when nothing is cached, or when `fresh`. */
  map(definition: HypertableDefinition, options?: { readonly fresh?: boolean }): Promise<ChunkMap>
  /** What was seen turned out to be old: look again next time. */
  forget(): void
  /**
   * Makes the chunks that hold `times`, where they are missing. Any number of processes may do so at once.
   *
   * @throws TidemarkError TM_CHUNK_CAP over `maxChunks`; TM_BUSY when a lock, or rows in the default partition that
   * some older snapshot sees differently, stay in the way: rows for those times are then to be written to the
   * table, whose default partition takes them.
   */
  ensureChunks(
    definition: HypertableDefinition,
    times: Iterable<Instant>,
    options?: CallOptions,
  ): Promise<ChunkMap>
  /** Makes the chunks of `[now, now + ahead]`, at most as many as the cap leaves room for; gives how many were made. */
  createAhead(
    definition: HypertableDefinition,
    now: Instant,
    ahead: Interval,
    options?: CallOptions,
  ): Promise<number>
  /** Makes chunks together with their rows; null while attaching is held up, and for tables that are not filled so. */
  loader(definition: HypertableDefinition, ranges: readonly TimeRange[]): Promise<ChunkLoader | null>
  defaultPartitionStatus(definition: HypertableDefinition): Promise<DefaultPartitionStatus>
  /** Moves the rows of the default partition to chunks; tries until it is done or the tries are used up. */
  drainDefault(definition: HypertableDefinition, options?: CallOptions): Promise<DrainOutcome>
}

/**
 * @example
 * const chunks = createChunkManager({ db, applyPolicies: applyPartitionPolicies })
 * await chunks.ensureChunks(cpu, [parseInstant('2026-01-01T00:00:00Z')])
 */
export function createChunkManager(options: ChunkOptions): ChunkManager {
  return new PostgresChunks(options)
}

/** For so long after tries without success a call tries once: the batches of a stream would wait seconds each. */
const heldUpForMs = 10_000

/**
 * Drains that a call tries while older snapshots are in the way, a second or so: whoever waits for chunks may as well
 * write to the default partition, and a snapshot that is still there after so long mostly stays for much longer.
 */
const drainTries = 3

class PostgresChunks implements ChunkManager {
  readonly #db: Database
  readonly #options: Required<ChunkOptions>
  readonly #maps = new Map<string, ChunkMap>()
  /** By table, in the time of performance.now(): when making chunks was last given up. */
  readonly #heldUpAt = new Map<string, number>()

  constructor(options: ChunkOptions) {
    this.#db = options.db
    this.#options = {
      ...chunkDefaults,
      random: Math.random,
      sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
      ...options,
    }
  }

  async map(definition: HypertableDefinition, options: { readonly fresh?: boolean } = {}): Promise<ChunkMap> {
    const cached = this.#maps.get(definition.name)
    if (cached !== undefined && !options.fresh) return cached
    return this.#remember(definition, await loadChunkMap(this.#db, definition))
  }

  forget(): void {
    this.#maps.clear()
  }

  async ensureChunks(
    definition: HypertableDefinition,
    times: Iterable<Instant>,
    options: CallOptions = {},
  ): Promise<ChunkMap> {
    const wanted = [...times]
    let map = await this.map(definition)
    if (isCovered(map, wanted)) return map
    let drains = 0
    const attempt = async () => {
      map = await this.map(definition, { fresh: true })
      if (isCovered(map, wanted)) return
      // Before any lock: a table at its cap is told so at once.
      assertChunkCap(definition, map, placesNeeded(definition, map, wanted).length)
      try {
        await this.#attachMissing(definition, wanted, options)
      } catch (error) {
        if (!(error instanceof DefaultNotEmpty)) throw error
        drains += 1
        await this.#drain(definition, wanted, drains === drainTries, options)
      }
      map = await this.map(definition, { fresh: true })
    }
    const tries = this.#isHeldUp(definition) ? 1 : this.#options.tries
    try {
      await this.#retry(`making chunks of ${definition.name}`, { ...options, tries }, attempt)
      this.#heldUpAt.delete(definition.name)
    } catch (error) {
      if (isTidemarkError(error) && error.code === 'TM_BUSY')
        this.#heldUpAt.set(definition.name, performance.now())
      throw error
    }
    return map
  }

  #isHeldUp(definition: HypertableDefinition): boolean {
    const heldUpAt = this.#heldUpAt.get(definition.name) ?? Number.NEGATIVE_INFINITY
    return performance.now() - heldUpAt < heldUpForMs
  }

  async createAhead(
    definition: HypertableDefinition,
    now: Instant,
    ahead: Interval,
    options: CallOptions = {},
  ): Promise<number> {
    const spec = { every: definition.chunk, zone: null }
    const end = addInterval(now, ahead, null)
    const before = await this.map(definition, { fresh: true })
    const room = before.maxChunks - attachedCount(before)
    const times: Instant[] = []
    for (let at = now; at <= end && times.length < room; at = nextBucket(spec, at)) {
      const time = at === now ? now : bucketStart(spec, at)
      if (rangeIndex(rangesOf(before), time) < 0) times.push(time)
    }
    if (times.length === 0) return 0
    const after = await this.ensureChunks(definition, times, options)
    return attachedCount(after) - attachedCount(before)
  }

  async loader(definition: HypertableDefinition, ranges: readonly TimeRange[]): Promise<ChunkLoader | null> {
    if (this.#isHeldUp(definition)) return null
    const indexes = await findLoadableIndexes(this.#db, definition)
    if (indexes === null) return null
    const { applyPolicies, lockTimeoutMs, random, sleep, tries } = this.#options
    assertChunkCap(definition, await this.map(definition, { fresh: true }), ranges.length)
    return new ChunkLoader({
      definition,
      indexes,
      applyPolicies,
      lockTimeoutMs,
      tries,
      random,
      sleep,
      onHeldUp: () => this.#heldUpAt.set(definition.name, performance.now()),
    })
  }

  defaultPartitionStatus(definition: HypertableDefinition): Promise<DefaultPartitionStatus> {
    return defaultPartitionStatus(this.#db, definition)
  }

  async drainDefault(definition: HypertableDefinition, options: CallOptions = {}): Promise<DrainOutcome> {
    let outcome: DrainOutcome = { kind: 'blocked', reason: 'not tried' }
    try {
      await this.#retry(`draining the default partition of ${definition.name}`, options, async () => {
        const status = await defaultPartitionStatus(this.#db, definition)
        if (status.rows === 0n && status.bytes === 0n) {
          outcome = { kind: 'drained', rows: 0n, chunks: 0 }
          return
        }
        outcome = await this.#drainOnce(definition, [], options)
        if (outcome.kind === 'blocked')
          throw busy(definition, { reason: outcome.reason, isLasting: outcome.isLasting === true })
      })
    } catch (error) {
      // Nothing was changed, and the rows are where everybody sees them: an answer, not a failure.
      if (!isTidemarkError(error) || error.code !== 'TM_BUSY') throw error
      if (outcome.kind !== 'blocked') throw error
      return { kind: 'blocked', reason: outcome.reason === 'not tried' ? error.message : outcome.reason }
    }
    await this.map(definition, { fresh: true })
    return outcome
  }

  async #drain(
    definition: HypertableDefinition,
    times: readonly Instant[],
    isLast: boolean,
    options: CallOptions,
  ): Promise<void> {
    const outcome = await this.#drainOnce(definition, times, options)
    if (outcome.kind === 'blocked')
      throw busy(definition, { reason: outcome.reason, isLasting: isLast || outcome.isLasting === true })
    if (outcome.kind === 'capped') {
      const map = await this.map(definition, { fresh: true })
      if (!isCovered(map, times)) assertChunkCap(definition, map, 1)
    }
  }

  #drainOnce(
    definition: HypertableDefinition,
    times: readonly Instant[],
    options: CallOptions,
  ): Promise<DrainOutcome> {
    const { lockTimeoutMs, applyPolicies, settleMs, sleep, maxDrainBytes } = this.#options
    const signal = options.signal ?? null
    return drainDefaultOnce(this.#db, definition, {
      lockTimeoutMs,
      applyPolicies,
      settleMs,
      sleep,
      maxBytes: maxDrainBytes,
      times,
      signal,
    })
  }

  /** Lock order: the hypertable's row, parent SHARE UPDATE EXCLUSIVE, default partition ACCESS EXCLUSIVE. */
  async #attachMissing(
    definition: HypertableDefinition,
    times: readonly Instant[],
    options: CallOptions,
  ): Promise<void> {
    const { lockTimeoutMs, applyPolicies } = this.#options
    await this.#db.transaction({ lockTimeoutMs, signal: options.signal ?? null }, async (connection) => {
      const { hypertable, map } = await lockHypertable(connection, definition)
      const ranges = placesNeeded(definition, map, times)
      if (ranges.length === 0) return
      assertChunkCap(definition, map, ranges.length)
      const chunks = await createPartitions(connection, definition, hypertable, map, ranges, applyPolicies)
      await lockForAttach(connection, definition)
      await attachChunks(connection, definition, hypertable, chunks)
    })
  }

  #retry(
    what: string,
    options: CallOptions & { readonly tries?: number },
    attempt: () => Promise<void>,
  ): Promise<void> {
    const { random, sleep } = this.#options
    const tries = options.tries ?? this.#options.tries
    return retry(
      {
        what,
        tries,
        random,
        sleep: (ms) => sleep(ms),
        signal: options.signal ?? null,
        isRetryable: (error) =>
          isRetryable(error) ||
          (isTidemarkError(error) && error.code === 'TM_BUSY' && !(error.cause instanceof LastingBlock)),
      },
      attempt,
    )
  }

  #remember(definition: HypertableDefinition, map: ChunkMap): ChunkMap {
    this.#maps.set(definition.name, map)
    return map
  }
}

function isCovered(map: ChunkMap, times: readonly Instant[]): boolean {
  return times.every((time) => hasPlace(map, time))
}

/** Ranges that need a partition: of new chunks, and of cold ones that have none. */
function placesNeeded(
  definition: HypertableDefinition,
  map: ChunkMap,
  times: readonly Instant[],
): readonly TimeRange[] {
  return [
    ...missingRanges(definition, rangesOf(map), times),
    ...withoutPartition(map, times).map((chunk) => chunk.range),
  ]
}

/** Trying again would not help. */
class LastingBlock extends Error {}

function busy(
  definition: HypertableDefinition,
  { reason, isLasting }: { readonly reason: string; readonly isLasting: boolean },
): TidemarkError<'TM_BUSY'> {
  return new TidemarkError(
    'TM_BUSY',
    { what: `draining the default partition of ${definition.name}`, tries: 1, lastProblem: reason },
    isLasting ? { cause: new LastingBlock(reason) } : undefined,
  )
}
