import { type FilterNode, parseQuery, type QueryLimits } from '../query/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import type { Clock, TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'

export interface SelectionContext {
  readonly clock: Clock
  readonly limits: QueryLimits
}

interface SelectedRows {
  readonly where: FilterNode | null
  readonly range: TimeRange | null
}

/** Which rows an update or a delete is for. @throws TidemarkError TM_QUERY where it names none, and not `all` either. */
export function selectRows(
  definition: StoredDefinition,
  selection: unknown,
  context: SelectionContext,
): SelectedRows {
  const { all, ...query } = selection as Readonly<Record<string, unknown>>
  const { where, range } = parseQuery(query, { dataset: definition, ...context })
  if (where === null && range === null && all !== true)
    throw new TidemarkError('TM_QUERY', {
      path: 'where',
      problem: 'is missing, and so is a range; say all: true when every row is meant',
    })
  return { where, range }
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
