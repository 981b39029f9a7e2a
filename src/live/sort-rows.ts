import { compareValues } from '../query/index.ts'
import type { ColumnDefinition, QueryableDefinition } from '../schema/index.ts'
import { infinityInstant, minusInfinityInstant, parseInstant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'

type Row = Readonly<Record<string, unknown>>

/** Puts the rows of a list into its order, and cuts it. */
export interface RowSort {
  /** As it was asked for. */
  readonly order: readonly string[]
  readonly columns: readonly string[]
  apply(rows: readonly Row[]): readonly Row[]
}

interface SortKey {
  readonly column: string
  readonly definition: ColumnDefinition
  readonly isDescending: boolean
}

/**
 * Rows of a plain table in an order of the caller's choice. The list has a bound, so it is sorted here: of rows that are equal in it
 * the order of the primary key stays, nulls are last either way.
 *
 * @throws TidemarkError TM_QUERY, TM_LIMIT
 */
export function readSort(
  dataset: QueryableDefinition,
  given: Row,
  maxRows: number,
): { readonly query: Row; readonly sort: RowSort | null } {
  const isList = dataset.kind === 'table' && given['select'] === undefined
  if (!isList || given['order'] === undefined || given['order'] === null) return { query: given, sort: null }
  const { order, limit, ...query } = given
  const keys = readKeys(dataset.columns, order)
  const count = limit ?? maxRows
  if (!Number.isSafeInteger(count) || (count as number) < 1)
    throw new TidemarkError('TM_QUERY', {
      path: 'limit',
      problem: `${String(count)} is not a whole number above 0`,
    })
  if ((count as number) > maxRows)
    throw new TidemarkError('TM_LIMIT', {
      what: 'limit',
      value: String(count),
      limit: String(maxRows),
      todo: 'give a smaller one',
    })
  return {
    // one more than may be: then there are more than can be sorted
    query: { ...query, limit: maxRows + 1 },
    sort: {
      order: [...(typeof order === 'string' ? [order] : (order as readonly string[])), `limit ${count}`],
      columns: keys.map(({ column }) => column),
      apply(rows) {
        if (rows.length > maxRows)
          throw new TidemarkError('TM_LIMIT', {
            what: 'the number of rows that a live list is chosen from',
            value: 'more',
            limit: String(maxRows),
            todo: 'give conditions that fewer rows meet, or leave the order out',
          })
        const sorted = rows.map((row) => ({ row, values: keys.map((key) => sortValue(key, row)) }))
        sorted.sort((a, b) => compare(keys, a.values, b.values))
        return sorted.slice(0, count as number).map(({ row }) => row)
      },
    },
  }
}

function readKeys(columns: Readonly<Record<string, ColumnDefinition>>, order: unknown): readonly SortKey[] {
  const names = typeof order === 'string' ? [order] : order
  if (!Array.isArray(names) || names.length === 0 || names.length > 16)
    throw new TidemarkError('TM_QUERY', { path: 'order', problem: 'give 1 to 16 names of columns' })
  return names.map((name, i) => {
    const isDescending = typeof name === 'string' && name.startsWith('-')
    const column = isDescending ? name.slice(1) : name
    const definition = Object.hasOwn(columns, column) ? columns[column] : undefined
    if (definition === undefined || definition.type === 'jsonb')
      throw new TidemarkError('TM_QUERY', {
        path: `order.${i}`,
        problem: `${JSON.stringify(name)} is not the name of a column that has an order`,
      })
    return { column, definition, isDescending }
  })
}

function sortValue({ column, definition }: SortKey, row: Row): unknown {
  const value = row[column] ?? null
  if (value === null || definition.type !== 'timestamptz' || typeof value !== 'string') return value
  if (value === 'infinity') return infinityInstant
  return value === '-infinity' ? minusInfinityInstant : parseInstant(value)
}

function compare(keys: readonly SortKey[], a: readonly unknown[], b: readonly unknown[]): number {
  for (let i = 0; i < keys.length; i++) {
    const { definition, isDescending } = keys[i] as SortKey
    const [x, y] = [a[i] ?? null, b[i] ?? null]
    if (x === null || y === null) {
      if (x !== y) return x === null ? 1 : -1
      continue
    }
    const order = compareValues(definition.type, x, y)
    if (order !== 0) return isDescending ? -order : order
  }
  return 0
}
