import type { AggregateHealth } from '../client/index.ts'
import type { EndedQuery, EngineObserver } from '../engine/index.ts'
import { shapeOf } from './query-shape.ts'

type Use = AggregateHealth['usedBy']

const keep = 20
const maxSummary = 400

/** Which queries of this process were answered from continuous aggregates. */
export class AggregateUses {
  readonly #declared: ReadonlySet<string>
  readonly #uses = new Map<string, Use>()

  /** @param declared of others nothing is kept. */
  constructor(declared: readonly string[]) {
    this.#declared = new Set(declared)
  }

  get observer(): EngineObserver {
    return { onQuery: (query) => this.#see(query) }
  }

  of(aggregate: string): Use {
    return this.#uses.get(aggregate) ?? { queries: 0, lastAt: null, recent: [] }
  }

  #see(query: EndedQuery): void {
    const used = [...this.#usedBy(query)]
    if (used.length === 0) return
    const at = new Date().toISOString()
    const summary = JSON.stringify(shapeOf(query.question)) ?? ''
    const seen = {
      ...{ at, dataset: query.dataset.name, ms: Math.round(query.ms * 10) / 10 },
      summary: summary.length > maxSummary ? `${summary.slice(0, maxSummary)}…` : summary,
    }
    for (const name of used) {
      const { queries, recent } = this.of(name)
      this.#uses.set(name, { queries: queries + 1, lastAt: at, recent: [seen, ...recent].slice(0, keep) })
    }
  }

  /** Parts name it; where they came from the cache, the plan still says that it was used. */
  #usedBy({ plan, dataset }: EndedQuery): ReadonlySet<string> {
    if (plan === null) return new Set()
    const considered = 'aggregates' in plan ? (plan.aggregates ?? []) : []
    const names = [
      ...plan.parts.map(({ source }) => source),
      ...considered.filter(({ used }) => used).map(({ name }) => name),
      dataset.name,
    ]
    return new Set(names.filter((name) => this.#declared.has(name)))
  }
}
