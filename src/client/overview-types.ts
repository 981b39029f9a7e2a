/** What `GET /api/v1/overview` answers. Instants are ISO 8601 in UTC, sizes bytes, durations milliseconds. */

/** Of the last 5 minutes; null: there was none. */
export interface Latency {
  /** Within 3 %. */
  readonly p50Ms: number | null
  readonly p95Ms: number | null
  readonly p99Ms: number | null
  readonly perSecond: number
  /** Failed for what the caller is not to blame for. */
  readonly errors: number
  /** Refused: wrong questions, rows that do not fit, limits. */
  readonly refused: number
}

/** Of ten seconds that begin `at`. */
export interface TrafficPoint {
  readonly at: string
  readonly queriesPerSecond: number
  readonly queryP50Ms: number | null
  readonly queryP95Ms: number | null
  readonly queryP99Ms: number | null
  readonly queryErrors: number
  readonly writesPerSecond: number
  readonly writeP95Ms: number | null
  readonly writeErrors: number
  readonly rowsPerSecond: number
}

export interface Overview {
  readonly now: string
  readonly uptimeMs: number
  readonly version: string
  readonly postgres: {
    readonly reachable: boolean
    readonly version: string | null
    /** Host, port and database. */
    readonly target: string
    /** Of one statement. */
    readonly ms: number | null
  }
  /** Questions that were computed; what a layer of the cache answered is in `cache`. */
  readonly queries: Latency
  readonly writes: Latency & { readonly rowsPerSecond: number }
  readonly cache: {
    /** Since the process began. */
    readonly layers: readonly CacheHealth[]
    /** Partial results of whole buckets; null: `cache.memory` is 0. */
    readonly results: CacheHealth | null
  }
  readonly ingest: {
    readonly rowsPerSecond: number
    /** In memory, on their way into PostgreSQL. */
    readonly waitingRows: number
    readonly waitingBytes: number
    readonly maxWaitingBytes: number
    /** On disk, acknowledged and not written yet. */
    readonly spoolBytes: number
    readonly maxSpoolBytes: number
  }
  readonly syncLag: {
    /** Of the continuous aggregate that is furthest behind; null: there is none. */
    readonly aggregatesMs: number | null
    /** Null: nobody follows the feed. */
    readonly feedMs: number | null
    /** Since when the oldest rows of the spool wait; 0: none do. */
    readonly spoolMs: number | null
  }
  readonly pool: {
    readonly total: number
    readonly inUse: number
    readonly idle: number
    readonly waiting: number
    readonly max: number
  }
  readonly redis: { readonly isUp: boolean } | null
  /** The worst first. */
  readonly findings: readonly OverviewFinding[]
  /** When they were looked for. */
  readonly findingsAt: string
  /** The newest 20. */
  readonly slow: readonly SlowQuery[]
  /** Longer than this is slow; null: nothing is. */
  readonly slowThresholdMs: number | null
  /** The last 30 minutes, ascending; ten seconds each. Of seconds in which nothing was asked, too. */
  readonly series: readonly TrafficPoint[]
}

export interface CacheHealth {
  readonly name: string
  readonly hits: number
  readonly misses: number
  /** Of the two, 0 to 1; null: nobody asked. */
  readonly ratio: number | null
  readonly entries: number
  readonly bytes: number
}

export interface OverviewFinding {
  /** `ok`: was looked at, and is as it should be. `note`: worth knowing. */
  readonly level: 'ok' | 'note' | 'warn' | 'error'
  /** What was looked at: jobs, lake, dead letters, … */
  readonly subject: string
  readonly message: string
  readonly doNext: string | null
}

export interface SlowQuery {
  readonly at: string
  readonly kind: string
  readonly dataset: string
  readonly ms: number
  /** `ok`, or the code of the error. */
  readonly outcome: string
  readonly rows: number | null
  /** Its shape, without values. */
  readonly query: unknown
  readonly plan: unknown
  readonly request: string | null
  readonly principal: string | null
}
