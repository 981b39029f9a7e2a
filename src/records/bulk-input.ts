import type { CanonicalValue, TenantScope } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { type BulkFailure, type BulkInput, bulkOperations, type Precondition } from './contract.ts'
import { keyIdentity, readKey, readKeyText } from './key.ts'
import type { RecordTable } from './record-table.ts'

/** Rows of one call at most. */
export const maxBulkRows = 10_000
/** Where each of them is a call of its own: changes of hypertables, and rows of them that are to come back. */
export const maxSingleRows = 1_000

/** @throws TidemarkError TM_QUERY, TM_LIMIT */
export function checkBulk({ definition }: RecordTable, input: BulkInput): void {
  const refuse = (path: string, problem: string): never => {
    throw new TidemarkError('TM_QUERY', { path, problem })
  }
  const { op, rows, atomic, return: wanted } = input
  const known = ['op', 'rows', 'atomic', 'return']
  for (const name of Object.keys(input))
    if (!known.includes(name)) refuse(name, `there is no "${name}"; there are: ${known.join(', ')}`)
  if (!bulkOperations.includes(op)) refuse('op', `is not one of ${bulkOperations.join(', ')}`)
  if (!Array.isArray(rows)) refuse('rows', 'is not a list')
  if (atomic !== undefined && typeof atomic !== 'boolean') refuse('atomic', 'is true or false')
  if (wanted !== undefined && wanted !== 'none' && wanted !== 'rows') refuse('return', "is 'none' or 'rows'")
  if (atomic === true && definition.kind === 'hypertable' && (op === 'patch' || op === 'delete'))
    refuse(
      'atomic',
      `${definition.name} is a hypertable, where each row is changed by itself; use update or delete with a condition`,
    )
  const isSingle =
    definition.kind === 'hypertable' && (op === 'patch' || op === 'delete' || wanted === 'rows')
  const limit = isSingle ? maxSingleRows : maxBulkRows
  if (rows.length > limit)
    throw new TidemarkError('TM_LIMIT', {
      what: 'the number of rows',
      value: String(rows.length),
      limit: String(limit),
      todo: 'send them in several calls',
    })
}

/** One row of a patch or delete. */
export interface KeyedItem {
  readonly index: number
  readonly key: readonly CanonicalValue[]
  readonly set: unknown
  readonly precondition: Precondition
}

/** @throws TidemarkError TM_QUERY */
export function readKeyedItem(
  table: RecordTable,
  op: 'patch' | 'delete',
  item: unknown,
  index: number,
  scope: TenantScope,
): KeyedItem {
  const place = `rows[${index}]`
  const known = op === 'patch' ? ['key', 'set', 'version'] : ['key', 'version']
  if (typeof item !== 'object' || item === null || Array.isArray(item))
    throw new TidemarkError('TM_QUERY', { path: place, problem: `is no object with ${known.join(', ')}` })
  const fields = item as Readonly<Record<string, unknown>>
  for (const name of Object.keys(fields))
    if (!known.includes(name))
      throw new TidemarkError('TM_QUERY', {
        path: `${place}.${name}`,
        problem: `there is no "${name}"; there are: ${known.join(', ')}`,
      })
  const { key, set, version } = fields
  if (version !== undefined && typeof version !== 'string')
    throw new TidemarkError('TM_QUERY', { path: `${place}.version`, problem: 'is not the version of a row' })
  const input = typeof key === 'string' ? readKeyText(table, key, scope) : key
  return {
    index,
    key: readKey(table, input, scope),
    set,
    precondition: version === undefined ? { kind: 'none' } : { kind: 'versions', versions: [version] },
  }
}

/** Keys that a call has named: each may be there once. */
export class NamedKeys {
  readonly #table: RecordTable
  readonly #seen = new Map<string, number>()

  constructor(table: RecordTable) {
    this.#table = table
  }

  /** @throws TidemarkError TM_QUERY the second time. */
  add(key: readonly CanonicalValue[], index: number): void {
    const identity = keyIdentity(this.#table, key)
    const first = this.#seen.get(identity)
    if (first !== undefined)
      throw new TidemarkError('TM_QUERY', {
        path: `rows[${index}]`,
        problem: `has the key of rows[${first}]; name each key once in a call`,
      })
    this.#seen.set(identity, index)
  }

  indexOf(key: readonly CanonicalValue[]): number | undefined {
    return this.#seen.get(keyIdentity(this.#table, key))
  }
}

/** The failure of one row; what is no fault of the row is thrown on. */
export function failureOf(error: unknown, index: number): BulkFailure {
  if (!isTidemarkError(error)) throw error
  const { status, code } = error
  // of one row the database says that it is the first
  const params = code === 'TM_ROW' ? { ...error.params, row: index } : error.params
  const detail = code === 'TM_ROW' ? new TidemarkError('TM_ROW', params as never).message : error.message
  return { index, status, code, detail, params }
}
