import { allTenants, type TenantScope } from '../schema/index.ts'

/** On whose behalf something is kept; null: for every tenant, or nobody. */
export function tenantOf(scope: TenantScope = allTenants): string | null {
  return scope.kind === 'one' && scope.tenant !== '' ? scope.tenant : null
}

/** The same, as keys of the same text are told apart. */
export function keyTenantOf(scope: TenantScope = allTenants): string {
  return tenantOf(scope) ?? ''
}
