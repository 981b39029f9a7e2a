import { instantOfLocal, isFiniteInstant, type Zone } from '../time/index.ts'
import { type Parse, parseIso, parseUnix, type Reading } from './parse-time.ts'
import { compilePattern, PatternProblem } from './time-pattern.ts'

/** Unix times by their unit; `iso` is ISO 8601 and SQL's form of it; `clf` is the log format's; else a pattern. */
export const namedTimeFormats = ['iso', 'unix-s', 'unix-ms', 'unix-us', 'unix-ns', 'clf'] as const
export type NamedTimeFormat = (typeof namedTimeFormats)[number]

export type TimeProblemReason = 'time' | 'time_zone' | 'range'

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
