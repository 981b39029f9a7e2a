import { type StoredDefinition, type TenantScope, tenantRule } from '../schema/index.ts'

/**
 * The tenant that a snapshot is lent on behalf of; '' is nobody, null everybody. One that is no value of the column's type is nobody:
 * the policy of the table could not read it.
 */
export function tenantOfSnapshot(dataset: StoredDefinition, scope: TenantScope): string | null {
  if (scope.kind === 'all') return null
  const rule = tenantRule(dataset, scope)
  if (rule.kind === 'own') return String(rule.value)
  return rule.kind === 'shared' && scope.kind === 'one' ? scope.tenant : ''
}
