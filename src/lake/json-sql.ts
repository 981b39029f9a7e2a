import type { CompareOperator, FilterValue } from '../query/index.ts'
import { comparisonSign, identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import type { JsonPlaces } from './file-scope.ts'
import { doubleLiteral, textLiteral } from './literal-sql.ts'

/**
 * What is at a path of a jsonb column, read from the columns that the file has for it and, where those are null, from
 * the rest. DuckDB reads a JSON number with a fraction as a double, and writes objects and numbers its own way; where
 * that could be another answer than PostgreSQL's, the statement raises `inexact` and is answered in TypeScript.
 */
export const inexact = 'TM: this JSON cannot be compared here'

const doubt = `error('${inexact}')`

/**
 * Null where DuckDB and PostgreSQL read the path differently: PostgreSQL takes `-1`, `01` or ` 1` for places in an array.
 */
function jsonPointer(path: readonly string[]): Sql | null {
  if (path.some((key) => /^\s*[+-]?\d+$/.test(key) && !/^(0|[1-9]\d{0,8})$/.test(key))) return null
  const pointer = path.map((key) => `/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
  return textLiteral(pointer)
}

interface JsonReader {
  readonly rest: Sql
  readonly type: Sql
  readonly text: Sql
  readonly places: JsonPlaces
}

function readerOf(places: JsonPlaces): JsonReader | null {
  const pointer = jsonPointer(places.path)
  if (!pointer) return null
  const rest = identifier(places.rest)
  return {
    rest,
    type: sql`json_type(${rest}, ${pointer})`,
    text: sql`json_extract_string(${rest}, ${pointer})`,
    places,
  }
}

/** What to make of each kind of value; null leaves it unknown. `double`: a number with a fraction or beyond 64 bits. */
interface JsonCases {
  readonly text: (value: Sql) => Sql | null
  readonly number: (value: Sql) => Sql | null
  readonly integer: (value: Sql) => Sql | null
  readonly double: (value: Sql) => Sql | null
  readonly bool: (value: Sql) => Sql | null
  /** An object or an array. */
  readonly container: Sql | null
  /** Absent or JSON null. Default: unknown. */
  readonly absent?: Sql
}

function cases(reader: JsonReader, by: JsonCases): Sql {
  const { places, rest, type, text } = reader
  const otherwise = by.absent ?? raw('null')
  const when = (condition: Sql, then: Sql | null): Sql => sql` when ${condition} then ${then ?? raw('null')}`
  const parts: Sql[] = []
  const shredded = (name: string | null, then: (value: Sql) => Sql | null): void => {
    if (name === null) return
    const column = identifier(name)
    parts.push(when(sql`${column} is not null`, then(column)))
  }
  shredded(places.text, by.text)
  shredded(places.number, by.number)
  shredded(places.bool, by.bool)
  if (places.inside.length > 0)
    parts.push(
      when(
        join(
          places.inside.map(({ column }) => sql`${identifier(column)} is not null`),
          ' or ',
        ),
        by.container,
      ),
    )
  // most rows hold nothing but what has a column
  if (places.path.length > 0) parts.push(when(sql`${rest} is null or ${rest} = '{}'`, otherwise))
  parts.push(
    when(sql`${type} = 'VARCHAR'`, by.text(text)),
    when(sql`${type} in ('BIGINT', 'UBIGINT')`, by.integer(sql`${text}::hugeint`)),
    when(sql`${type} = 'DOUBLE'`, by.double(sql`${text}::double`)),
    when(sql`${type} = 'BOOLEAN'`, by.bool(sql`(${text} = 'true')`)),
    when(sql`${type} in ('OBJECT', 'ARRAY')`, by.container),
  )
  return sql`(case${join(parts, '')} else ${otherwise} end)`
}

/** Null when DuckDB cannot be asked. */
export function compareJson(places: JsonPlaces, operator: CompareOperator, value: FilterValue): Sql | null {
  if (operator === 'eq') return jsonIn(places, [value])
  if (operator === 'ne') {
    const equal = jsonIn(places, [value])
    return equal && sql`(not ${equal})`
  }
  const reader = readerOf(places)
  if (!reader) return null
  const symbol = comparisonSign(operator)
  const never = () => null
  const none = { text: never, number: never, integer: never, double: never, bool: never, container: null }
  switch (typeof value) {
    case 'string':
      return cases(reader, { ...none, text: (held) => sql`${held} ${symbol} ${textLiteral(value)}` })
    case 'boolean':
      return cases(reader, { ...none, bool: (held) => sql`${held} ${symbol} ${raw(String(value))}` })
    default: {
      const number = Number(value)
      if (!Number.isFinite(number) || BigInt(Math.trunc(number)) > 10n ** 37n || number < -1e37) return null
      const literal = raw(doubleLiteral(number))
      return cases(reader, {
        ...none,
        number: (held) => sql`${held} ${symbol} ${literal}`,
        integer: (held) => compareInteger(held, operator, number),
        double: (held) =>
          sql`(case when ${held} = ${literal} then ${raw(doubt)}::boolean else ${held} ${symbol} ${literal} end)`,
      })
    }
  }
}

/** A whole number against one that may have a fraction. */
function compareInteger(held: Sql, operator: CompareOperator, value: number): Sql {
  const floor = Math.floor(value)
  const whole = raw(`(${BigInt(floor)})::hugeint`)
  if (floor === value) return sql`${held} ${comparisonSign(operator)} ${whole}`
  // 2.5: below it is at most 2, above it is more than 2
  return operator === 'lt' || operator === 'lte' ? sql`${held} <= ${whole}` : sql`${held} > ${whole}`
}

/** Null when DuckDB cannot be asked. `values` are not empty. */
export function jsonIn(places: JsonPlaces, values: readonly FilterValue[]): Sql | null {
  const reader = readerOf(places)
  if (!reader) return null
  const texts = values.filter((value) => typeof value === 'string')
  const bools = values.filter((value) => typeof value === 'boolean')
  const numbers = values
    .filter((value) => typeof value === 'number' || typeof value === 'bigint')
    .map(Number)
    .filter((value) => Number.isFinite(value))
  const wholes = numbers.filter((value) => Number.isInteger(value) && Math.abs(value) < 1e37)
  const no = raw('false')
  const oneOf = (held: Sql, list: readonly Sql[]): Sql =>
    list.length === 0
      ? no
      : list.length === 1
        ? sql`${held} = ${list[0]}`
        : sql`${held} in (${join(list, ', ')})`
  const doubles = numbers.map((value) => raw(doubleLiteral(value)))
  return cases(reader, {
    text: (held) =>
      oneOf(
        held,
        texts.map((value) => textLiteral(value)),
      ),
    number: (held) => oneOf(held, doubles),
    integer: (held) =>
      oneOf(
        held,
        wholes.map((value) => raw(`(${BigInt(value)})::hugeint`)),
      ),
    double: (held) =>
      doubles.length === 0
        ? no
        : sql`(case when ${oneOf(held, doubles)} then ${raw(doubt)}::boolean else false end)`,
    bool: (held) =>
      oneOf(
        held,
        bools.map((value) => raw(String(value))),
      ),
    container: no,
  })
}

/** `matches` of the strings; unknown for anything else. */
export function jsonLike(places: JsonPlaces, matches: (text: Sql) => Sql): Sql | null {
  const reader = readerOf(places)
  const never = () => null
  return (
    reader &&
    cases(reader, {
      text: matches,
      number: never,
      integer: never,
      double: never,
      bool: never,
      container: null,
    })
  )
}

export function jsonIsNull(places: JsonPlaces): Sql | null {
  const reader = readerOf(places)
  const no = () => raw('false')
  return (
    reader &&
    cases(reader, {
      text: no,
      number: no,
      integer: no,
      double: no,
      bool: no,
      container: raw('false'),
      absent: raw('true'),
    })
  )
}

/** The text at the path as PostgreSQL's `#>>` gives it. */
export function jsonText(places: JsonPlaces): Sql | null {
  const reader = readerOf(places)
  const doubtful = (): Sql => raw(`${doubt}::varchar`)
  return (
    reader &&
    cases(reader, {
      text: (held) => held,
      // what DuckDB and PostgreSQL write alike: whole numbers, and fractions without an exponent
      number: (held) =>
        sql`(case when ${held} = trunc(${held}) and abs(${held}) < 1e15 then ${held}::bigint::varchar
          when abs(${held}) between 1e-3 and 1e15 then ${held}::varchar else ${doubtful()} end)`,
      integer: (held) => sql`${held}::varchar`,
      double: doubtful,
      bool: (held) => sql`${held}::varchar`,
      container: doubtful(),
    })
  )
}

/** The number at the path as a double, null when it is none. */
export function jsonNumber(places: JsonPlaces): Sql | null {
  const reader = readerOf(places)
  const never = () => null
  return (
    reader &&
    cases(reader, {
      text: never,
      number: (held) => held,
      integer: (held) => sql`${held}::varchar::double`,
      double: (held) => held,
      bool: never,
      container: null,
    })
  )
}
