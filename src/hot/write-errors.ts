import { sqlstateOf } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'

/** The routing of a transaction turned out to be old: a chunk has moved. */
export class StaleRouting extends Error {
  constructor() {
    super('a chunk is no longer where the catalog said')
  }
}

/**
 * A chunk has come, gone or moved while the rows were on their way. Also while a statement on the table was running: the
 * default partition then refuses rows that have a chunk now. (A CHECK constraint names itself, a partition's bound does not.)
 */
export function isMoved(error: unknown): boolean {
  if (error instanceof StaleRouting) return true
  const state = sqlstateOf(error)
  if (state !== '23514') return state === '42P01'
  return isTidemarkError(error) && (error.cause as { readonly constraint?: string }).constraint === undefined
}

/** Rows of the lake may be meant (sql/000007_lake.sql): the write has to look at them first. */
export function isRefusedByGuard(error: unknown): boolean {
  return sqlstateOf(error) === 'TM002'
}

export function positive(value: number, path: string): number {
  if (Number.isSafeInteger(value) && value >= 1) return value
  throw new TidemarkError('TM_CONFIG', { path, problem: `must be a whole number from 1 on, not ${value}` })
}

export function refuseAppendOnly(definition: StoredDefinition): void {
  if (definition.appendOnly) throw new TidemarkError('TM_APPEND_ONLY', { table: definition.name })
}

/** PostgreSQL names the partition; people know the table. */
export function nameTable(error: unknown, definition: StoredDefinition): unknown {
  if (!isTidemarkError(error)) return error
  const cause = error.cause ?? error
  const table = definition.name
  if (error.code === 'TM_DUPLICATE_KEY') {
    const { detail } = error.params as { detail: string }
    return new TidemarkError('TM_DUPLICATE_KEY', { table, detail }, { cause })
  }
  if (error.code === 'TM_CONSTRAINT') {
    const { constraint, detail } = error.params as { constraint: string; detail: string }
    return new TidemarkError(
      'TM_CONSTRAINT',
      { table, constraint, detail: constraintWords(error) ?? detail },
      { cause },
    )
  }
  if (isRefusedByGuard(error)) {
    const what = 'a write'
    const todo = 'write through the API (createTidemark), or thaw the chunk first (tidemark thaw)'
    return new TidemarkError('TM_COLD', { table, what, todo }, { cause })
  }
  if (sqlstateOf(error) === 'TM001') return new TidemarkError('TM_APPEND_ONLY', { table }, { cause })
  return error
}

/** PostgreSQL's own text is in the language of the server, and names the partition. */
function constraintWords(error: TidemarkError): string | null {
  const { column } = (error.cause ?? {}) as { readonly column?: string }
  switch (sqlstateOf(error)) {
    case '23502':
      return column === undefined ? 'a value is null' : `"${column}" is null`
    case '23503':
      return 'a row points at one that is not there, or others point at it'
    case '23514':
      return 'a row does not satisfy it'
    case '23P01':
      return 'a row excludes one that exists'
    default:
      return null
  }
}
