import { randomBytes } from 'node:crypto'
import type { TimeRange } from '../time/index.ts'

/** Hours since 1970, half-open. */
export interface Hours {
  readonly from: number
  readonly to: number
}

interface Bin extends Hours {
  /** The change that met it last. */
  readonly at: number
}

/** Stretches whose last change is remembered; what was changed longest ago is given up first. Lua of redis-scripts.ts has the same number. */
export const maxBins = 32
/** Ranges of one change at most; more are taken for one that reaches from the first to the last. */
const maxRanges = 8
const microsPerHour = 3_600_000_000n
/** Beyond every year that PostgreSQL knows; as text of Lua still a whole number. */
const farHour = 4_000_000_000

/**
 * What is known of the changes of one tag: how many there were, and where the last ones were. An answer that was computed when there
 * were `n` is right as long as no later change meets its ranges. Where that cannot be told any more (a change anywhere, or one that is
 * given up) it counts as wrong.
 *
 * Versions are never used twice: a tag that was forgotten begins again under another epoch.
 */
export class TagState {
  readonly #epoch: string
  #counter: number
  /** Answers from before this change are wrong, wherever they lie. */
  #floor: number
  /** Those that changed longest ago first. */
  readonly #bins: Bin[]

  private constructor(epoch: string, counter: number, floor: number, bins: Bin[]) {
    this.#epoch = epoch
    this.#counter = counter
    this.#floor = floor
    this.#bins = bins
  }

  static begin(epoch: string): TagState {
    return new TagState(epoch, 0, 0, [])
  }

  /** As it lies in Redis: `epoch counter floor|from,to,at;…`. Null: something else lies there. */
  static parse(text: string): TagState | null {
    const match = /^(\S+) (\d+) (\d+)\|(.*)$/.exec(text)
    if (match === null) return null
    const [, epoch, counter, floor, rest] = match
    const bins = (rest ? rest.split(';') : []).map((bin): Bin => {
      const [from, to, at] = bin.split(',')
      return { from: Number(from), to: Number(to), at: Number(at) }
    })
    return new TagState(epoch!, Number(counter), Number(floor), bins)
  }

  get text(): string {
    const bins = this.#bins.map(({ from, to, at }) => `${from},${to},${at}`).join(';')
    return `${this.#epoch} ${this.#counter} ${this.#floor}|${bins}`
  }

  get version(): string {
    return `${this.#epoch} ${this.#counter}`
  }

  /** Null: anywhere. */
  change(hours: readonly Hours[] | null): void {
    this.#counter += 1
    if (hours === null) {
      this.#floor = this.#counter
      this.#bins.length = 0
      return
    }
    for (const { from, to } of hours) {
      const within = this.#bins.findIndex((bin) => bin.from <= from && bin.to >= to)
      const bin = within < 0 ? { from, to } : this.#bins.splice(within, 1)[0]!
      this.#bins.push({ from: bin.from, to: bin.to, at: this.#counter })
      if (this.#bins.length > maxBins) this.#floor = Math.max(this.#floor, this.#bins.shift()!.at)
    }
  }

  /** Whether nothing has changed there since that version. */
  isUntouched(version: string, hours: readonly Hours[] | null): boolean {
    const space = version.lastIndexOf(' ')
    const counter = Number(version.slice(space + 1))
    if (version.slice(0, space) !== this.#epoch || counter < this.#floor) return false
    return !this.#bins.some(
      (bin) =>
        bin.at > counter && (hours === null || hours.some(({ from, to }) => from < bin.to && bin.from < to)),
    )
  }
}

/** Never given twice. */
export function newEpoch(): string {
  return randomBytes(9).toString('base64url')
}

/** Whole hours that a range meets: changes are told apart no finer. */
export function hoursOf({ from, to }: TimeRange): Hours {
  return { from: hourOf(from, false), to: Math.max(hourOf(from, false) + 1, hourOf(to, true)) }
}

/** Of an answer. */
export function hoursOfAll(ranges: readonly TimeRange[] | null): Hours[] | null {
  return ranges === null ? null : ranges.map(hoursOf)
}

/** Of a change: some few stretches at most. */
export function hoursOfChange(ranges: readonly TimeRange[] | null): Hours[] | null {
  if (ranges === null) return null
  const hours = [...new Map(ranges.map(hoursOf).map((h) => [`${h.from},${h.to}`, h])).values()]
  if (hours.length <= maxRanges) return hours
  return [{ from: Math.min(...hours.map((h) => h.from)), to: Math.max(...hours.map((h) => h.to)) }]
}

function hourOf(instant: bigint, up: boolean): number {
  const shifted = up ? instant + microsPerHour - 1n : instant
  const hour = shifted / microsPerHour - (shifted % microsPerHour < 0n ? 1n : 0n)
  return Math.min(farHour, Math.max(-farHour, Number(hour)))
}
