/**
 * Whose rows a caller works with. It is part of every call that is made for somebody: a caller without one is the operator's own
 * program.
 *
 * - `all`: rows of every tenant: operators, workers, a program of the team's own.
 * - `one`: the rows of one tenant, and what belongs to nobody (tables without a tenant column), which it may read and not write.
 * - `none`: of tables that have a tenant nothing.
 */
export type TenantScope =
  | { readonly kind: 'all' }
  | { readonly kind: 'one'; readonly tenant: string }
  | { readonly kind: 'none' }

export const allTenants: TenantScope = Object.freeze({ kind: 'all' })

export const noTenant: TenantScope = Object.freeze({ kind: 'none' })
