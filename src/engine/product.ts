import { withReadSnapshot } from '../hot/index.ts'
import type { Database } from '../postgres/index.ts'
import { askProduct, type EventsAnswer, type ProductKind, type ProductQuestions } from '../product/index.ts'
import {
  aggregatesForTenant,
  type EventStore,
  eventPartsForTenant,
  hidesOthers,
  partsForTenant,
  type QueryContext,
  type QueryLimits,
  type ReadUniques,
  readUniques,
  type Tier,
  withTenant,
} from '../query/index.ts'
import { allTenants, type HypertableDefinition, type TenantScope } from '../schema/index.ts'
import type { Clock } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { QueryOptions } from './options.ts'
import { explainTenantRights, tenantOfSnapshot } from './snapshot-tenant.ts'
import { explainUnmigrated } from './unmigrated.ts'
import { withholdOthers } from './withheld.ts'

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
  /** Where sketches are asked for. */
  readonly tiers: readonly Tier[]
  /** The most that a call may say. */
  readonly timeoutMs: number
}

/** Answers one question in one snapshot. At the deadline and by the signal PostgreSQL and DuckDB stop, too. */
export async function askEvents<K extends ProductKind>(
  { db, clock, limits, store, tiers, timeoutMs: most }: ProductOptions,
  kind: K,
  dataset: HypertableDefinition,
  input: unknown,
  options: QueryOptions,
): Promise<EventsAnswer<ProductQuestions[K]['row']>> {
  const timeoutMs = Math.min(options.timeoutMs ?? most, most)
  const scope = options.scope ?? allTenants
  const deadline = new AbortController()
  const timer = setTimeout(
    () => deadline.abort(new TidemarkError('TM_TIMEOUT', { what: 'the question', limitMs: timeoutMs })),
    timeoutMs,
  )
  const signal = options.signal ? AbortSignal.any([options.signal, deadline.signal]) : deadline.signal
  try {
    const tenant = tenantOfSnapshot(dataset, scope)
    const own = ownEvents(store, scope)
    const answer = withReadSnapshot(db, { timeoutMs, signal, dataset, tenant }, (snapshot) =>
      askProduct(kind, input, {
        ...{ dataset, clock, limits, store: own, scan: { snapshot, signal } },
        uniques: ownUniques({ tiers, snapshot, clock, signal, limits }, scope),
      }),
    )
    return await withholdOthers(scope, explainTenantRights(tenant, explainUnmigrated(dataset, answer)))
  } finally {
    clearTimeout(timer)
  }
}

/** The events of a scope alone, whatever a question asks of them. */
function ownEvents(store: EventStore, scope: TenantScope): EventStore {
  if (scope.kind === 'all') return store
  return {
    lend: (request, context, use) => {
      const { dataset } = request
      const where = withTenant(dataset, request.where, scope)
      const hides = hidesOthers(dataset, scope)
      return store.lend({ ...request, where }, context, ({ ask, parts }) =>
        use({ ask, parts: hides ? eventPartsForTenant(parts) : parts }),
      )
    },
  }
}

/** The same of sketches. */
function ownUniques(context: QueryContext, scope: TenantScope): ReadUniques {
  return async (request) => {
    const { dataset } = request
    const found = await readUniques({ ...request, where: withTenant(dataset, request.where, scope) }, context)
    if (!hidesOthers(dataset, scope)) return found
    const { parts, aggregates } = found
    return { ...found, parts: partsForTenant(parts), aggregates: aggregatesForTenant(aggregates) }
  }
}
