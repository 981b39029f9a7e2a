import { createChangeWatch, hasDroppedChunks, withReadSnapshot } from '../hot/index.ts'
import type { Database } from '../postgres/index.ts'
import {
  type Answer,
  type CountingResultsCache,
  createResultsCache,
  executeQuery,
  type KeptCounts,
  parseQuery,
  type QueryLimits,
  scopeQuery,
  type Tier,
} from '../query/index.ts'
import { queryText } from '../query-text/index.ts'
import {
  allTenants,
  type QueryableDefinition,
  type TenantScope,
  type TidemarkConfig,
} from '../schema/index.ts'
import type { Clock } from '../time/index.ts'
import type { QueryOptions } from './options.ts'
import { type ShadowAlarm, ShadowChecks, type ShadowCounts } from './shadow-checks.ts'
import { explainTenantRights, tenantOfSnapshot } from './snapshot-tenant.ts'
import { explainUnmigrated } from './unmigrated.ts'
import { withholdOthers } from './withheld.ts'

export interface QueriesOptions {
  readonly db: Database
  readonly clock: Clock
  readonly config: Pick<TidemarkConfig, 'cache' | 'shadow' | 'limits'>
  readonly limits: QueryLimits
  readonly tiers: readonly Tier[]
  /** Those that have rows, and keep nothing that was made of them: shadow checks compute with these. */
  readonly rowTiers: readonly Tier[]
  readonly raise: (alarm: ShadowAlarm) => Promise<void>
}

/** Answers queries: each in one snapshot, from what is kept where that is right, and a share of them once more from raw rows. */
export class Queries {
  readonly #options: QueriesOptions
  /** Null: nothing is kept. */
  readonly #results: CountingResultsCache | null
  readonly #shadow: ShadowChecks

  constructor(options: QueriesOptions) {
    this.#options = options
    const { clock, config, limits, rowTiers, raise } = options
    const { memoryBytes } = config.cache
    this.#results = memoryBytes === 0 ? null : createResultsCache({ memoryBytes, watch: createChangeWatch() })
    this.#shadow = new ShadowChecks({
      ...config.shadow,
      raise,
      compute: async (node, snapshot, signal) => {
        const { dataset, range } = node
        if (dataset.kind !== 'hypertable') return null
        // what an aggregate keeps beyond the retention of its rows, no row can tell
        if (node.of && (await hasDroppedChunks(snapshot, dataset, range))) return null
        return executeQuery(node, { tiers: rowTiers, snapshot, clock, signal, limits })
      },
    })
  }

  get kept(): KeptCounts | null {
    return this.#results?.counts ?? null
  }

  get shadowChecks(): ShadowCounts {
    return this.#shadow.counts
  }

  /** @throws TidemarkError TM_QUERY when it cannot be asked. */
  check(asked: QueryableDefinition, query: unknown): void {
    const { clock, limits } = this.#options
    parseQuery(query, { dataset: asked, clock, limits })
  }

  /** As SQL. @throws TidemarkError TM_QUERY, TM_NO_SQL */
  text(asked: QueryableDefinition, query: unknown, scope: TenantScope): string {
    const { clock, limits } = this.#options
    return queryText(scopeQuery(parseQuery(query, { dataset: asked, clock, limits }), scope))
  }

  ask(asked: QueryableDefinition, query: unknown, options: QueryOptions): Promise<Answer> {
    const { db, clock, limits, tiers, config } = this.#options
    const scope = options.scope ?? allTenants
    const node = scopeQuery(parseQuery(query, { dataset: asked, clock, limits }), scope)
    const { dataset } = node
    const most = config.limits.queryTimeoutMs
    const bounds = {
      timeoutMs: Math.min(options.timeoutMs ?? most, most),
      signal: options.signal ?? null,
    }
    const tenant = tenantOfSnapshot(dataset, scope)
    const answer = this.#shadow.read(node, bounds, ({ timeoutMs, signal, answered }) =>
      withReadSnapshot(
        db,
        { timeoutMs, signal, dataset, tenant, taken: 'with the first statement' },
        async (snapshot) => {
          const context = { tiers, snapshot, clock, signal, limits, results: this.#results }
          const answer = await executeQuery(node, context)
          await answered(answer, snapshot)
          return answer
        },
      ),
    )
    return withholdOthers(scope, explainTenantRights(tenant, explainUnmigrated(asked, answer)))
  }

  /** Waits for what runs behind the answers. */
  close(): Promise<void> {
    return this.#shadow.close()
  }
}
