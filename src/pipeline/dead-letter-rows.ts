import {
  allTenants,
  type StoredDefinition,
  type TenantGuard,
  type TenantScope,
  tenantGuard,
} from '../schema/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { unreadableBecause } from './dead-letter-advice.ts'
import type { StoredRow } from './dead-letter-patch.ts'
import type { DeadLetter } from './dead-letter-store.ts'
import type { DeadRow } from './dead-letters.ts'
import { checkRows } from './row-checker.ts'

/** The row of a letter, or why none can be read from it. */
export function rowOf(letter: DeadLetter, definition: StoredDefinition | null): StoredRow | string {
  if (definition === null) return `the configuration has no dataset ${letter.dataset} with rows of its own`
  const refused = refusalOf(letter, definition)
  if (refused !== null) return refused
  if (!letter.isWhole || letter.onConflict === null || letter.raw === null) return unreadableBecause(letter)
  const row: unknown = JSON.parse(letter.raw)
  if (typeof row !== 'object' || row === null || Array.isArray(row))
    return 'what came is no row, which is an object with a value for each column; give the row whole (fix --row), or drop the letter'
  return row as StoredRow
}

/** Why whoever it came from may write no rows there, as the tables are declared now; null: he may. */
function refusalOf(letter: DeadLetter, definition: StoredDefinition): string | null {
  try {
    guardOf(letter, definition)
    return null
  } catch (error) {
    if (!isTidemarkError(error)) throw error
    return error.message
  }
}

export function guardOf({ tenant }: DeadLetter, definition: StoredDefinition): TenantGuard | null {
  return tenantGuard(definition, scopeOf({ tenant }))
}

export function scopeOf({ tenant }: Pick<DeadLetter, 'tenant'>): TenantScope {
  return tenant === null ? allTenants : { kind: 'one', tenant }
}

export async function firstProblem(
  definition: StoredDefinition,
  row: unknown,
  guard: TenantGuard | null,
): Promise<DeadRow | null> {
  return (await checkRows(definition, [row], false, null, guard)).dead[0] ?? null
}
