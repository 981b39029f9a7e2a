import type { InputType } from '../aggregate/index.ts'
import type { ColumnRef } from '../query/index.ts'
import type { ColumnType } from '../schema/index.ts'
import { identifier, type Sql, sql } from '../util/sql.ts'
import { type FilterScope, jsonPath, jsonPathText, typeOf } from './filter-sql.ts'

/**
 * What an aggregate reads of a row. A JSON number becomes a double as JavaScript makes it: PostgreSQL's own cast
 * raises an error where a numeric is beyond every double or so small that it becomes 0.
 */
export function aggregateInput(ref: ColumnRef, input: InputType | null, scope: FilterScope): Sql {
  if (typeOf(ref, scope) !== 'jsonb') return identifier(ref.column)
  if (input === 'json-text') return jsonPathText(ref)
  const json = jsonPath(ref)
  const number = sql`(${json})::numeric`
  return sql`(case when jsonb_typeof(${json}) = 'number' then case
    when abs(${number}) between 1e-300 and 1e300 then (${number})::float8
    when ${number} >= 1.797693134862315807937e308 then 'Infinity'::float8
    when ${number} <= -1.797693134862315807937e308 then '-Infinity'::float8
    when abs(${number}) <= 2.4703282292062328e-324 then 0::float8
    else (${number})::float8 end end)`
}

/** What rows are grouped by; a path inside JSON is its text. */
export function groupKey(ref: ColumnRef, scope: FilterScope): Sql {
  return typeOf(ref, scope) === 'jsonb' ? jsonPathText(ref) : identifier(ref.column)
}

export function groupType(ref: ColumnRef, scope: FilterScope): ColumnType {
  const type = typeOf(ref, scope)
  return type === 'jsonb' ? 'text' : type
}
