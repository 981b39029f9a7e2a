import type { HypertableDefinition } from '../schema/index.ts'
import {
  bucketStart,
  type Clock,
  formatInstant,
  type Instant,
  minInstant,
  overlaps,
  type TimeRange,
} from '../time/index.ts'
import type { Assignment } from './change-rows.ts'
import { type ChunkMap, chunkAt } from './chunk-map.ts'
import type { Collector } from './collector.ts'
import type { LateMerger } from './late-contract.ts'
import { expired, mergedByInsert } from './late-refusal.ts'
import { LateWrite } from './late-write.ts'
import type { EncoderPool } from './write-batch.ts'
import type { DeleteInput } from './write-contract.ts'
import { StaleRouting } from './write-errors.ts'
import type { WriteTargets } from './write-targets.ts'

const droppedOf = new WeakMap<ChunkMap, readonly TimeRange[]>()

/** Ranges of chunks that retention has dropped. */
export function droppedRanges(map: ChunkMap): readonly TimeRange[] {
  let dropped = droppedOf.get(map)
  if (dropped === undefined) {
    dropped = map.chunks.filter((chunk) => chunk.state === 'dropped').map((chunk) => chunk.range)
    droppedOf.set(map, dropped)
  }
  return dropped
}

/**
 * Decides about what reaches into dropped chunks: a row there would be acknowledged, and deleted by the next expiry. It is refused, or
 * merged into continuous aggregates, as declared. Rows of the chunk that holds now, and of later ones, cost nothing. For others
 * the version of the catalog is read (0.1 ms), because nobody tells a process that remembers a chunk that it was dropped.
 */
export class LateRows {
  readonly #targets: WriteTargets
  readonly #clock: Clock
  readonly #merger: LateMerger | null
  readonly #pool: EncoderPool

  /** @param merger Null: rows are refused, whatever is declared. */
  constructor(targets: WriteTargets, clock: Clock, merger: LateMerger | null, pool: EncoderPool) {
    this.#targets = targets
    this.#clock = clock
    this.#merger = merger
    this.#pool = pool
  }

  /**
   * Null: no row may be late. Otherwise rows of dropped chunks are left out by the collector, and what is given has to run in the
   * transaction that writes the others.
   *
   * @throws TidemarkError TM_EXPIRED for the first row of a dropped chunk, where it is not merged.
   */
  async admit(collector: Collector): Promise<LateWrite | null> {
    collector.leaveOut([])
    const { definition } = collector.table
    if (definition.kind !== 'hypertable' || collector.rows === 0) return null
    const map = await this.#targets.chunks(definition)
    const running = this.#runningFrom(definition, map)
    // by a clock that is behind, dropped time may not be past
    const known = droppedRanges(map).at(-1)?.to ?? running
    const past = { from: minInstant, to: known > running ? known : running }
    if (!collector.mayTouch([past])) return null
    const dropped = droppedRanges(await this.#targets.current(definition))
    const isMerged = definition.late === 'merge' && this.#merger !== null
    for (const range of dropped) {
      if (!collector.mayTouch([range])) continue
      if (isMerged && collector.onConflict === 'error') continue
      const time = collector.small() === null ? null : collector.times().find((at) => isWithin(range, at))
      const what = time === null || time === undefined ? 'a row' : `a row is of ${formatInstant(time)}`
      throw expired(definition, what, range, isMerged ? mergedByInsert : undefined)
    }
    if (!isMerged) return null
    const late = dropped.filter((range) => collector.mayTouch([range]))
    if (!collector.leaveOut(late)) throw new StaleRouting()
    return new LateWrite(collector, dropped, this.#merger as LateMerger, this.#pool)
  }

  /** @throws TidemarkError TM_EXPIRED when rows would come into a dropped chunk, or when all that is meant is dropped. */
  async refuseChange(
    definition: HypertableDefinition,
    { range }: DeleteInput,
    assignments: readonly Assignment[] | null,
    time: Instant | undefined,
  ): Promise<void> {
    if (range === null && time === undefined) return
    const running = this.#runningFrom(definition, await this.#targets.chunks(definition))
    const isPast = (at: Instant): boolean => at <= running
    if (!(range !== null && isPast(range.to)) && !(time !== undefined && isPast(time))) return
    const dropped = droppedRanges(await this.#targets.current(definition))
    const into = time === undefined ? undefined : dropped.find((one) => isWithin(one, time))
    if (into) throw expired(definition, `an update sets the time ${formatInstant(time as Instant)}`, into)
    if (range === null || range.from >= range.to) return
    const gone = united(dropped.filter((one) => overlaps(one, range)))
    const [only] = gone
    if (gone.length === 1 && only && only.from <= range.from && only.to >= range.to)
      throw expired(
        definition,
        assignments === null ? 'a delete means only old rows' : 'an update means only old rows',
        only,
      )
  }

  #runningFrom(definition: HypertableDefinition, map: ChunkMap): Instant {
    const now = this.#clock.now()
    return chunkAt(map, now)?.range.from ?? bucketStart({ every: definition.chunk, zone: null }, now)
  }
}

function isWithin({ from, to }: TimeRange, at: Instant): boolean {
  return at >= from && at < to
}

/** Ascending as they are; those that touch are one. */
function united(ranges: readonly TimeRange[]): TimeRange[] {
  const all: { from: Instant; to: Instant }[] = []
  for (const { from, to } of ranges) {
    const last = all.at(-1)
    if (last && last.to === from) last.to = to
    else all.push({ from, to })
  }
  return all
}
