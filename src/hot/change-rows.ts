import { rowDigestSql } from '../postgres/index.ts'
import { type CanonicalValue, createCoercer, type StoredDefinition, ValueProblem } from '../schema/index.ts'
import { infinityInstant, minusInfinityInstant, type TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { filterToSql } from './filter-sql.ts'
import { rangeConditions, whereSql } from './instant-sql.ts'
import { parameterText, relationOf, type WritableTable } from './writable-table.ts'
import type { DeleteInput } from './write-contract.ts'

const allInstants: TimeRange = { from: minusInfinityInstant, to: infinityInstant }

/** A column's new value. */
export interface Assignment {
  readonly index: number
  readonly value: CanonicalValue
}

/** @throws TidemarkError TM_QUERY with the path of what does not fit. */
export function toAssignments(table: WritableTable, set: Readonly<Record<string, unknown>>): Assignment[] {
  return Object.entries(set).map(([name, given]) => {
    const index = table.columns.indexOf(name)
    const problem = (text: string) =>
      new TidemarkError('TM_QUERY', { path: `set.${name}`, problem: `${table.definition.name}: ${text}` })
    if (index < 0) throw problem('has no such column')
    const column = table.definition.columns[name]!
    if (given === null || given === undefined) {
      if (!column.nullable) throw problem('must not be null')
      return { index, value: null }
    }
    const value = createCoercer(column, { isTime: index === table.timeIndex })(given)
    if (value instanceof ValueProblem) throw problem(value.problem)
    return { index, value }
  })
}

export function updateSql(table: WritableTable, assignments: readonly Assignment[], input: DeleteInput): Sql {
  const set = assignments.map(
    ({ index, value }) =>
      sql`${identifier(table.columns[index]!)} = ${parameterText(table.types[index]!, value)}::text::${raw(table.types[index]!)}`,
  )
  return sql`update ${relationOf(table)} set ${join(set, ', ')}${rowsOf(table, input)}`
}

export function deleteSql(table: WritableTable, input: DeleteInput): Sql {
  return sql`delete from ${relationOf(table)}${rowsOf(table, input)}`
}

/** That a row of the table is meant; `true` where every row is. */
export function matchingSql(definition: StoredDefinition, input: DeleteInput): Sql {
  const conditions = conditionsOf(definition, input)
  return conditions.length === 0 ? raw('true') : join(conditions, ' and ')
}

function rowsOf(table: WritableTable, input: DeleteInput): Sql {
  return whereSql(conditionsOf(table.definition, input))
}

function conditionsOf(definition: StoredDefinition, input: DeleteInput): Sql[] {
  const conditions: Sql[] = []
  if (definition.kind === 'hypertable')
    conditions.push(...rangeConditions(identifier(definition.time), input.range, allInstants))
  if (input.where !== null) conditions.push(filterToSql(input.where, definition))
  if (input.digest) {
    const columns = Object.entries(definition.columns).map(([name, { type }]) => ({ name, type }))
    conditions.push(sql`${rowDigestSql(columns)} = ${input.digest}::bytea`)
  }
  return conditions
}
