import { type StoredDefinition, type TenantScope, tenantRule } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'

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

/** What PostgreSQL says when the role of tenants is not there, or cannot be taken, or may not read what is declared. */
const lacksRights = new Set(['22023', '42501'])

/** Says what to do where the database is not ready to be asked on behalf of a tenant. */
export async function explainTenantRights<T>(tenant: string | null, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (tenant === null || !isTidemarkError(error) || error.code !== 'TM_DATABASE') throw error
    if (!lacksRights.has((error as TidemarkError<'TM_DATABASE'>).params.sqlstate)) throw error
    const problem = 'the database does not let this login ask on behalf of tenants'
    const todo = 'run `tidemark migrate`; `tidemark doctor` says what is missing'
    throw new TidemarkError('TM_MIGRATION', { problem, todo }, { cause: error })
  }
}
