import { formatInstant, showValue } from '../time/index.ts'
import { type CanonicalValue, type Coercer, createCoercer, ValueProblem } from './coerce.ts'
import type { ColumnDefinition, ColumnType, StoredDefinition } from './definition.ts'
import { suggest } from './problems.ts'

/** Values in the order of the columns; undefined where a column was left out whose SQL default PostgreSQL evaluates. */
export type CanonicalRow = CanonicalValue[]

export interface RowProblem {
  /** null: the row as a whole. */
  readonly column: string | null
  /** The value as it is shown in a message, cut at 60 characters. */
  readonly value: string
  readonly problem: string
}

export interface RowCodec {
  /** Names of the columns, in the order of the values. */
  readonly columns: readonly string[]
  /**
   * The row's values in canonical form, or null when something is wrong with it. Value defaults are filled in. The only
   * allocations are the array and the values.
   */
  encode(row: object): CanonicalRow | null
  /** Everything that is wrong with the row; empty when it is right. Slow: for rows that `encode` refused. */
  problems(row: unknown): RowProblem[]
}

/**
 * Checks and converts rows of one table. Made once and used for every row.
 *
 * @example
 * const codec = createRowCodec(cpu)
 * const values = codec.encode({ time: '2026-01-01T00:00:00Z', host: 'a', usage: 1 })
 * if (values === null) for (const { column, problem } of codec.problems(row)) …
 */
export function createRowCodec(definition: StoredDefinition): RowCodec {
  const columns = Object.freeze(Object.keys(definition.columns))
  const time = definition.kind === 'hypertable' ? definition.time : null
  const fields = columns.map((name) =>
    fieldOf(name, definition.columns[name] as ColumnDefinition, name === time),
  )
  const count = fields.length
  const known = new Set(columns)

  function encode(row: object): CanonicalRow | null {
    if (typeof row !== 'object' || row === null) return null
    const values: CanonicalRow = new Array(count)
    for (let i = 0; i < count; i++) {
      const field = fields[i] as Field
      const value = givenValue(row, field)
      if (value === undefined) {
        if (field.missing === required) return null
        values[i] = field.missing as CanonicalValue
      } else if (value === null) {
        if (!field.nullable) return null
        values[i] = null
      } else {
        const coerced = field.coerce(value)
        if (coerced instanceof ValueProblem) return null
        values[i] = coerced
      }
    }
    // Keys mostly come in the order of the columns; comparing is cheaper than looking each one up.
    let next = 0
    for (const key in row) {
      if (columns[next] === key) next++
      else if (!known.has(key) && Object.hasOwn(row, key)) return null
    }
    return values
  }

  function problems(row: unknown): RowProblem[] {
    if (typeof row !== 'object' || row === null || Array.isArray(row)) {
      return [
        {
          column: null,
          value: showValue(row),
          problem: 'the row is not an object; give one with a value for each column',
        },
      ]
    }
    const found: RowProblem[] = []
    for (const field of fields) {
      const value = givenValue(row, field)
      const add = (problem: string): void => {
        found.push({ column: field.name, value: showValue(value), problem })
      }
      if (value === undefined) {
        if (field.missing === required) add('is missing, and the column has no default and is not nullable')
      } else if (value === null) {
        if (!field.nullable) add('must not be null')
      } else {
        const coerced = field.coerce(value)
        if (coerced instanceof ValueProblem) add(coerced.problem)
      }
    }
    for (const key of Object.keys(row)) {
      if (known.has(key)) continue
      found.push({
        column: key,
        value: showValue((row as Record<string, unknown>)[key]),
        problem: `is not a column of ${definition.name}${suggest(key, columns)}`,
      })
    }
    return found
  }

  return Object.freeze({ columns, encode, problems })
}

/** Every object inherits some keys (`constructor`, `valueOf`); a column of that name is only given when it is the row's own. */
function givenValue(row: object, field: Field): unknown {
  if (field.isInherited && !Object.hasOwn(row, field.name)) return undefined
  return (row as Record<string, unknown>)[field.name]
}

const required = Symbol('required')

interface Field {
  readonly name: string
  readonly nullable: boolean
  readonly isInherited: boolean
  readonly coerce: Coercer
  /** Value of a row that leaves the column out; undefined: the database's default. */
  readonly missing: CanonicalValue | typeof required
}

function fieldOf(name: string, column: ColumnDefinition, isTime: boolean): Field {
  return {
    name,
    nullable: column.nullable,
    isInherited: name in Object.prototype,
    coerce: createCoercer(column, { isTime }),
    missing: missingValue(column),
  }
}

function missingValue(column: ColumnDefinition): CanonicalValue | typeof required {
  const given = column.default
  if (given === null) return column.nullable ? null : required
  if (given.kind === 'sql') return undefined
  return column.type === 'jsonb' ? JSON.stringify(given.value) : (given.value as CanonicalValue)
}

/**
 * The form in which a canonical value comes out to people: timestamptz as ISO text, jsonb parsed, the rest as it is.
 *
 * @example
 * const show = outputOf('timestamptz')
 * show(0n) // '1970-01-01T00:00:00Z'
 */
export function outputOf(type: ColumnType): (value: unknown) => unknown {
  if (type === 'timestamptz') return (value) => (typeof value === 'bigint' ? formatInstant(value) : value)
  if (type === 'jsonb') return (value) => (typeof value === 'string' ? JSON.parse(value) : value)
  return same
}

const same = (value: unknown): unknown => value
