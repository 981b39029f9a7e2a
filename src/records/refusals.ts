import { sqlstateOf } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'

/** SQLSTATEs that speak of what is in a row: data exceptions, a view's check, a value that is too long for an index. */
const valueStates = /^(22|44|54000$)/
/** What a trigger of the table raises. */
const raisedStates = /^P0/

/** What PostgreSQL says of a row that fits the declaration, as an error of the caller's. */
export function explainRefusal(error: unknown, { name }: StoredDefinition): unknown {
  if (!isTidemarkError(error)) return error
  if (error.code === 'TM_DUPLICATE_KEY' || error.code === 'TM_CONSTRAINT') return withTable(error, name)
  if (error.code !== 'TM_DATABASE') return error
  const state = sqlstateOf(error) ?? ''
  const problem = (error.cause as Error | undefined)?.message ?? error.message
  if (state === 'TM001') return new TidemarkError('TM_APPEND_ONLY', { table: name }, { cause: error })
  if (raisedStates.test(state))
    return new TidemarkError(
      'TM_CONSTRAINT',
      { table: name, constraint: 'a trigger', detail: problem },
      { cause: error },
    )
  if (valueStates.test(state))
    return new TidemarkError('TM_ROW', { row: 0, column: null, value: name, problem }, { cause: error })
  return error
}

/** PostgreSQL names a partition, or the table that refers to this one; people know the table. */
function withTable(error: TidemarkError, table: string): TidemarkError {
  const params = error.params as { readonly constraint?: string; readonly detail: string }
  return params.constraint === undefined
    ? new TidemarkError('TM_DUPLICATE_KEY', { table, detail: params.detail }, { cause: error.cause })
    : new TidemarkError(
        'TM_CONSTRAINT',
        { table, constraint: params.constraint, detail: params.detail },
        { cause: error.cause },
      )
}

/** Errors that one row of several can be to blame for, so that the others may be written without it. */
const ofOneRow: ReadonlySet<string> = new Set([
  'TM_ROW',
  'TM_QUERY',
  'TM_DUPLICATE_KEY',
  'TM_CONSTRAINT',
  'TM_EXPIRED',
  'TM_NOT_FOUND',
  'TM_VERSION',
  'TM_VERSION_REQUIRED',
  'TM_TENANT',
  'TM_CHUNK_CAP',
])

export function isOfOneRow(error: unknown): error is TidemarkError {
  return isTidemarkError(error) && ofOneRow.has(error.code)
}
