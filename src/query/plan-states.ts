import { type AggregateFunction, aggregates, type FinishOptions, stateKey } from '../aggregate/index.ts'
import { canonicalFilter } from './canonical.ts'
import type { AggregateQueryNode } from './nodes.ts'
import { inputTypeOf } from './references.ts'
import type { StateRequest } from './tier.ts'

/** How one output is finished: from which of the requested states. */
export interface FinishStep {
  readonly name: string
  readonly fn: AggregateFunction
  readonly state: number
  readonly options: FinishOptions
}

export interface StatePlan {
  /** Different states that are needed; p50, p95 and p99 of a column share one. */
  readonly states: readonly StateRequest[]
  /** In the order of `select`. */
  readonly steps: readonly FinishStep[]
}

/** Two requests with equal keys are the same state of the same rows. */
export function stateRequestKey({ spec, ref, where, series }: StateRequest): string {
  return JSON.stringify([
    ...[stateKey(spec), ref?.column, ref?.path, canonicalFilter(where)],
    // what has no series keeps a short key
    ...(series ? [series] : []),
  ])
}

export function planStates(node: Pick<AggregateQueryNode, 'dataset' | 'select'>): StatePlan {
  const states: StateRequest[] = []
  const known = new Map<string, number>()
  const steps = node.select.map(({ name, aggregate }): FinishStep => {
    const { fn, ref, where, borders, quantile, quantiles, k, series, weight } = aggregate
    const input = ref === null ? null : inputTypeOf(node.dataset, fn, ref)
    const spec = aggregates[fn].state(input, {
      borders,
      k,
      weight,
      series: series?.map((column) => inputTypeOf(node.dataset, fn, { column, path: [] })),
    })
    const request: StateRequest = { spec, ref, where, ...(series && { series }) }
    const key = stateRequestKey(request)
    let state = known.get(key)
    if (state === undefined) {
      state = states.push(request) - 1
      known.set(key, state)
    }
    return { name, fn, state, options: { quantile, quantiles, k } }
  })
  return { states, steps }
}
