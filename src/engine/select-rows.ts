import { type FilterNode, parseQuery, type QueryLimits, withTenant } from '../query/index.ts'
import { allTenants, type StoredDefinition, type TenantScope } from '../schema/index.ts'
import type { Clock, TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'

export interface SelectionContext {
  readonly clock: Clock
  readonly limits: QueryLimits
  /** Whose rows; absent: every tenant's. */
  readonly scope?: TenantScope | undefined
}

interface SelectedRows {
  readonly where: FilterNode | null
  readonly range: TimeRange | null
}

/** Which rows an update or a delete is for. @throws TidemarkError TM_QUERY where it names none, and not `all` either. */
export function selectRows(
  definition: StoredDefinition,
  selection: unknown,
  { scope = allTenants, ...context }: SelectionContext,
): SelectedRows {
  const { all, ...query } = fieldsOf(selection, 'a selection such as { where: { status: "test" } }')
  const { where, range } = parseQuery(query, { dataset: definition, ...context })
  // what a query may have, and would change nothing here
  for (const key of Object.keys(query))
    if (query[key] !== undefined && !selectionKeys.includes(key))
      throw new TidemarkError('TM_QUERY', {
        path: key,
        problem: 'belongs to a query; rows are chosen by where, from, to, zone or all',
      })
  if (where === null && range === null && all !== true)
    throw new TidemarkError('TM_QUERY', {
      path: 'where',
      problem: 'is missing, and so is a range; say all: true when every row is meant',
    })
  return { where: withTenant(definition, where, scope), range }
}

const selectionKeys = ['where', 'from', 'to', 'zone']

/** What an update is: which rows, and new values for them. @throws TidemarkError TM_QUERY */
export function selectChange(change: unknown): {
  readonly set: Readonly<Record<string, unknown>>
  readonly [key: string]: unknown
} {
  const { set, ...selection } = fieldsOf(change, 'a change such as { where: { id: 1 }, set: { name: "a" } }')
  return { ...selection, set: fieldsOf(set, 'new values by column such as { name: "a" }', 'set') }
}

function fieldsOf(input: unknown, wanted: string, path = 'query'): Readonly<Record<string, unknown>> {
  if (typeof input === 'object' && input !== null && !Array.isArray(input))
    return input as Readonly<Record<string, unknown>>
  throw new TidemarkError('TM_QUERY', { path, problem: `must be ${wanted}` })
}

/** Whose rows an erasure is for. @throws TidemarkError TM_QUERY without a condition. */
export function selectErased(
  definition: StoredDefinition,
  selection: unknown,
  context: SelectionContext,
): SelectedRows & { readonly where: FilterNode } {
  const given = selection as Readonly<Record<string, unknown>>
  const { where, range } = selectRows(definition, { ...given, all: true }, context)
  if (where !== null) return { where, range }
  throw new TidemarkError('TM_QUERY', {
    path: 'where',
    problem: 'is missing; an erasure needs a condition (expire drops whole chunks)',
  })
}
