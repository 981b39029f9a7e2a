import type { ColumnType, DatasetDefinition } from '../schema/index.ts'
import type { RowValue } from './tier.ts'
import { compareValues } from './values.ts'

/**
 * In which order rows are, and which row is the newest: one rule for every tier, so that what two of them give can be
 * merged, and a page that ended in one goes on in another.
 *
 * | table | rows are ordered by |
 * | --- | --- |
 * | with a time and a primary key | time, then the other columns of the key |
 * | with a time | time, then the digest of the row |
 * | with a primary key | the columns of the key |
 * | neither | the digest of the row |
 *
 * Values compare as PostgreSQL compares them: NaN above every number, text by bytes. (Plain tables lie in one place, so
 * text in their keys may be in the order of their index.) The digest is of all declared columns, 32 hexadecimal digits:
 * `rowDigestSql` and `createRowDigester` of src/postgres. Rows with equal digests are identical, and counted.
 */
export type RowOrderKey =
  | { readonly kind: 'column'; readonly column: string; readonly type: ColumnType }
  | { readonly kind: 'digest' }

export interface RowOrder {
  readonly keys: readonly RowOrderKey[]
  /** Whether no two rows have the same keys. */
  readonly isUnique: boolean
}

/**
 * @example
 * rowOrder(cpu).keys // [{ kind: 'column', column: 'time', type: 'timestamptz' }, { kind: 'digest' }]
 */
export function rowOrder(dataset: DatasetDefinition): RowOrder {
  const column = (name: string): RowOrderKey => ({
    kind: 'column',
    column: name,
    type: typeOf(dataset, name),
  })
  const time = dataset.kind === 'hypertable' ? dataset.time : null
  const first = time === null ? [] : [column(time)]
  if (dataset.primaryKey === null) return { keys: [...first, { kind: 'digest' }], isUnique: false }
  const rest = dataset.primaryKey.filter((name) => name !== time)
  return { keys: [...first, ...rest.map(column)], isUnique: true }
}

/** Compares the keys of two rows, ascending. */
export function compareRowKeys(order: RowOrder): (a: readonly RowValue[], b: readonly RowValue[]) => number {
  const types = order.keys.map((key) => (key.kind === 'digest' ? 'text' : key.type))
  return (a, b) => {
    for (let i = 0; i < types.length; i++) {
      const difference = compareValues(types[i]!, a[i], b[i])
      if (difference !== 0) return difference
    }
    return 0
  }
}

export interface NewestKey {
  readonly column: string
  readonly type: ColumnType
}

/**
 * What decides which row of a series is the newest: the time, then, of several rows of one newest instant, the greatest
 * by the remaining columns in declared order. Null is below everything, JSON compares by the bytes of its PostgreSQL
 * text (that is what stands in a row's keys), arrays element by element. Only the time where the primary key leaves no
 * ties.
 */
export function newestKeys(dataset: DatasetDefinition, by: readonly string[]): readonly NewestKey[] {
  if (dataset.kind !== 'hypertable') return []
  const { time } = dataset
  const key = (column: string): NewestKey => ({ column, type: typeOf(dataset, column) })
  if (dataset.primaryKey?.every((column) => column === time || by.includes(column))) return [key(time)]
  const rest = Object.keys(dataset.columns).filter((name) => name !== time && !by.includes(name))
  return [time, ...rest].map(key)
}

/** Compares two rows of a series by their `newestKeys`: above zero when `a` is the newer. */
export function compareNewest(
  keys: readonly NewestKey[],
): (a: readonly RowValue[], b: readonly RowValue[]) => number {
  const types = keys.map(({ type }) => (type === 'jsonb' ? 'text' : type))
  return (a, b) => {
    for (let i = 0; i < types.length; i++) {
      const x = a[i] ?? null
      const y = b[i] ?? null
      const difference =
        x === null || y === null ? Number(x !== null) - Number(y !== null) : compareValues(types[i]!, x, y)
      if (difference !== 0) return difference
    }
    return 0
  }
}

function typeOf(dataset: DatasetDefinition, column: string): ColumnType {
  return dataset.columns[column]!.type
}
