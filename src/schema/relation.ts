import { isWellFormed } from '../util/well-formed.ts'
import { createCoercer, ValueProblem } from './coerce.ts'
import { type AnyColumn, type ColumnSpec, columnSpec, isColumn } from './column.ts'
import type { ColumnDefault, ColumnDefinition, ColumnType, IndexDefinition } from './definition.ts'
import {
  boundedName,
  columnNameProblem,
  indexNameProblem,
  parseRelationName,
  type QualifiedName,
} from './names.ts'
import { checkKeys, ProblemList, suggest } from './problems.ts'

/** What tables and hypertables have in common, checked. */
export interface Relation extends QualifiedName {
  readonly columns: Readonly<Record<string, ColumnDefinition>>
  readonly primaryKey: readonly string[] | null
  readonly indexes: readonly IndexDefinition[]
  readonly tenant: string | null
  readonly appendOnly: boolean
  readonly comment: string | null
}

/** PostgreSQL's MaxHeapAttributeNumber. */
const maxColumns = 1600
/** PostgreSQL's INDEX_MAX_KEYS. */
const maxIndexColumns = 32

const tenantTypes: readonly ColumnType[] = ['text', 'uuid', 'int4', 'int8']
const indexMethods = ['btree', 'gin', 'brin', 'hash'] as const
const ginTypes: readonly ColumnType[] = ['jsonb', 'text[]']

export function startProblems(
  kind: 'hypertable' | 'table' | 'view' | 'continuousAggregate',
  name: unknown,
): ProblemList {
  return new ProblemList(`${kind}(${typeof name === 'string' ? JSON.stringify(name) : String(name)})`)
}

export function readName(problems: ProblemList, name: unknown): QualifiedName {
  const parsed = parseRelationName(name)
  if (typeof parsed !== 'string') return parsed
  problems.add('', parsed)
  return { name: 'public.unnamed', schema: 'public', table: 'unnamed' }
}

export function readColumns(
  problems: ProblemList,
  input: unknown,
): Readonly<Record<string, ColumnDefinition>> {
  const columns: Record<string, ColumnDefinition> = {}
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    problems.add('.columns', 'must be an object of columns such as { time: t.timestamptz() }')
    return columns
  }
  const entries = Object.entries(input)
  if (entries.length === 0) problems.add('.columns', 'must hold at least one column')
  if (entries.length > maxColumns) {
    problems.add('.columns', `has ${entries.length} columns, over PostgreSQL's limit of ${maxColumns}`)
  }
  for (const [name, value] of entries) {
    const path = `.columns.${name}`
    const nameProblem = columnNameProblem(name)
    if (nameProblem !== null) problems.add(path, nameProblem)
    if (!isColumn(value)) {
      problems.add(path, 'must be made with t, such as t.float8() or t.text().nullable()')
      continue
    }
    columns[name] = readColumn(problems, path, value)
  }
  return Object.freeze(columns)
}

function readColumn(problems: ProblemList, path: string, column: AnyColumn): ColumnDefinition {
  const spec = column[columnSpec]
  const { type, precision, scale } = spec
  if (type === 'numeric') {
    if (precision === null && scale !== null) problems.add(path, 'numeric with a scale needs a precision')
    else if (precision !== null && !(Number.isInteger(precision) && precision >= 1 && precision <= 1000)) {
      problems.add(path, `numeric precision ${precision} is not a whole number from 1 to 1000`)
    } else if (precision !== null && !(Number.isInteger(scale) && scale! >= 0 && scale! <= precision)) {
      problems.add(path, `numeric scale ${scale} is not a whole number from 0 to the precision ${precision}`)
    }
  }
  const comment = readComment(problems, `${path}.comment`, spec.comment ?? undefined)
  return Object.freeze({
    type,
    nullable: spec.isNullable,
    default: readDefault(problems, path, spec),
    precision,
    scale,
    comment,
  })
}

function readDefault(problems: ProblemList, path: string, spec: ColumnSpec): ColumnDefault | null {
  const given = spec.default
  if (given === null) return null
  if (given.kind === 'sql') {
    const expression = given.expression
    if (typeof expression !== 'string' || expression.trim() === '' || expression.includes('\0')) {
      problems.add(`${path}.defaultSql`, "must be an SQL expression such as 'now()'")
      return null
    }
    return Object.freeze({ kind: 'sql', expression: expression.trim() })
  }
  if (given.value === null || given.value === undefined) {
    problems.add(
      `${path}.default`,
      `must not be ${given.value}: a nullable column that is left out is null anyway`,
    )
    return null
  }
  // Infinite defaults are refused like those of a time column: a default that no clock reaches is a slip.
  const value = createCoercer(spec, { isTime: true })(given.value)
  if (value instanceof ValueProblem) {
    problems.add(`${path}.default`, value.problem)
    return null
  }
  const kept: unknown = spec.type === 'jsonb' ? JSON.parse(value as string) : value
  return Object.freeze({ kind: 'value', value: deepFreeze(Array.isArray(kept) ? [...kept] : kept) })
}

function deepFreeze(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}

export function readComment(problems: ProblemList, path: string, comment: unknown): string | null {
  if (comment === undefined || comment === null) return null
  if (typeof comment !== 'string' || comment.includes('\0') || !isWellFormed(comment)) {
    problems.add(path, 'must be a text without NUL characters')
    return null
  }
  return comment === '' ? null : comment
}

/** The names when all are columns, each once; adds the problems otherwise. */
export function readColumnList(
  problems: ProblemList,
  path: string,
  input: unknown,
  columns: Readonly<Record<string, ColumnDefinition>>,
): readonly string[] {
  if (!Array.isArray(input) || input.length === 0) {
    problems.add(path, 'must be a list of at least one column name')
    return []
  }
  const names: string[] = []
  input.forEach((name, i) => {
    if (!isKnownColumn(problems, `${path}[${i}]`, name, columns)) return
    if (names.includes(name)) problems.add(`${path}[${i}]`, `"${name}" is listed twice`)
    else names.push(name)
  })
  return Object.freeze(names)
}

export function isKnownColumn(
  problems: ProblemList,
  path: string,
  name: unknown,
  columns: Readonly<Record<string, ColumnDefinition>>,
): name is string {
  if (typeof name === 'string' && Object.hasOwn(columns, name)) return true
  const shown = typeof name === 'string' ? `"${name}"` : String(name)
  problems.add(path, `${shown} is not a column${suggest(String(name), Object.keys(columns))}`)
  return false
}

export function readBoolean(problems: ProblemList, path: string, input: unknown, fallback: boolean): boolean {
  if (input === undefined) return fallback
  if (typeof input === 'boolean') return input
  problems.add(path, 'must be true or false')
  return fallback
}

function readTenant(
  problems: ProblemList,
  input: unknown,
  columns: Readonly<Record<string, ColumnDefinition>>,
): string | null {
  if (input === undefined || input === null) return null
  if (!isKnownColumn(problems, '.tenant', input, columns)) return null
  const column = columns[input] as ColumnDefinition
  if (!tenantTypes.includes(column.type)) {
    problems.add(
      '.tenant',
      `column "${input}" is ${column.type}; a tenant column is ${tenantTypes.join(', ')}`,
    )
  }
  if (column.nullable)
    problems.add('.tenant', `column "${input}" is nullable; every row must belong to a tenant`)
  return input
}

function readPrimaryKey(
  problems: ProblemList,
  input: unknown,
  columns: Readonly<Record<string, ColumnDefinition>>,
): readonly string[] | null {
  if (input === undefined || input === null) return null
  const names = readColumnList(problems, '.primaryKey', input, columns)
  if (names.length > maxIndexColumns) {
    problems.add('.primaryKey', `has ${names.length} columns, over PostgreSQL's limit of ${maxIndexColumns}`)
  }
  for (const name of names) {
    const column = columns[name] as ColumnDefinition
    if (column.nullable) problems.add('.primaryKey', `column "${name}" is nullable; key columns must not be`)
    if (column.type === 'jsonb' || column.type === 'text[]') {
      problems.add('.primaryKey', `column "${name}" is ${column.type}, which cannot be part of a key`)
    }
  }
  return names
}

const indexOptions = ['columns', 'unique', 'method', 'where', 'name'] as const

function readIndex(
  problems: ProblemList,
  path: string,
  input: unknown,
  table: string,
  columns: Readonly<Record<string, ColumnDefinition>>,
): IndexDefinition | null {
  const options: unknown = Array.isArray(input) ? { columns: input } : input
  if (!checkKeys(problems, path, options, indexOptions)) return null
  const list = options['columns']
  const listPath = Array.isArray(input) ? path : `${path}.columns`
  if (!Array.isArray(list) || list.length === 0) {
    problems.add(listPath, 'must be a list of at least one column name, "-name" for descending')
    return null
  }
  if (list.length > maxIndexColumns) {
    problems.add(listPath, `has ${list.length} columns, over PostgreSQL's limit of ${maxIndexColumns}`)
  }
  const entries: { column: string; direction: 'asc' | 'desc' }[] = []
  list.forEach((entry, i) => {
    const isDescending = typeof entry === 'string' && entry.startsWith('-')
    const name: unknown = isDescending ? (entry as string).slice(1) : entry
    if (!isKnownColumn(problems, `${listPath}[${i}]`, name, columns)) return
    if (entries.some((e) => e.column === name)) problems.add(`${listPath}[${i}]`, `"${name}" is listed twice`)
    else entries.push(Object.freeze({ column: name, direction: isDescending ? 'desc' : 'asc' }))
  })
  const unique = readBoolean(problems, `${path}.unique`, options['unique'], false)
  const methodInput = options['method'] ?? 'btree'
  const method = indexMethods.find((m) => m === methodInput)
  if (method === undefined) {
    problems.add(`${path}.method`, `${JSON.stringify(methodInput)} is not one of ${indexMethods.join(', ')}`)
    return null
  }
  if (method === 'gin') {
    for (const { column } of entries) {
      const type = (columns[column] as ColumnDefinition).type
      if (!ginTypes.includes(type))
        problems.add(listPath, `gin indexes jsonb and text[] columns; "${column}" is ${type}`)
    }
  }
  if (method === 'brin') {
    for (const { column } of entries) {
      const type = (columns[column] as ColumnDefinition).type
      if (ginTypes.includes(type) || type === 'bool')
        problems.add(listPath, `brin cannot index "${column}" (${type})`)
    }
  }
  if (method === 'hash' && entries.length > 1) problems.add(listPath, 'a hash index has exactly one column')
  if (method !== 'btree' && unique)
    problems.add(`${path}.unique`, `a ${method} index cannot be unique; use btree`)
  if (method !== 'btree' && entries.some((e) => e.direction === 'desc')) {
    problems.add(listPath, `a ${method} index has no direction; leave the "-" out`)
  }
  const whereInput = options['where'] ?? null
  let where: string | null = null
  if (whereInput !== null) {
    if (typeof whereInput !== 'string' || whereInput.trim() === '' || whereInput.includes('\0')) {
      problems.add(`${path}.where`, 'must be an SQL condition such as "status <> \'ok\'"')
    } else where = whereInput.trim()
  }
  const nameInput = options['name'] ?? null
  let name = boundedName(`${table}_${entries.map((e) => e.column).join('_')}_${unique ? 'key' : 'idx'}`)
  if (nameInput !== null) {
    const problem = typeof nameInput === 'string' ? indexNameProblem(nameInput) : 'the name must be a string'
    if (problem !== null) problems.add(`${path}.name`, problem)
    else name = nameInput as string
  }
  return Object.freeze({ name, columns: Object.freeze(entries), unique, method, where })
}

export function readRelation(
  problems: ProblemList,
  name: unknown,
  options: Readonly<Record<string, unknown>>,
): Relation {
  const qualified = readName(problems, name)
  const columns = readColumns(problems, options['columns'])
  const tenant = readTenant(problems, options['tenant'], columns)
  const primaryKey = readPrimaryKey(problems, options['primaryKey'], columns)
  const indexes: IndexDefinition[] = []
  const indexInput = options['indexes'] ?? []
  if (!Array.isArray(indexInput)) problems.add('.indexes', 'must be a list of indexes')
  else {
    indexInput.forEach((input, i) => {
      const index = readIndex(problems, `.indexes[${i}]`, input, qualified.table, columns)
      if (index === null) return
      if (indexes.some((other) => other.name === index.name) || index.name === `${qualified.table}_pkey`) {
        problems.add(`.indexes[${i}]`, `another index has the name "${index.name}"; give one of them a name`)
      }
      indexes.push(index)
    })
  }
  if (tenant !== null) {
    // A key that leaves the tenant out would tell one tenant, by its refusals, which keys another one uses.
    if (primaryKey !== null && !primaryKey.includes(tenant)) {
      problems.add(
        '.primaryKey',
        `must hold the tenant column "${tenant}", so that tenants cannot see each other's keys`,
      )
    }
    indexes.forEach((index) => {
      if (index.unique && !index.columns.some((c) => c.column === tenant)) {
        problems.add('.indexes', `the unique index "${index.name}" must hold the tenant column "${tenant}"`)
      }
    })
  }
  return {
    ...qualified,
    columns,
    primaryKey,
    indexes,
    tenant,
    appendOnly: readBoolean(problems, '.appendOnly', options['appendOnly'], false),
    comment: readComment(problems, '.comment', options['comment']),
  }
}
