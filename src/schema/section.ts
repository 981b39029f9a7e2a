import { boundMicros, parseInterval, TimeProblem } from '../time/index.ts'
import { checkKeys, type ProblemList } from './problems.ts'

const mebibyte = 1024 * 1024

/** Reads the options of one section of the configuration. What is wrong is added to the problems, and the default goes on. */
export class Section {
  readonly #problems: ProblemList
  readonly #path: string
  readonly #input: Readonly<Record<string, unknown>>

  constructor(problems: ProblemList, path: string, input: Readonly<Record<string, unknown>>) {
    this.#problems = problems
    this.#path = path
    this.#input = input
  }

  /** `path` is below the configuration: `.server.tls`. What is no object, or has unknown keys, is a problem. */
  static read(problems: ProblemList, path: string, input: unknown, keys: readonly string[]): Section {
    const value = input ?? {}
    return new Section(problems, path, checkKeys(problems, path, value, keys) ? value : {})
  }

  get input(): Readonly<Record<string, unknown>> {
    return this.#input
  }

  #refuse(key: string, expected: string): void {
    const value = this.#input[key]
    const shown = typeof value === 'object' ? 'it' : JSON.stringify(value)
    this.#problems.add(`${this.#path}.${key}`, `${shown} is not ${expected}`)
  }

  text(key: string, fallback: string): string {
    const value = this.#input[key]
    if (value === undefined) return fallback
    if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value
    this.#refuse(key, 'a text')
    return fallback
  }

  /** The value is never shown: it may hold a password. */
  url(key: string): string | null {
    const value = this.#input[key]
    if (value === undefined || value === null) return null
    if (typeof value === 'string' && /^postgres(ql)?:\/\/./.test(value)) return value
    this.#problems.add(`${this.#path}.${key}`, 'must be a URL such as postgres://user@host/database')
    return null
  }

  whole(key: string, fallback: number, least = 1, most = Number.MAX_SAFE_INTEGER): number {
    const value = this.#input[key]
    if (value === undefined) return fallback
    if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
    this.#refuse(
      key,
      most === Number.MAX_SAFE_INTEGER
        ? `a whole number from ${least} on`
        : `a whole number from ${least} to ${most}`,
    )
    return fallback
  }

  given(key: string): boolean {
    return this.#input[key] !== undefined
  }

  /** From 0 to 1. */
  share(key: string, fallback: number): number {
    const value = this.#input[key]
    if (value === undefined) return fallback
    if (typeof value === 'number' && value >= 0 && value <= 1) return value
    this.#refuse(key, 'a number from 0 to 1')
    return fallback
  }

  /** A number of bytes, or text such as '512MB': units of 1024. */
  bytes(key: string, fallback: number | null, least: number): number | null {
    const value = this.#input[key]
    if (value === undefined || value === null) return fallback
    const match = typeof value === 'string' ? /^(\d+(?:\.\d+)?) ?(KB|MB|GB|TB)$/i.exec(value.trim()) : null
    const power = match ? ['KB', 'MB', 'GB', 'TB'].indexOf(match[2]!.toUpperCase()) + 1 : 0
    const bytes = match ? Math.round(Number(match[1]) * 1024 ** power) : value
    if (typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes >= least) return bytes
    this.#refuse(key, `a number of bytes or a text such as '2GB', from ${least / mebibyte}MB on`)
    return fallback
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#input[key]
    if (value === undefined) return fallback
    if (typeof value === 'boolean') return value
    this.#refuse(key, 'true or false')
    return fallback
  }

  /** A duration in milliseconds; null only where null is the default. */
  millis<F extends number | null>(key: string, fallback: F): number | F {
    const value = this.#input[key]
    if (value === undefined || (value === null && fallback === null)) return fallback
    try {
      const { most } = boundMicros(parseInterval(value as string))
      const millis = Number(most / 1000n)
      if (millis >= 1) return millis
      this.#refuse(key, 'at least a millisecond')
    } catch (error) {
      if (!(error instanceof TimeProblem)) throw error
      this.#problems.add(`${this.#path}.${key}`, error.problem)
    }
    return fallback
  }
}
