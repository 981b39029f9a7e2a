import type { ContinuousAggregateDefinition, HypertableDefinition } from '../schema/index.ts'
import type { BucketSpec } from '../time/index.ts'
import type { AggregateNode, AggregateQueryNode, FilterNode, GroupNode } from './nodes.ts'
import { parseAggregateQuery } from './parse-aggregate.ts'
import { freezeNode, startContext } from './parse-context.ts'
import { planStates } from './plan-states.ts'
import type { StateRequest } from './tier.ts'

/** A continuous aggregate, parsed: what refresh, tier and planner work with. Frozen. */
export interface Materialization {
  readonly definition: ContinuousAggregateDefinition
  readonly base: HypertableDefinition
  readonly bucket: BucketSpec
  /** The tenant, if there is one, then `by`. */
  readonly keys: readonly GroupNode[]
  readonly where: FilterNode | null
  /** Each different state once; its place here is its place in the table of cells. */
  readonly states: readonly StateRequest[]
  readonly outputs: readonly {
    readonly name: string
    readonly aggregate: AggregateNode
    /** Index into `states`. */
    readonly state: number
  }[]
}

const known = new WeakMap<ContinuousAggregateDefinition, Materialization>()

/** @throws TidemarkError TM_QUERY with the path when the definition does not fit its hypertable. */
export function materializationOf(definition: ContinuousAggregateDefinition): Materialization {
  const found = known.get(definition)
  if (found) return found
  const { base } = definition
  const query = {
    bucket: definition.bucket.every.text,
    zone: definition.bucket.zone,
    by: [...(base.tenant === null ? [] : [base.tenant]), ...definition.by],
    where: definition.where,
    select: definition.select,
  }
  // nothing in a definition is relative to a clock
  const context = startContext({ dataset: base, clock: { now: () => 0n } }, base)
  const node = freezeNode(parseAggregateQuery(query, context))
  const { states, steps } = planStates(node)
  const materialization: Materialization = Object.freeze({
    definition,
    base,
    bucket: definition.bucket,
    keys: node.by,
    where: node.where,
    states,
    outputs: Object.freeze(
      node.select.map(({ name, aggregate }, i) =>
        Object.freeze({ name, aggregate, state: (steps[i] as (typeof steps)[number]).state }),
      ),
    ),
  })
  known.set(definition, materialization)
  return materialization
}

/** The states that a query is finished from. */
export function stateRequests(node: Pick<AggregateQueryNode, 'dataset' | 'select'>): readonly StateRequest[] {
  return planStates(node).states
}

export { stateRequestKey } from './plan-states.ts'
