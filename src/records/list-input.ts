import { type FilterNode, parseQuery } from '../query/index.ts'
import type { TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { ListInput, RecordsOptions } from './contract.ts'
import { type ListOrder, readOrder } from './order.ts'
import type { RecordTable } from './record-table.ts'

export const defaultPageRows = 100
export const maxPageRows = 1_000

/** A list as it was asked for, checked. */
export interface ListRequest {
  /** Without the caller's tenant. */
  readonly where: FilterNode | null
  readonly range: TimeRange | null
  readonly order: ListOrder
  readonly fields: readonly string[]
  readonly limit: number
  readonly cursor: string | null
  readonly withCount: boolean
  readonly withVersions: boolean
}

const known = ['where', 'from', 'to', 'zone', 'sort', 'fields', 'limit', 'cursor', 'count', 'versions']

/** @throws TidemarkError TM_QUERY, TM_LIMIT */
export function readListInput(
  table: RecordTable,
  input: ListInput,
  { clock, limits }: Pick<RecordsOptions, 'clock' | 'limits'>,
): ListRequest {
  for (const name of Object.keys(input))
    if (!known.includes(name)) refuse(name, `there is no "${name}"; there are: ${known.join(', ')}`)
  const { where, from, to, zone, sort, fields, limit = defaultPageRows, cursor = null } = input
  if (!Number.isSafeInteger(limit) || limit < 1 || limit > maxPageRows)
    refuse('limit', `${String(limit)} is not a whole number from 1 to ${maxPageRows}`)
  if (cursor !== null && typeof cursor !== 'string') refuse('cursor', 'is not the cursor of a page')
  for (const [name, value] of [
    ['count', input.count],
    ['versions', input.versions],
  ] as const)
    if (value !== undefined && typeof value !== 'boolean') refuse(name, 'is true or false')
  const columns = fields === undefined ? {} : { columns: listOf(fields, 'fields') }
  const node = parseQuery({ where, from, to, zone, ...columns }, { dataset: table.definition, clock, limits })
  if (node.kind !== 'rows') return refuse('where', 'cannot be read')
  return {
    where: node.where,
    range: node.range,
    order: readOrder(table, sort === undefined ? undefined : listOf(sort, 'sort')),
    fields: node.columns,
    limit,
    cursor,
    withCount: input.count === true,
    withVersions: input.versions === true,
  }
}

function listOf(value: unknown, path: string): readonly string[] {
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value
  return refuse(path, 'is not a list of names')
}

function refuse(path: string, problem: string): never {
  throw new TidemarkError('TM_QUERY', { path, problem })
}
