import { withReadSnapshot } from '../hot/index.ts'
import type { Database } from '../postgres/index.ts'
import { askProduct, type EventsAnswer, type ProductKind, type ProductQuestions } from '../product/index.ts'
import type { EventStore, QueryLimits } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Clock } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { QueryOptions } from './options.ts'
import { explainUnmigrated } from './unmigrated.ts'

/** Questions about events, each with rows of its own kind; docs/guide/product-analytics.md. */
export type ProductCalls<Datasets> = {
  readonly [K in ProductKind]: <D extends Datasets & { readonly kind: 'hypertable' }>(
    dataset: D,
    input: ProductQuestions<D>[K]['input'],
    options?: QueryOptions,
  ) => Promise<EventsAnswer<ProductQuestions<D>[K]['row']>>
}

export interface ProductOptions {
  readonly db: Database
  readonly clock: Clock
  readonly limits: QueryLimits
  readonly store: EventStore
  /** The most that a call may say. */
  readonly timeoutMs: number
}

/** Answers one question in one snapshot. At the deadline and by the signal PostgreSQL and DuckDB stop, too. */
export async function askEvents<K extends ProductKind>(
  { db, clock, limits, store, timeoutMs: most }: ProductOptions,
  kind: K,
  dataset: HypertableDefinition,
  input: unknown,
  options: QueryOptions,
): Promise<EventsAnswer<ProductQuestions[K]['row']>> {
  const timeoutMs = Math.min(options.timeoutMs ?? most, most)
  const deadline = new AbortController()
  const timer = setTimeout(
    () => deadline.abort(new TidemarkError('TM_TIMEOUT', { what: 'the question', limitMs: timeoutMs })),
    timeoutMs,
  )
  const signal = options.signal ? AbortSignal.any([options.signal, deadline.signal]) : deadline.signal
  try {
    return await explainUnmigrated(
      dataset,
      withReadSnapshot(db, { timeoutMs, signal, dataset }, (snapshot) =>
        askProduct(kind, input, { dataset, clock, limits, store, scan: { snapshot, signal } }),
      ),
    )
  } finally {
    clearTimeout(timer)
  }
}
