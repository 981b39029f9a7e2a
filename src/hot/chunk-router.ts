import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { type ChunkMap, rangesOf } from './chunk-map.ts'
import { newChunkRange, rangeIndex } from './chunk-ranges.ts'

/** Which chunk rows belong to: those that are there, and those that would be made, with the same object for the same chunk. */
export class ChunkRouter {
  readonly #definition: HypertableDefinition
  /** Ascending, not overlapping. */
  readonly #ranges: TimeRange[]
  #last: TimeRange | null = null
  /** The last range in numbers; empty where they would not be exact. */
  #from = 0
  #to = 0

  constructor(definition: HypertableDefinition, map: ChunkMap) {
    this.#definition = definition
    this.#ranges = [...rangesOf(map)]
  }

  rangeOf(time: Instant): TimeRange {
    const last = this.#last
    if (last !== null && time >= last.from && time < last.to) return last
    return this.#enter(time)
  }

  /** As `rangeOf`, from microseconds as a safe integer. */
  rangeOfMicros(micros: number): TimeRange {
    return micros >= this.#from && micros < this.#to ? this.#last! : this.#enter(BigInt(micros))
  }

  #enter(time: Instant): TimeRange {
    const ranges = this.#ranges
    const index = rangeIndex(ranges, time)
    let range = ranges[index]
    if (range === undefined) {
      range = newChunkRange(this.#definition.chunk, ranges, time)
      let at = ranges.length
      while (at > 0 && ranges[at - 1]!.from > time) at -= 1
      ranges.splice(at, 0, range)
    }
    this.#last = range
    this.#from = Number(range.from)
    this.#to = Number(range.to)
    if (!Number.isSafeInteger(this.#from) || !Number.isSafeInteger(this.#to)) this.#from = this.#to = 0
    return range
  }
}
