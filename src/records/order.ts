import type { ColumnType } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { RecordTable } from './record-table.ts'

export interface OrderTerm {
  readonly index: number
  readonly column: string
  readonly type: ColumnType
  readonly nullable: boolean
  readonly descending: boolean
}

/** In which order rows are: as asked, then by what is left of the key, so that no two rows have the same place. */
export type ListOrder = readonly OrderTerm[]

/** @throws TidemarkError TM_QUERY */
export function readOrder(table: RecordTable, sort: readonly string[] | undefined): ListOrder {
  const { definition, columns } = table
  const terms: OrderTerm[] = []
  const term = (column: string, descending: boolean): OrderTerm => {
    const { type, nullable } = definition.columns[column]!
    return { index: columns.indexOf(column), column, type, nullable, descending }
  }
  for (const text of sort ?? []) {
    const descending = text.startsWith('-')
    const column = descending ? text.slice(1) : text
    const problem = sortProblem(table, column, terms)
    if (problem !== null)
      throw new TidemarkError('TM_QUERY', { path: 'sort', problem: `"${column}" ${problem}` })
    terms.push(term(column, descending))
  }
  const descending = terms.at(-1)?.descending ?? false
  const time = definition.kind === 'hypertable' ? definition.time : null
  // the order that rows of a hypertable have by themselves
  const key = time === null ? table.key : [time, ...table.key.filter((name) => name !== time)]
  for (const name of key) if (!terms.some(({ column }) => column === name)) terms.push(term(name, descending))
  return terms
}

function sortProblem(
  { definition, columns }: RecordTable,
  column: string,
  terms: readonly OrderTerm[],
): string | null {
  if (!columns.includes(column))
    return `is not a column of ${definition.name}; there are: ${columns.join(', ')}`
  const { type } = definition.columns[column]!
  if (type === 'jsonb' || type === 'text[]') return `is ${type}, which has no order`
  return terms.some((term) => term.column === column) ? 'is there twice' : null
}

/** Whether it is the order that rows of a hypertable are read in: by time, then by the rest of the key, in one direction. */
export function isOwnOrder({ definition, key }: RecordTable, order: ListOrder): boolean {
  if (definition.kind !== 'hypertable' || order.length !== key.length) return false
  const own = [definition.time, ...key.filter((name) => name !== definition.time)]
  return order.every(({ column, descending }, i) => column === own[i] && descending === order[0]!.descending)
}
