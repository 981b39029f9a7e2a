import type { EndedQuery } from '../engine/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { shapeOf, textOfQuestion } from './query-shape.ts'

/** A query that took long, as it is logged and kept. */
export interface SlowQuery {
  /** ISO. */
  readonly at: string
  readonly kind: EndedQuery['kind']
  readonly dataset: string
  readonly ms: number
  /** `ok`, or the code of the error. */
  readonly outcome: string
  readonly rows: number | null
  /** Without its values, where they are not asked for. */
  readonly query: unknown
  /** Where the answer came from, with the reasons; null: there is none. */
  readonly plan: unknown
  /** Of the request, and who sent it; null: the program itself. */
  readonly request: string | null
  readonly principal: string | null
}

export interface SlowQueriesOptions {
  /** Null: none is slow. */
  readonly thresholdMs: number | null
  /** Whether queries are shown with their values. */
  readonly withValues: boolean
  /** How many are kept; default 100. */
  readonly keep?: number
  readonly onSlow?: (query: SlowQuery) => void
}

const maxParts = 20

/** The last slow queries of this process. */
export class SlowQueries {
  readonly #options: Required<SlowQueriesOptions>
  readonly #kept: SlowQuery[] = []

  constructor(options: SlowQueriesOptions) {
    this.#options = { keep: 100, onSlow: () => {}, ...options }
  }

  /** Newest first. */
  get all(): readonly SlowQuery[] {
    return [...this.#kept].reverse()
  }

  see(query: EndedQuery): void {
    const { thresholdMs, withValues, keep, onSlow } = this.#options
    if (thresholdMs === null || query.ms < thresholdMs) return
    const { kind, dataset, ms, rows, plan, error, origin, question } = query
    const slow: SlowQuery = {
      at: new Date().toISOString(),
      kind,
      dataset: dataset.name,
      ms: Math.round(ms),
      outcome: error === null ? 'ok' : isTidemarkError(error) ? error.code : 'TM_INTERNAL',
      rows,
      query: withValues ? textOfQuestion(question) : shapeOf(question),
      plan: plan === null ? null : planOf(plan),
      request: origin?.request ?? null,
      principal: origin?.principal ?? null,
    }
    this.#kept.push(slow)
    if (this.#kept.length > keep) this.#kept.shift()
    onSlow(slow)
  }
}

/** Parts and reasons; what a plan says of limits and snapshots is of no use here. */
function planOf(plan: NonNullable<EndedQuery['plan']>): unknown {
  const parts = plan.parts.slice(0, maxParts)
  const more = plan.parts.length - parts.length
  if (!('ms' in plan)) return { parts, elapsedMs: plan.elapsedMs }
  const { range, aggregates = [], ms } = plan
  return { range, parts, ...(more > 0 ? { morePartsThan: maxParts } : {}), aggregates, ms }
}
