import { TidemarkError } from '../util/errors.ts'

/** What one query may ask for and get. Every limit is stated in the error that it raises. */
export interface QueryLimits {
  /** Outputs of `select`. Each is a state per cell. Default 100. */
  readonly maxSelect: number
  /** Columns of `by` or `latestBy`. Default 16. */
  readonly maxGroups: number
  /** How deep `$and`, `$or`, `$not` may be nested. Default 16. */
  readonly maxFilterDepth: number
  /** Conditions of one query, all filters together. Default 500. */
  readonly maxFilterNodes: number
  /** Values of one `in`. They are one array parameter, so this costs memory only. Default 10,000. */
  readonly maxInList: number
  /** Characters of one text value or pattern. Default 65,536. */
  readonly maxTextLength: number
  /** Borders of one histogram. Default 1,000. */
  readonly maxBorders: number
  /**
   * Buckets that are listed one by one: calendar buckets of the range, and those that `fill` makes. Fixed buckets
   * without fill exist only where rows are and are bounded by `maxCells`. Default 100,000.
   */
  readonly maxBuckets: number
  /** Cells (bucket x group) that a query may have before `having` and `limit`. About 1 KB each with sketches. Default 200,000. */
  readonly maxCells: number
  /** Rows of an answer. A larger `limit` is refused. Default 100,000. */
  readonly maxRows: number
  /** Rows of a rows query that says no limit. Default 1,000. */
  readonly defaultRowLimit: number
  /** Width of the range in milliseconds; null: any, also none. Default null. */
  readonly maxRangeMs: number | null
}

export const defaultQueryLimits: QueryLimits = Object.freeze({
  maxSelect: 100,
  maxGroups: 16,
  maxFilterDepth: 16,
  maxFilterNodes: 500,
  maxInList: 10_000,
  maxTextLength: 65_536,
  maxBorders: 1_000,
  maxBuckets: 100_000,
  maxCells: 200_000,
  maxRows: 100_000,
  defaultRowLimit: 1_000,
  maxRangeMs: null,
} satisfies QueryLimits)

/**
 * Defaults with your own values over them, checked and frozen.
 *
 * @example
 * queryLimits({ maxRows: 10_000 })
 *
 * @throws TidemarkError TM_CONFIG for an unknown name or a value that is not a whole number above zero.
 */
export function queryLimits(over: Partial<QueryLimits> = {}): QueryLimits {
  for (const [name, value] of Object.entries(over)) {
    const path = `limits.${name}`
    if (!Object.hasOwn(defaultQueryLimits, name))
      throw new TidemarkError('TM_CONFIG', { path, problem: 'there is no such limit' })
    if (value === undefined || (name === 'maxRangeMs' && value === null)) continue
    if (!Number.isSafeInteger(value) || (value as number) < 1)
      throw new TidemarkError('TM_CONFIG', {
        path,
        problem: `${String(value)} is not a whole number above 0`,
      })
  }
  const given = Object.fromEntries(Object.entries(over).filter(([, value]) => value !== undefined))
  return Object.freeze({ ...defaultQueryLimits, ...given })
}

/** Raises TM_LIMIT when `value` is over `limit`. */
export function assertWithin(what: string, value: number, limit: number, todo: string): void {
  if (value > limit)
    throw new TidemarkError('TM_LIMIT', { what, value: String(value), limit: String(limit), todo })
}
