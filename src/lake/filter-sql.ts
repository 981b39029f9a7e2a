import type { CompareOperator, FilterNode } from '../query/index.ts'
import type { ColumnType } from '../schema/index.ts'
import { comparisonSign, identifier, join, printSqlInline, raw, type Sql, sql } from '../util/sql.ts'
import type { ColumnLayout } from './contract.ts'
import { columnOf, type FileScope, jsonPlaces, layoutOf, typeOf } from './file-scope.ts'
import { compareJson, inexact, jsonIn, jsonIsNull, jsonLike } from './json-sql.ts'
import { duckdbTypes, literalOf, textLiteral } from './literal-sql.ts'

type PlainType = Exclude<ColumnType, 'numeric' | 'jsonb' | 'text[]'>

/**
 * A filter as a DuckDB condition with the three-valued logic of query/nodes.ts, over the columns of files. Columns stand
 * bare beside constants of their own type, which is what leaves out row groups and asks bloom filters. DuckDB orders
 * as PostgreSQL does: NaN equals itself and is above every number, -0 is 0, text and uuid go by bytes; Parquet files
 * of DuckDB have no statistics for a row group with a NaN.
 *
 * Null when it cannot be said in DuckDB so that the answer is certainly the same.
 */
export function filterToDuckDB(filter: FilterNode, scope: FileScope): Sql | null {
  switch (filter.kind) {
    case 'and':
    case 'or': {
      if (filter.filters.length === 0) return raw(filter.kind === 'and' ? 'true' : 'false')
      const parts = filter.filters.map((part) => filterToDuckDB(part, scope))
      return isComplete(parts) ? sql`(${join(parts, ` ${filter.kind} `)})` : null
    }
    case 'not': {
      const inner = filterToDuckDB(filter.filter, scope)
      return inner && sql`(not ${inner})`
    }
    case 'isNull': {
      const { column } = filter.ref
      if (column === scope.dataset.time) return raw('false')
      const type = typeOf(scope, filter.ref)
      const layout = layoutOf(scope, column)
      if (!layout) return raw('true')
      if (type === 'jsonb')
        return layout.kind === 'json' ? jsonIsNull(jsonPlaces(layout, filter.ref.path)) : null
      return sql`(${identifier(column)} is null)`
    }
    case 'contains': {
      const layout = layoutOf(scope, filter.ref.column)
      if (!layout) return raw('null::boolean')
      return sql`list_contains(${identifier(filter.ref.column)}, ${textLiteral(filter.value)})`
    }
    case 'like': {
      const matches = likeSql(filter.pattern, filter.caseInsensitive)
      const layout = layoutOf(scope, filter.ref.column)
      if (!layout) return raw('null::boolean')
      if (typeOf(scope, filter.ref) === 'jsonb')
        return layout.kind === 'json' ? jsonLike(jsonPlaces(layout, filter.ref.path), matches) : null
      return matches(identifier(filter.ref.column))
    }
    case 'in':
      return inList(filter, scope)
    case 'compare':
      return compare(filter, scope)
  }
}

/**
 * The part of a filter that has to be true of every row and can be said in DuckDB: what is left for TypeScript to look at
 * is less then. Null when there is none. What may be `inexact` is left to TypeScript, which would be asked again otherwise.
 */
export function necessaryFilter(filter: FilterNode | null, scope: FileScope): Sql | null {
  if (!filter) return null
  const whole = filterToDuckDB(filter, scope)
  if (whole && !printSqlInline(whole).includes(inexact)) return whole
  if (filter.kind !== 'and') return null
  const parts = filter.filters
    .map((part) => necessaryFilter(part, scope))
    .filter((part): part is Sql => part !== null)
  return parts.length === 0 ? null : sql`(${join(parts, ' and ')})`
}

function compare(filter: Extract<FilterNode, { kind: 'compare' }>, scope: FileScope): Sql | null {
  const { ref, operator, value } = filter
  const type = typeOf(scope, ref)
  const layout = layoutOf(scope, ref.column)
  if (!layout) return raw('null::boolean')
  const column = identifier(ref.column)
  switch (layout.kind) {
    case 'json':
      return compareJson(jsonPlaces(layout, ref.path), operator, value)
    case 'decimal': {
      const truth = compareDecimal(layout, operator, String(value))
      return typeof truth === 'boolean'
        ? whereNotNull(column, truth)
        : sql`(${column} ${comparisonSign(truth.operator)} ${truth.literal})`
    }
    case 'native':
      if (type !== layout.type || type === 'numeric' || type === 'jsonb' || type === 'text[]') return null
      return sql`(${column} ${comparisonSign(operator)} ${literalOf(type, value)})`
    case 'numericText':
    case 'wideInstant':
    case 'shapedTexts':
      return null
  }
}

function inList(filter: Extract<FilterNode, { kind: 'in' }>, scope: FileScope): Sql | null {
  const { ref, values } = filter
  const type = typeOf(scope, ref)
  if (values.length === 0) return raw('false')
  const layout = layoutOf(scope, ref.column)
  if (!layout) return raw('null::boolean')
  const column = identifier(ref.column)
  switch (layout.kind) {
    case 'json':
      return jsonIn(jsonPlaces(layout, ref.path), values)
    case 'decimal': {
      const literals = values.flatMap((value) => {
        const truth = compareDecimal(layout, 'eq', String(value))
        return typeof truth === 'boolean' ? [] : [truth.literal]
      })
      return literals.length === 0 ? whereNotNull(column, false) : oneOf(column, literals)
    }
    case 'native': {
      if (type !== layout.type || type === 'numeric' || type === 'jsonb' || type === 'text[]') return null
      const plain: PlainType = type
      return oneOf(
        column,
        values.map((value) => literalOf(plain, value)),
      )
    }
    case 'numericText':
    case 'wideInstant':
    case 'shapedTexts':
      return null
  }
}

function oneOf(column: Sql, literals: readonly Sql[]): Sql {
  return literals.length === 1
    ? sql`(${column} = ${literals[0]})`
    : sql`(${column} in (${join(literals, ', ')}))`
}

/** `truth` for every value; null stays unknown. */
function whereNotNull(column: Sql, truth: boolean): Sql {
  return sql`(case when ${column} is not null then ${raw(String(truth))} end)`
}

interface DecimalComparison {
  readonly operator: CompareOperator
  readonly literal: Sql
}

const decimalForm = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/
/** Beyond so many places every number lies outside of a DECIMAL, or between two of its values. */
const mostPlaces = 100

/** Sign, digits before and after the point; null: NaN or an infinity, or as good as one. */
function decimalDigits(value: string): { sign: string; whole: string; fraction: string } | null {
  const match = decimalForm.exec(value)
  if (!match || (match[2] === '' && (match[3] ?? '') === '')) return null
  const sign = match[1] === '-' ? '-' : ''
  const digits = `${match[2]}${match[3] ?? ''}`
  const isZero = !/[1-9]/.test(digits)
  const point = match[2]!.length + Number(match[4] ?? 0)
  if (isZero) return { sign: '', whole: '0', fraction: '' }
  const significant = digits.replace(/^0+/, '').length
  // of the first digit that is not 0
  const magnitude = point - (digits.length - significant)
  if (magnitude > mostPlaces) return null
  if (magnitude < -mostPlaces) return { sign, whole: '0', fraction: `${'0'.repeat(mostPlaces)}1` }
  const padded = point < 0 ? digits.padStart(digits.length - point, '0') : digits.padEnd(point, '0')
  const at = Math.max(0, point)
  return { sign, whole: padded.slice(0, at) || '0', fraction: padded.slice(at) }
}

/**
 * A comparison of DECIMAL(p, s) with any number, said with a constant of the same type: one between two of its values is
 * compared by the lower one, one beyond all of them decides by itself.
 */
function compareDecimal(
  { precision, scale }: Extract<ColumnLayout, { kind: 'decimal' }>,
  operator: CompareOperator,
  value: string,
): DecimalComparison | boolean {
  const above = operator === 'lt' || operator === 'lte' || operator === 'ne'
  const below = operator === 'gt' || operator === 'gte' || operator === 'ne'
  const digits = decimalDigits(value)
  // NaN and Infinity are above every number that a DECIMAL has
  if (!digits) return value.startsWith('-') ? below : above
  const { sign, whole, fraction } = digits
  const kept = fraction.slice(0, scale).padEnd(scale, '0')
  const units = BigInt(`${sign}${whole}${kept}`)
  const isBetween = /[1-9]/.test(fraction.slice(scale))
  const most = 10n ** BigInt(precision) - 1n
  // the greatest value that is not above the number
  const floor = isBetween && sign === '-' ? units - 1n : units
  if (floor > most) return above
  if (floor < -most) return below
  const literal = raw(`('${decimalText(floor, scale)}'::decimal(${precision}, ${scale}))`)
  if (!isBetween) return { operator, literal }
  switch (operator) {
    case 'eq':
      return false
    case 'ne':
      return true
    case 'lt':
    case 'lte':
      return { operator: 'lte', literal }
    default:
      return { operator: 'gt', literal }
  }
}

function decimalText(units: bigint, scale: number): string {
  const digits = (units < 0n ? -units : units).toString().padStart(scale + 1, '0')
  const point = digits.length - scale
  return `${units < 0n ? '-' : ''}${digits.slice(0, point)}${scale > 0 ? `.${digits.slice(point)}` : ''}`
}

/**
 * A pattern as what is cheapest for it. DuckDB's LIKE has no escape of its own, and is slow with one; `starts_with` and an
 * order by bytes let row groups be left out.
 *
 * ILIKE lowers each character by itself, in DuckDB as in PostgreSQL with a locale of libc or the builtin provider.
 */
function likeSql(pattern: string, caseInsensitive: boolean): (text: Sql) => Sql {
  if (caseInsensitive)
    return pattern.includes('\\')
      ? (text) => sql`(${text} ilike ${textLiteral(pattern)} escape '\\')`
      : (text) => sql`(${text} ilike ${textLiteral(pattern)})`
  const simple = simplePattern(pattern)
  if (!simple)
    return pattern.includes('\\')
      ? (text) => sql`(${text} like ${textLiteral(pattern)} escape '\\')`
      : (text) => sql`(${text} like ${textLiteral(pattern)})`
  const { literal, before, after } = simple
  if (before && after) return (text) => sql`contains(${text}, ${textLiteral(literal)})`
  if (before) return (text) => sql`suffix(${text}, ${textLiteral(literal)})`
  if (!after) return (text) => sql`(${text} = ${textLiteral(literal)})`
  const next = afterPrefix(literal)
  return (text) =>
    next === null
      ? sql`starts_with(${text}, ${textLiteral(literal)})`
      : sql`(${text} >= ${textLiteral(literal)} and ${text} < ${textLiteral(next)})`
}

/** `%` only at the ends and no `_`: what stands between, without escapes. */
function simplePattern(pattern: string): { literal: string; before: boolean; after: boolean } | null {
  let literal = ''
  let before = false
  let after = false
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern[i] as string
    if (char === '_') return null
    if (char === '%') {
      if (literal === '' && !after) before = true
      after = true
      continue
    }
    if (after && !(before && literal === '')) return null
    after = false
    literal += char === '\\' ? (pattern[++i] ?? '') : char
  }
  return { literal, before, after }
}

/** The least text above everything that begins with `prefix`; null when there is none. */
function afterPrefix(prefix: string): string | null {
  const characters = [...prefix]
  while (characters.length > 0) {
    const last = characters.pop()!.codePointAt(0)!
    if (last === 0x10ffff) continue
    const next = last === 0xd7ff ? 0xe000 : last + 1
    return characters.join('') + String.fromCodePoint(next)
  }
  return null
}

function isComplete(parts: readonly (Sql | null)[]): parts is readonly Sql[] {
  return !parts.includes(null)
}

/** The column as it is declared, for whoever computes with it in DuckDB; null where DuckDB cannot. */
export function columnSql(name: string, scope: FileScope): Sql | null {
  const { type } = columnOf(scope, name)
  const layout = layoutOf(scope, name)
  if (!layout) return raw(`null::${type === 'numeric' ? 'decimal(18, 0)' : duckdbTypes[type]}`)
  const isPlain = layout.kind === 'native' || layout.kind === 'decimal'
  return isPlain && layout.type === type ? identifier(name) : null
}
