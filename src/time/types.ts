/**
 * An instant: microseconds since 1970-01-01T00:00:00Z. PostgreSQL and Parquet keep microseconds; a JavaScript Date
 * would lose three digits.
 */
export type Instant = bigint

/** Half-open `[from, to)`. */
export interface TimeRange {
  readonly from: Instant
  readonly to: Instant
}

/**
 * A length of time. Fixed ones are microseconds; calendar ones have months or days whose length depends on where
 * they lie and, for days, on the zone.
 */
export type Interval =
  | { readonly kind: 'fixed'; readonly micros: bigint; readonly text: string }
  | { readonly kind: 'calendar'; readonly months: number; readonly days: number; readonly text: string }

/**
 * How instants are put into buckets. `zone` null means UTC. With a zone, `1 day` and longer are calendar units of
 * that zone and shorter ones follow its wall clock (docs/design/buckets.md).
 */
export interface BucketSpec {
  readonly every: Interval
  readonly zone: string | null
}

/** The seam for time: everything that asks for "now" is given one. */
export interface Clock {
  now(): Instant
}
