import { timestamptzText } from '../changelog/index.ts'
import type { ColumnRef, CompareOperator, FilterNode, FilterValue } from '../query/index.ts'
import type { ColumnDefinition, ColumnType } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { comparisonSign, empty, identifier, join, raw, type Sql, sql } from '../util/sql.ts'

/** What the columns of a filter are. */
export interface FilterScope {
  readonly name: string
  readonly columns: Readonly<Record<string, ColumnDefinition>>
  /** Of a hypertable: the column that it is partitioned by, which is never null. */
  readonly time?: string
}

/**
 * A filter as a PostgreSQL condition with the three-valued logic of query/nodes.ts. Columns stand bare on their side
 * and values are cast to the column's type (integers to int8, which every integer index serves), so that indexes and
 * partition pruning work. Ranges of text say COLLATE "C": their order is the bytes' whatever the database's collation
 * is; equality needs no collation and uses any index.
 *
 * @example
 * filterToSql({ kind: 'compare', ref: { column: 'host', path: [] }, operator: 'eq', value: 'a' }, cpu)
 * // "host" = $1::text
 *
 * @throws TidemarkError TM_QUERY for a column that the dataset does not have, or an operation its type has not.
 */
export function filterToSql(filter: FilterNode, scope: FilterScope): Sql {
  switch (filter.kind) {
    case 'and':
    case 'or': {
      if (filter.filters.length === 0) return raw(filter.kind === 'and' ? 'true' : 'false')
      const parts = filter.filters.map((part) => filterToSql(part, scope))
      return sql`(${join(parts, ` ${filter.kind} `)})`
    }
    case 'not':
      return sql`(not ${filterToSql(filter.filter, scope)})`
    case 'isNull':
      // PostgreSQL 15.18 prunes the default partition wrongly for `time < x and (time = y or time is not null)`;
      // from 17 on it drops the test of a NOT NULL column before.
      if (filter.ref.column === scope.time) return raw('false')
      return isJson(filter.ref, scope)
        ? sql`(${jsonAt(filter.ref)} is null)`
        : sql`(${identifier(filter.ref.column)} is null)`
    case 'contains':
      expectType(filter.ref, scope, ['text[]'])
      return sql`(${identifier(filter.ref.column)} @> array[${filter.value}::text])`
    case 'like': {
      const operator = raw(filter.caseInsensitive ? 'ilike' : 'like')
      if (!isJson(filter.ref, scope)) {
        expectType(filter.ref, scope, ['text'])
        return sql`(${identifier(filter.ref.column)} ${operator} ${filter.pattern}::text)`
      }
      const json = jsonAt(filter.ref)
      return sql`(case when jsonb_typeof(${json}) = 'string' then ${json} #>> '{}' ${operator} ${filter.pattern}::text end)`
    }
    case 'in':
      return inList(filter.ref, filter.values, scope)
    case 'compare':
      return isJson(filter.ref, scope)
        ? compareJson(jsonAt(filter.ref), filter.operator, filter.value)
        : compareColumn(filter.ref, filter.operator, filter.value, scope)
  }
}

function compareColumn(
  ref: ColumnRef,
  operator: CompareOperator,
  value: FilterValue,
  scope: FilterScope,
): Sql {
  const type = typeOf(ref, scope)
  expectType(ref, scope, comparable)
  const isRange = operator !== 'eq' && operator !== 'ne'
  const collate = type === 'text' && isRange ? raw(' collate "C"') : empty
  const column = identifier(ref.column)
  return sql`(${column}${collate} ${comparisonSign(operator)} ${parameter(type, value)})`
}

function inList(ref: ColumnRef, values: readonly FilterValue[], scope: FilterScope): Sql {
  // also for null, where `null = any('{}')` would be the same but `jsonb` has no such form
  if (values.length === 0) return raw('false')
  if (isJson(ref, scope)) {
    // JSON has no infinity and no NaN: such a value equals nothing, but the absent stays unknown
    const texts = values.map((value) => (isFiniteJson(value) ? jsonText(value) : '[]'))
    const json = jsonAt(ref)
    return sql`(${json} = any(${texts}::jsonb[]) and jsonb_typeof(${json}) in ('string', 'number', 'boolean'))`
  }
  expectType(ref, scope, comparable)
  const type = typeOf(ref, scope)
  const list = values.map((value) => (type === 'timestamptz' ? timestamptzText(value as bigint) : value))
  return sql`(${identifier(ref.column)} = any(${list}::${raw(parameterType(type))}[]))`
}

/**
 * Equality is jsonb's own: 1 equals 1.0, and nothing of another type. An order exists only within one type, so it is
 * asked inside a CASE, which PostgreSQL evaluates in order: the cast never meets a value that it cannot take.
 */
function compareJson(json: Sql, operator: CompareOperator, value: FilterValue): Sql {
  const symbol = comparisonSign(operator)
  const isRange = operator !== 'eq' && operator !== 'ne'
  if (!isRange && isFiniteJson(value)) return sql`(${json} ${symbol} ${jsonText(value)}::jsonb)`
  const otherwise = raw(
    operator === 'eq' ? ' when true then false' : operator === 'ne' ? ' when true then true' : '',
  )
  const within = (type: string, held: Sql, against: Sql): Sql => {
    const unknown = isRange ? empty : sql`when ${json} is null then null `
    return sql`(case ${unknown}when jsonb_typeof(${json}) = ${raw(`'${type}'`)} then ${held} ${symbol} ${against}${otherwise} end)`
  }
  switch (typeof value) {
    case 'string':
      return within('string', sql`(${json} #>> '{}') collate "C"`, sql`${value}::text`)
    case 'boolean':
      return within('boolean', sql`(${json})::bool`, sql`${value}::bool`)
    default:
      return within('number', sql`(${json})::numeric`, sql`${String(value)}::numeric`)
  }
}

function isFiniteJson(value: FilterValue): boolean {
  return typeof value !== 'number' || Number.isFinite(value)
}

function jsonText(value: FilterValue): string {
  return typeof value === 'bigint' ? String(value) : JSON.stringify(value)
}

/** The value at the path; null when it is absent or JSON null. */
function jsonAt(ref: ColumnRef): Sql {
  return sql`nullif(${jsonPath(ref)}, 'null'::jsonb)`
}

/** The jsonb at the path, JSON null as it is. */
export function jsonPath(ref: ColumnRef): Sql {
  const column = identifier(ref.column)
  return ref.path.length === 0 ? column : sql`(${column} #> ${ref.path}::text[])`
}

/** The text at the path (`#>>`): null when it is absent or JSON null. */
export function jsonPathText(ref: ColumnRef): Sql {
  return sql`(${identifier(ref.column)} #>> ${ref.path}::text[])`
}

/** A value that is compared with a column of `type`. */
export function parameter(type: ColumnType, value: unknown): Sql {
  const given = type === 'timestamptz' ? timestamptzText(value as bigint) : value
  return sql`${given}::${raw(parameterType(type))}`
}

function parameterType(type: ColumnType): string {
  return type === 'int2' || type === 'int4' ? 'int8' : type
}

const comparable: readonly ColumnType[] = [
  'timestamptz',
  'date',
  'text',
  'uuid',
  'bool',
  'int2',
  'int4',
  'int8',
  'float4',
  'float8',
  'numeric',
]

function isJson(ref: ColumnRef, scope: FilterScope): boolean {
  const type = typeOf(ref, scope)
  if (type !== 'jsonb' && ref.path.length > 0)
    throw refused(ref, `${ref.column} is ${type} and has no paths inside`)
  return type === 'jsonb'
}

function expectType(ref: ColumnRef, scope: FilterScope, types: readonly ColumnType[]): void {
  const type = typeOf(ref, scope)
  if (!types.includes(type)) throw refused(ref, `a ${type} column of ${scope.name} cannot be asked this`)
}

/** The declared type of the column. */
export function typeOf(ref: ColumnRef, scope: FilterScope): ColumnType {
  const column = Object.hasOwn(scope.columns, ref.column) ? scope.columns[ref.column] : undefined
  if (!column) throw refused(ref, `${scope.name} has no such column`)
  return column.type
}

function refused(ref: ColumnRef, problem: string): TidemarkError<'TM_QUERY'> {
  return new TidemarkError('TM_QUERY', { path: [ref.column, ...ref.path].join('.'), problem })
}
