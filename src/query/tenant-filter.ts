import { type DatasetDefinition, type TenantScope, tenantRule } from '../schema/index.ts'
import type { FilterNode, QueryNode } from './nodes.ts'
import { freezeNode } from './parse-context.ts'

/** Which rows of a table a scope sees; null: every one. */
export function tenantFilter(dataset: DatasetDefinition, scope: TenantScope): FilterNode | null {
  const rule = tenantRule(dataset, scope)
  switch (rule.kind) {
    case 'all':
    case 'shared':
      return null
    case 'nothing':
      return nothing
    case 'own': {
      const ref = { column: rule.column, path: [] }
      return { kind: 'compare', ref, operator: 'eq', value: rule.value }
    }
  }
}

/** An empty `or` is false. */
const nothing: FilterNode = Object.freeze({ kind: 'or', filters: Object.freeze([]) })

/** What holds of the caller's rows, first: planners that look for a tenant find his before one that he asks for. */
export function withTenant(
  dataset: DatasetDefinition,
  where: FilterNode | null,
  scope: TenantScope,
): FilterNode | null {
  const own = tenantFilter(dataset, scope)
  if (own === null || where === null) return own ?? where
  return { kind: 'and', filters: [own, where] }
}

/**
 * A query about the rows of a scope alone; that of `all` is the same object.
 *
 * @example
 * scopeQuery(parseQuery(input, context), { kind: 'one', tenant: 'acme' })
 */
export function scopeQuery<N extends QueryNode>(node: N, scope: TenantScope): N {
  if (scope.kind === 'all') return node
  const where = withTenant(node.dataset, node.where, scope)
  return freezeNode({ ...node, where, scope: { ...scope } })
}
