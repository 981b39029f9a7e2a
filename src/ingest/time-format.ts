import { daysFromCivil, daysInMonth, instantOfLocal, isFiniteInstant, type Zone } from '../time/index.ts'

/** Unix times by their unit; `iso` is ISO 8601 and SQL's form of it; `clf` is the log format's; else a pattern. */
export const namedTimeFormats = ['iso', 'unix-s', 'unix-ms', 'unix-us', 'unix-ns', 'clf'] as const
export type NamedTimeFormat = (typeof namedTimeFormats)[number]

export type TimeProblemReason = 'time' | 'time_zone' | 'range'

/** What a text says: microseconds on the wall clock, and the zone it names (seconds east of UTC). */
interface Reading {
  local: bigint
  offset: number | null
  /** Digits after the sixth of a second's fraction: 0 none, 1 all zero, 2 cut off. */
  beyond: 0 | 1 | 2
}

type Parse = (text: string, into: Reading) => boolean

/**
 * Reads times of one format. It never guesses: a text is read in the format given or refused.
 *
 * Times without a zone are wall clock times of `zone`; without one they are refused. A wall clock time that a change
 * of the clock skips or repeats is read by PostgreSQL's rule (see `instantOfLocal`).
 */
export class TimeReader {
  readonly format: string
  readonly #parse: Parse
  readonly #zone: Zone | null
  readonly #reading: Reading = { local: 0n, offset: null, beyond: 0 }
  #lastText: string | null = null
  #lastMicros = 0n
  #lastBeyond: Reading['beyond'] = 0
  /** Why the last text was refused. */
  problem: TimeProblemReason = 'time'
  /** Times read with more than six digits of a second's fraction. */
  longFractions = 0
  /** Those of them that lost digits other than zero. */
  truncated = 0

  constructor(format: string, zone: Zone | null) {
    this.format = format
    this.#parse = createParse(format)
    this.#zone = zone
  }

  /** Microseconds since the epoch, or null; `problem` then says why. */
  read(text: string): bigint | null {
    // rows of one moment stand together in most files
    if (text !== this.#lastText) {
      const reading = this.#reading
      if (!this.#parse(text, reading)) {
        this.problem = 'time'
        return null
      }
      let micros: bigint
      if (reading.offset !== null) {
        micros = reading.offset === 0 ? reading.local : reading.local - BigInt(reading.offset * 1_000_000)
      } else if (this.#zone === null) {
        this.problem = 'time_zone'
        return null
      } else {
        micros = this.#zone.fixedOffset === 0 ? reading.local : instantOfLocal(this.#zone, reading.local)
      }
      if (!isFiniteInstant(micros)) {
        this.problem = 'range'
        return null
      }
      this.#lastText = text
      this.#lastMicros = micros
      this.#lastBeyond = reading.beyond
    }
    if (this.#lastBeyond !== 0) {
      this.longFractions++
      if (this.#lastBeyond === 2) this.truncated++
    }
    return this.#lastMicros
  }

  /** The wall clock as the text gives it, in microseconds, whatever its zone. For columns of type date. */
  readLocal(text: string): bigint | null {
    if (this.#parse(text, this.#reading)) return this.#reading.local
    this.problem = 'time'
    return null
  }
}

/** Whether the text has the format, and whether it names a zone. */
export function probeTime(format: string): (text: string) => 'no' | 'zone' | 'local' {
  const parse = createParse(format)
  const reading: Reading = { local: 0n, offset: null, beyond: 0 }
  return (text) => (parse(text, reading) ? (reading.offset === null ? 'local' : 'zone') : 'no')
}

/** Throws a text when the format is none. */
function createParse(format: string): Parse {
  switch (format) {
    case 'iso':
      return parseIso
    case 'clf':
      return compilePattern('DD/MMM/YYYY:HH:mm:ss Z')
    case 'unix-s':
      return (text, into) => parseUnix(text, into, 6)
    case 'unix-ms':
      return (text, into) => parseUnix(text, into, 3)
    case 'unix-us':
      return (text, into) => parseUnix(text, into, 0)
    case 'unix-ns':
      return (text, into) => parseUnix(text, into, -3)
    default:
      return compilePattern(format)
  }
}

/** `2026-01-31`, `2026-01-31 07:45`, `2026-01-31T07:45:00.123456789Z`, `… +01`, `… +0100`, `… UTC`. */
function parseIso(text: string, into: Reading): boolean {
  const length = text.length
  if (length < 10 || text.charCodeAt(4) !== 45 || text.charCodeAt(7) !== 45) return false
  const year = digits4(text, 0)
  const month = digits2(text, 5)
  const day = digits2(text, 8)
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return false
  const dayMs = daysFromCivil(year, month, day) * 86_400_000
  into.offset = null
  into.beyond = 0
  if (length === 10) {
    into.local = BigInt(dayMs) * 1000n
    return true
  }
  const gap = text.charCodeAt(10)
  if ((gap !== 84 && gap !== 32 && gap !== 116) || length < 16 || text.charCodeAt(13) !== 58) return false
  const hour = digits2(text, 11)
  const minute = digits2(text, 14)
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return false
  let at = 16
  let second = 0
  let micros = 0
  if (at < length && text.charCodeAt(at) === 58) {
    second = digits2(text, at + 1)
    // 60 is a leap second and means, as in PostgreSQL, the next minute
    if (second < 0 || second > 60) return false
    at += 3
    if (at < length && (text.charCodeAt(at) === 46 || text.charCodeAt(at) === 44)) {
      at++
      let scale = 100_000
      const from = at
      for (; at < length; at++) {
        const digit = text.charCodeAt(at) - 48
        if (digit < 0 || digit > 9) break
        if (at - from < 6) {
          micros += digit * scale
          scale /= 10
        } else if (into.beyond !== 2) into.beyond = digit === 0 ? 1 : 2
      }
      if (at === from || at - from > 9) return false
    }
  }
  if (at < length && !readOffset(text, at, into)) return false
  const ms = dayMs + (hour * 3600 + minute * 60 + second) * 1000
  const exact = ms * 1000 + micros
  into.local = Number.isSafeInteger(exact) ? BigInt(exact) : BigInt(ms) * 1000n + BigInt(micros)
  return true
}

function digits2(text: string, at: number): number {
  const a = text.charCodeAt(at) - 48
  const b = text.charCodeAt(at + 1) - 48
  return a >= 0 && a <= 9 && b >= 0 && b <= 9 ? a * 10 + b : -1
}

function digits4(text: string, at: number): number {
  const a = digits2(text, at)
  const b = digits2(text, at + 2)
  return a >= 0 && b >= 0 ? a * 100 + b : -1
}

/** `Z`, `UTC`, `GMT`, `+01`, `+0100`, `+01:00`, with a space before it or not; it must end the text. */
function readOffset(text: string, from: number, into: Reading): boolean {
  const at = text.charCodeAt(from) === 32 ? from + 1 : from
  const left = text.length - at
  const code = text.charCodeAt(at)
  if (code === 90 || code === 122) {
    into.offset = 0
    return left === 1
  }
  if (code === 43 || code === 45) {
    const hours = digits2(text, at + 1)
    const hasColon = text.charCodeAt(at + 3) === 58
    const minutes = left === 3 ? 0 : digits2(text, at + (hasColon ? 4 : 3))
    if (left !== 3 && left !== (hasColon ? 6 : 5)) return false
    if (hours < 0 || hours > 15 || minutes < 0 || minutes > 59) return false
    into.offset = (code === 45 ? -1 : 1) * (hours * 3600 + minutes * 60)
    return true
  }
  const name = text.slice(at).toUpperCase()
  into.offset = 0
  return name === 'UTC' || name === 'GMT'
}

const unixForm = /^([+-]?)(\d{1,19})(?:\.(\d{1,18}))?$/

/** `power`: how many decimal places the unit is above a microsecond. Digits below it are cut and counted. */
function parseUnix(text: string, into: Reading, power: number): boolean {
  const match = unixForm.exec(text)
  if (!match) return false
  const fraction = match[3] ?? ''
  const all = match[2] + fraction
  // the microsecond's place, counted from the left of all digits
  const keep = match[2]!.length + power
  const kept = keep <= 0 ? '0' : all.length >= keep ? all.slice(0, keep) : all.padEnd(keep, '0')
  const cut = keep < all.length ? all.slice(Math.max(keep, 0)) : ''
  const micros = BigInt(kept)
  into.beyond = cut === '' ? 0 : /[1-9]/.test(cut) ? 2 : 1
  // towards minus infinity, so that an instant before 1970 does not move into the future
  into.local = match[1] === '-' ? -micros - (into.beyond === 2 ? 1n : 0n) : micros
  into.offset = 0
  return true
}

const months = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']

/** Longest first, since the pattern is read from the left. */
const tokens: Readonly<Record<string, string>> = {
  YYYY: '(?<year>\\d{4})',
  MMM: '(?<monthName>[A-Za-z]{3,9})',
  MM: '(?<month>\\d{2})',
  M: '(?<month>\\d{1,2})',
  DD: '(?<day>\\d{2})',
  D: '(?<day>\\d{1,2})',
  HH: '(?<hour>\\d{2})',
  H: '(?<hour>\\d{1,2})',
  hh: '(?<hour12>\\d{2})',
  h: '(?<hour12>\\d{1,2})',
  mm: '(?<minute>\\d{2})',
  ss: '(?<second>\\d{2})',
  SSS: '(?<fraction>\\d{1,9})',
  A: '(?<half>[AaPp]\\.?[Mm]\\.?)',
  Z: '(?<zone>[Zz]|UTC|GMT|[+-]\\d{2}(?::?\\d{2})?)',
}
const tokenForm = /YYYY|MMM|MM|M|DD|D|HH|H|hh|h|mm|ss|SSS|A|Z|\[[^\]]*\]|[\s\S]/g

/** What is wrong with a pattern. */
class PatternProblem extends Error {}

/** The message of what is wrong with a pattern, or null. */
export function problemOfTimeFormat(format: string): string | null {
  if ((namedTimeFormats as readonly string[]).includes(format)) return null
  try {
    compilePattern(format)
    return null
  } catch (error) {
    if (error instanceof PatternProblem) return error.message
    throw error
  }
}

/**
 * A pattern of tokens (YYYY MM M DD D MMM HH H hh h mm ss SSS A Z), text in brackets and other characters that stand
 * for themselves. A space stands for one or more.
 */
function compilePattern(pattern: string): Parse {
  let source = ''
  const seen = new Set<string>()
  for (const [token] of pattern.matchAll(tokenForm)) {
    const part = tokens[token]
    if (part !== undefined) {
      const group = /<(\w+)>/.exec(part)![1]!
      if (seen.has(group)) throw new PatternProblem(`"${token}" stands twice`)
      seen.add(group)
      source += part
    } else if (token === ' ') source += '\\s+'
    else if (/[A-Za-z]/.test(token) && !token.startsWith('['))
      throw new PatternProblem(`"${token}" is no token; put text into brackets: [${token}]`)
    else
      source += (token.startsWith('[') && token.length > 1 ? token.slice(1, -1) : token).replace(
        /[\\^$.*+?()[\]{}|/-]/g,
        '\\$&',
      )
  }
  if (!seen.has('year') || !(seen.has('month') || seen.has('monthName')) || !seen.has('day'))
    throw new PatternProblem('a pattern needs year, month and day (YYYY, MM or MMM, DD)')
  if (seen.has('hour12') && !seen.has('half')) throw new PatternProblem('hh needs A (AM or PM)')
  const form = new RegExp(`^${source}$`)
  return (text, into) => {
    const groups = form.exec(text)?.groups
    if (!groups) return false
    const year = Number(groups.year)
    const month =
      groups.month !== undefined
        ? Number(groups.month)
        : months.indexOf(groups.monthName!.slice(0, 3).toLowerCase()) + 1
    const day = Number(groups.day)
    if (month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return false
    let hour = Number(groups.hour ?? 0)
    if (groups.hour12 !== undefined) {
      hour = Number(groups.hour12)
      if (hour < 1 || hour > 12) return false
      hour = (hour % 12) + (groups.half!.toLowerCase().startsWith('p') ? 12 : 0)
    }
    const minute = Number(groups.minute ?? 0)
    const second = Number(groups.second ?? 0)
    if (hour > 23 || minute > 59 || second > 60) return false
    const fraction = groups.fraction ?? ''
    const cut = fraction.slice(6)
    into.beyond = cut === '' ? 0 : /[1-9]/.test(cut) ? 2 : 1
    into.offset = null
    if (groups.zone !== undefined && !readOffset(groups.zone, 0, into)) return false
    const seconds = daysFromCivil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
    into.local = BigInt(seconds) * 1_000_000n + BigInt(fraction.slice(0, 6).padEnd(6, '0'))
    return true
  }
}

export type TimeGuess =
  | {
      readonly kind: 'found'
      readonly format: string
      readonly reason: string
      readonly isLocal: 'all' | 'some' | 'none'
    }
  | { readonly kind: 'ambiguous'; readonly formats: readonly string[]; readonly example: string }
  | { readonly kind: 'unknown'; readonly example: string }

/** Below: seconds until the year 5138, milliseconds from 1973, microseconds from 1973, nanoseconds from 1973. */
const magnitudes: readonly { below: number; format: NamedTimeFormat; unit: string }[] = [
  { below: 1e11, format: 'unix-s', unit: 'seconds' },
  { below: 1e14, format: 'unix-ms', unit: 'milliseconds' },
  { below: 1e17, format: 'unix-us', unit: 'microseconds' },
  { below: 1e20, format: 'unix-ns', unit: 'nanoseconds' },
]

const dayForms = ['/', '-', '.'].flatMap((s) => [
  { pattern: `M${s}D${s}YYYY`, other: `D${s}M${s}YYYY` },
  { pattern: `D${s}M${s}YYYY`, other: `M${s}D${s}YYYY` },
])
const otherForms = ['YYYY/M/D', 'YYYY.M.D', 'YYYY-M-D', 'D MMM YYYY', 'MMM D, YYYY', 'D-MMM-YYYY']
const clockForms = [
  '',
  ' H:mm',
  ' H:mm:ss',
  ' H:mm:ss.SSS',
  ' h:mm A',
  ' h:mm:ss A',
  ', H:mm:ss',
  ', h:mm:ss A',
  ' H.mm.ss',
]

/**
 * The format in which most of the samples are times. Day before month or month before day is only decided by a
 * sample that can be read one way; when there is none the answer is `ambiguous`, and the user must say.
 */
export function guessTimeFormat(samples: readonly string[]): TimeGuess {
  const example = samples[0] ?? ''
  const numeric = samples.filter((text) => /^[+-]?\d+(\.\d+)?$/.test(text))
  if (numeric.length * 2 > samples.length) {
    const asDay = probeTime('YYYYMMDD')
    if (numeric.every((text) => text.length === 8 && /^(19|20)/.test(text) && asDay(text) !== 'no'))
      return {
        kind: 'found',
        format: 'YYYYMMDD',
        reason: `${quote(numeric[0]!)} has eight digits that are a date`,
        isLocal: 'all',
      }
    const found = new Set(
      numeric.map((text) => magnitudes.find((m) => Math.abs(Number(text)) < m.below)?.format ?? 'unknown'),
    )
    // 0 and other small numbers are seconds of 1970 by size; they do not vote against a larger unit
    if (found.size === 2 && numeric.every((text) => Math.abs(Number(text)) >= 1e8 || Number(text) === 0))
      if (numeric.some((text) => Number(text) === 0)) found.delete('unix-s')
    const [format] = found
    if (found.size !== 1 || format === undefined || format === 'unknown')
      return { kind: 'ambiguous', formats: [...found].filter((f) => f !== 'unknown'), example: numeric[0]! }
    const { unit } = magnitudes.find((m) => m.format === format)!
    const shown = numeric.find((text) => Number(text) !== 0) ?? numeric[0]!
    const micros = new TimeReader(format, null).read(shown)
    const year =
      micros === null ? '' : `, which is ${new Date(Number(micros / 1000n)).toISOString().slice(0, 19)}Z`
    return {
      kind: 'found',
      format,
      reason: `${shown} is of the size of ${unit} since 1970${year}`,
      isLocal: 'none',
    }
  }
  const candidates = [
    'iso',
    'clf',
    ...dayForms.flatMap((form) => clockForms.map((clock) => form.pattern + clock)),
    ...otherForms.flatMap((form) => clockForms.map((clock) => form + clock)),
  ]
  let best: { format: string; hits: number; local: number; sample: string } | null = null
  for (const format of candidates) {
    const probe = probeTime(format)
    let hits = 0
    let local = 0
    let sample = ''
    for (const text of samples) {
      const answer = probe(text)
      if (answer === 'no') continue
      if (hits++ === 0) sample = text
      if (answer === 'local') local++
    }
    if (hits > (best?.hits ?? 0)) best = { format, hits, local, sample }
  }
  if (best === null || best.hits * 2 < samples.length) return { kind: 'unknown', example }
  const dayForm = dayForms.find((form) => best.format.startsWith(form.pattern))
  if (dayForm) {
    const other = dayForm.other + best.format.slice(dayForm.pattern.length)
    const probe = probeTime(other)
    if (samples.filter((text) => probe(text) !== 'no').length === best.hits)
      return { kind: 'ambiguous', formats: [best.format, other], example: best.sample }
  }
  return {
    kind: 'found',
    format: best.format,
    reason: `${best.hits} of the first ${samples.length} values have it, such as ${quote(best.sample)}`,
    isLocal: best.local === best.hits ? 'all' : best.local > 0 ? 'some' : 'none',
  }
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 57)}...` : text)
}
