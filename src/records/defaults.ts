import { type CanonicalValue, ValueProblem } from '../schema/index.ts'
import { join, raw, sql } from '../util/sql.ts'
import { unreachable } from '../util/unreachable.ts'
import type { Call, RecordsOptions } from './contract.ts'
import type { RecordTable } from './record-table.ts'

/**
 * Evaluates the SQL defaults that rows leave to PostgreSQL, those of these columns, in one statement for all rows: what a row's key is has
 * to be known before it is written, where the write does not say.
 */
export async function fillDefaults(
  { definition, columns, coercers }: RecordTable,
  rows: readonly CanonicalValue[][],
  indexes: readonly number[],
  { db }: Pick<RecordsOptions, 'db'>,
  { signal }: Pick<Call, 'signal'>,
): Promise<void> {
  const absent = indexes.filter((i) => rows.some((row) => row[i] === undefined))
  if (absent.length === 0) return
  const expressions = absent.map((i) => {
    const { default: given, type } = definition.columns[columns[i]!]!
    const expression =
      given?.kind === 'sql' ? given.expression : unreachable('a value is absent without a default')
    // jsonb as the text that a row has
    return raw(`(${expression})::${type}${type === 'jsonb' ? '::text' : ''}`)
  })
  const { rows: made } = await db.query(
    sql`select ${join(expressions, ', ')} from generate_series(1, ${rows.length}::int)`,
    { signal },
  )
  rows.forEach((row, at) => {
    absent.forEach((i, place) => {
      if (row[i] !== undefined) return
      const value = made[at]![place]
      const isJson = definition.columns[columns[i]!]!.type === 'jsonb'
      const read = value === null || isJson ? (value as CanonicalValue) : coercers[i]!(value)
      row[i] = read instanceof ValueProblem ? unreachable(`a default is no ${read.problem}`) : read
    })
  })
}
