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
import { TidemarkError } from '../util/errors.ts'
import type { Assignment } from './change-rows.ts'
import { type ChunkMap, chunkAt } from './chunk-map.ts'
import type { Collector } from './collector.ts'
import type { DeleteInput } from './write-contract.ts'
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
 * Refuses what reaches into dropped chunks: a row there would be acknowledged, and deleted by the next expiry. Rows of the chunk
 * that holds now, and of later ones, cost nothing. For others the version of the catalog is read (0.1 ms), because nobody tells a
 * process that remembers a chunk that it was dropped.
 */
export class LateRows {
  readonly #targets: WriteTargets
  readonly #clock: Clock

  constructor(targets: WriteTargets, clock: Clock) {
    this.#targets = targets
    this.#clock = clock
  }

  /** @throws TidemarkError TM_EXPIRED for the first row of a dropped chunk. */
  async refuseRows(collector: Collector): Promise<void> {
    const { definition } = collector.table
    if (definition.kind !== 'hypertable' || collector.rows === 0) return
    const past = {
      from: minInstant,
      to: this.#runningFrom(definition, await this.#targets.chunks(definition)),
    }
    if (!collector.mayTouch([past])) return
    const dropped = droppedRanges(await this.#targets.current(definition))
    for (const range of dropped) {
      if (!collector.mayTouch([range])) continue
      const time = collector.small() === null ? null : collector.times().find((at) => isWithin(range, at))
      const what = time === null || time === undefined ? 'a row' : `a row is of ${formatInstant(time)}`
      throw expired(definition, what, range)
    }
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

function expired(
  definition: HypertableDefinition,
  what: string,
  { from, to }: TimeRange,
): TidemarkError<'TM_EXPIRED'> {
  return new TidemarkError('TM_EXPIRED', {
    table: definition.name,
    what,
    from: formatInstant(from),
    to: formatInstant(to),
  })
}
