/**
 * A text or value that is not a time, an interval or a zone. It carries no path: whoever asked for the
 * parsing knows where the value came from and wraps `problem` into a TidemarkError with that path.
 *
 * @example
 * try { parseInterval(text) } catch (error) {
 *   if (error instanceof TimeProblem) throw new TidemarkError('TM_QUERY', { path: 'bucket', problem: error.problem })
 *   throw error
 * }
 */
export class TimeProblem extends Error {
  override readonly name = 'TimeProblem'
  /** What is wrong and what to write instead, without a path. */
  readonly problem: string

  constructor(problem: string) {
    super(problem)
    this.problem = problem
  }
}

/** A value as it is shown in a message: quoted, one line, cut at 60 characters. */
export function showValue(value: unknown): string {
  const text =
    typeof value === 'string'
      ? JSON.stringify(value)
      : typeof value === 'bigint'
        ? `${value}n`
        : value instanceof Date
          ? Number.isNaN(value.getTime())
            ? 'an invalid Date'
            : value.toISOString()
          : value === null || typeof value !== 'object'
            ? typeof value === 'function'
              ? 'a function'
              : String(value)
            : Array.isArray(value)
              ? 'an array'
              : 'an object'
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}
