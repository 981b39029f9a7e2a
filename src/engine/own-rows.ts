import {
  allTenants,
  type StoredDefinition,
  type TenantGuard,
  type TenantScope,
  tenantGuard,
} from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'

type Rows = Iterable<unknown> | AsyncIterable<unknown>

/**
 * The rows of a call with its caller's tenant in them; those of `all` as they are.
 *
 * @throws TidemarkError TM_FORBIDDEN, TM_TENANT: at once, or for a row of another tenant when it comes.
 */
export function ownRows<R extends Rows>(definition: StoredDefinition, rows: R, scope = allTenants): R {
  const guard = tenantGuard(definition, scope)
  if (guard === null) return rows
  if (Array.isArray(rows)) return rows.map((row, i) => ownRow(definition, guard, row, i)) as unknown as R
  // what is no list is refused by who reads it
  if (typeof rows !== 'object' || rows === null) return rows
  if (Symbol.asyncIterator in rows || Symbol.iterator in rows)
    return each(definition, guard, rows) as unknown as R
  return rows
}

async function* each(definition: StoredDefinition, guard: TenantGuard, rows: Rows): AsyncGenerator<unknown> {
  let i = 0
  for await (const row of rows) {
    yield ownRow(definition, guard, row, i)
    i += 1
  }
}

function ownRow(definition: StoredDefinition, guard: TenantGuard, row: unknown, index: number): unknown {
  const own = guard.fill(row)
  if (
    typeof own === 'object' &&
    own !== null &&
    guard.isOther((own as Record<string, unknown>)[guard.column])
  )
    throw new TidemarkError('TM_TENANT', {
      table: definition.name,
      problem: `row ${index} is another tenant's by its "${guard.column}"`,
      todo: 'leave the column out, it is filled in',
    })
  return own
}

/** @throws TidemarkError TM_TENANT when a change would give rows to another tenant; TM_FORBIDDEN. */
export function assertOwnChange(
  definition: StoredDefinition,
  set: Readonly<Record<string, unknown>> | null,
  scope: TenantScope = allTenants,
): void {
  const guard = tenantGuard(definition, scope)
  if (guard === null || set === null || !Object.hasOwn(set, guard.column)) return
  const given = set[guard.column]
  if (given === undefined || !guard.isOther(given)) return
  throw new TidemarkError('TM_TENANT', {
    table: definition.name,
    problem: `the change would give rows to another tenant by "${guard.column}"`,
    todo: 'leave the column out',
  })
}
