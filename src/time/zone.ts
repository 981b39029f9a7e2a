import { unreachable } from '../util/unreachable.ts'
import { daysFromCivil, floorDivide, microsPerSecond } from './civil.ts'
import { showValue, TimeProblem } from './problem.ts'
import type { Instant } from './types.ts'

/**
 * Time zones as tables of offsets. The data is ICU's (Intl.DateTimeFormat), asked once for each stretch of time that
 * is looked at and then kept: some 3 µs of Intl for each question would cost more than everything built on it.
 * All tables together are bounded: there are some 600 zones, and no table reaches beyond the years 1800..2500.
 */
export interface Zone {
  readonly name: string
  /** Seconds east of UTC when the zone never changes, else null. */
  readonly fixedOffset: number | null
  /** Stretches of one offset; for zones that change. */
  readonly table: OffsetTable | null
}

/** One stretch of a constant offset, `[from, to)`, in seconds since the epoch (infinite at the ends). */
export interface Stretch {
  readonly from: number
  readonly to: number
  /** Seconds east of UTC. */
  readonly offset: number
}

const utc: Zone = Object.freeze({ name: 'UTC', fixedOffset: 0, table: null })
const utcNames = new Set([
  'utc',
  'z',
  'gmt',
  'etc/utc',
  'etc/gmt',
  'etc/uct',
  'uct',
  'zulu',
  'etc/zulu',
  'universal',
  'etc/universal',
  'greenwich',
  'etc/greenwich',
  'gmt0',
  'gmt+0',
  'gmt-0',
  'etc/gmt0',
  'etc/gmt+0',
  'etc/gmt-0',
])
/** Lower-cased name to zone. Only names that exist get in, so it is bounded by the number of zones and offsets. */
const zones = new Map<string, Zone>()

/**
 * The zone of a name: an IANA name in any letter case (`Europe/Berlin`), `UTC`, or an offset (`+05:30`). null is UTC.
 *
 * @throws TimeProblem when there is no such zone.
 */
export function resolveZone(name: string | null): Zone {
  if (name === null) return utc
  const key = typeof name === 'string' ? name.toLowerCase() : ''
  const known = zones.get(key)
  if (known !== undefined) return known
  const zone = findZone(name, key)
  zones.set(key, zone)
  return zone
}

const unknownZone = (name: unknown): TimeProblem =>
  new TimeProblem(
    `${showValue(name)} is not a time zone; write an IANA name such as 'Europe/Berlin', 'UTC', or an offset such as '+05:30'`,
  )

function findZone(name: string, key: string): Zone {
  if (utcNames.has(key)) return utc
  const offset = /^([+-])(\d\d):?(\d\d)?$/.exec(key)
  if (offset !== null) {
    const hours = Number(offset[2])
    const minutes = Number(offset[3] ?? 0)
    if (hours > 15 || minutes > 59) throw unknownZone(name)
    const seconds = (offset[1] === '-' ? -1 : 1) * (hours * 3600 + minutes * 60)
    return Object.freeze({ name, fixedOffset: seconds === 0 ? 0 : seconds, table: null })
  }
  // Etc/GMT+5 is five hours *west*: POSIX counts the other way.
  const etc = /^etc\/gmt([+-])(\d\d?)$/.exec(key)
  // Three-letter abbreviations (EST, CST, IST) mean several things; only what IANA lists is taken, and by its meaning.
  if (!/^[a-z][a-z0-9_+-]*(\/[a-z0-9_+-]+)*$/.test(key)) throw unknownZone(name)
  let format: Intl.DateTimeFormat
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: name,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
  } catch {
    throw unknownZone(name)
  }
  if (etc !== null) {
    return Object.freeze({
      name,
      fixedOffset: (etc[1] === '-' ? 1 : -1) * Number(etc[2]) * 3600,
      table: null,
    })
  }
  return Object.freeze({ name, fixedOffset: null, table: new OffsetTable(format) })
}

const daySeconds = 86_400
/** Zone data begins after this year (local mean time before), and repeats itself after `repeatYear`. */
const firstSecond = daysFromCivil(1800, 1, 1) * daySeconds
const repeatSecond = daysFromCivil(2500, 1, 1) * daySeconds
/** 400 Gregorian years are a whole number of weeks, so yearly rules repeat exactly. */
const cycleSeconds = 146_097 * daySeconds
/** Changes are looked for in blocks of about 3 years, when a time in them is first asked for: some 1.5 ms each. */
const blockSeconds = 1024 * daySeconds
/**
 * The step of the search. An offset that comes and goes within one step would be missed; the shortest that tzdata
 * knows lasted just under 4 days (Africa/Freetown, September 1939; test/time/zones.test.ts looks at the short ones).
 */
const stepSeconds = 3 * daySeconds

export class OffsetTable {
  readonly #format: Intl.DateTimeFormat
  /** For each block: starts of stretches inside it (the first is the block's start) and their offsets. */
  readonly #blocks: ({ readonly starts: number[]; readonly offsets: number[] } | undefined)[] = []

  constructor(format: Intl.DateTimeFormat) {
    this.#format = format
  }

  offsetAt(seconds: number): number {
    const shift =
      seconds >= repeatSecond ? Math.floor((seconds - repeatSecond) / cycleSeconds + 1) * cycleSeconds : 0
    const at = Math.max(seconds - shift, firstSecond)
    const block = this.#block(Math.floor((at - firstSecond) / blockSeconds))
    return block.offsets[lastAtOrBefore(block.starts, at)] as number
  }

  /**
   * The stretch around a second. It is cut at the borders of blocks and cycles, so two neighbours may have the same
   * offset: joining them would mean searching centuries for zones that never change.
   */
  stretchAt(seconds: number): Stretch {
    const shift = cycleShift(seconds)
    const at = Math.max(seconds - shift, firstSecond)
    const index = Math.floor((at - firstSecond) / blockSeconds)
    const block = this.#block(index)
    const i = lastAtOrBefore(block.starts, at)
    const start = block.starts[i] as number
    const end = block.starts[i + 1] ?? firstSecond + (index + 1) * blockSeconds
    return {
      from:
        start === firstSecond
          ? Number.NEGATIVE_INFINITY
          : shift === 0
            ? start
            : Math.max(start, repeatSecond - cycleSeconds) + shift,
      to: Math.min(end, repeatSecond) + shift,
      offset: block.offsets[i] as number,
    }
  }

  #block(index: number): { readonly starts: number[]; readonly offsets: number[] } {
    const known = this.#blocks[index]
    if (known !== undefined) return known
    const from = firstSecond + index * blockSeconds
    const to = from + blockSeconds
    let offset = this.#ask(from)
    const starts = [from]
    const offsets = [offset]
    for (let at = from; at < to; ) {
      const next = Math.min(at + stepSeconds, to - 1)
      if (next === at) break
      const nextOffset = this.#ask(next)
      if (nextOffset !== offset) {
        let low = at
        let high = next
        while (high - low > 1) {
          const middle = Math.floor((low + high) / 2)
          if (this.#ask(middle) === offset) low = middle
          else high = middle
        }
        // More than one change inside a step: take the first, and go on from there.
        offset = this.#ask(high)
        starts.push(high)
        offsets.push(offset)
        at = high
      } else {
        at = next
      }
    }
    const block = { starts, offsets }
    this.#blocks[index] = block
    return block
  }

  /** Seconds east of UTC by ICU. */
  #ask(seconds: number): number {
    // en-US: "3/29/2026, 03:00:00"
    const text = this.#format.format(seconds * 1000)
    const fields = /^(\d+)\/(\d+)\/(\d+), (\d+):(\d+):(\d+)$/.exec(text)
    if (fields === null) unreachable(`Intl writes a local time as ${text}`)
    const [, month, day, year, hour, minute, second] = fields
    return (
      daysFromCivil(Number(year), Number(month), Number(day)) * daySeconds +
      Number(hour) * 3600 +
      Number(minute) * 60 +
      Number(second) -
      seconds
    )
  }
}

/** What to take off a second to come into the 400 years before `repeatSecond`; 0 before it. */
function cycleShift(seconds: number): number {
  return seconds < repeatSecond ? 0 : Math.floor((seconds - repeatSecond) / cycleSeconds + 1) * cycleSeconds
}

function lastAtOrBefore(starts: readonly number[], at: number): number {
  let low = 0
  let high = starts.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((starts[middle] as number) <= at) low = middle
    else high = middle - 1
  }
  return low
}

const everywhere = { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY } as const

/** The stretch of constant offset that holds the second. */
export function stretchAt(zone: Zone, seconds: number): Stretch {
  if (zone.table === null) return { ...everywhere, offset: zone.fixedOffset as number }
  return zone.table.stretchAt(seconds)
}

export function secondOf(instant: Instant): number {
  return Number(floorDivide(instant, microsPerSecond))
}

/** Seconds east of UTC that clocks in the zone show at the instant. */
export function offsetAt(zone: Zone, instant: Instant): number {
  if (zone.table === null) return zone.fixedOffset as number
  return zone.table.offsetAt(secondOf(instant))
}

/** What a clock in the zone shows, as microseconds since 1970-01-01T00:00 on that clock. */
export function localMicros(zone: Zone, instant: Instant): bigint {
  return instant + BigInt(offsetAt(zone, instant)) * microsPerSecond
}

/**
 * The instant at which a clock in the zone shows `local`. A time that was skipped is read with the offset before the
 * change (02:30 becomes 03:30), a time that was shown twice is the second one. This is PostgreSQL's rule
 * (DetermineTimeZoneOffset in src/backend/utils/adt/datetime.c).
 */
export function instantOfLocal(zone: Zone, local: bigint): Instant {
  if (zone.table === null) return local - BigInt(zone.fixedOffset as number) * microsPerSecond
  const second = Number(floorDivide(local, microsPerSecond))
  // Both candidates: the offset a day and a half before, and after, any change that could matter.
  let found: number | null = null
  let stretch = zone.table.stretchAt(second - 2 * daySeconds)
  let before = stretch.offset
  for (;;) {
    const at = second - stretch.offset
    if (at >= stretch.from && at < stretch.to) found = stretch.offset
    else if (at < stretch.from && found === null) {
      // skipped by the change at stretch.from
      found = before
    }
    if (stretch.to > second + 2 * daySeconds) break
    before = stretch.offset
    stretch = zone.table.stretchAt(stretch.to)
  }
  return local - BigInt(found ?? stretch.offset) * microsPerSecond
}
