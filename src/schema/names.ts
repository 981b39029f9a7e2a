import { isWellFormed } from '../util/well-formed.ts'

/** PostgreSQL's NAMEDATALEN - 1: longer names would be cut silently. */
export const maxNameBytes = 63

/** Tidemark's own: its catalog, chunks, and cells of continuous aggregates. */
const ownSchemas = new Set(['tidemark', 'tidemark_chunks', 'tidemark_aggregates'])
/** Columns that every PostgreSQL table already has. */
const systemColumns = new Set(['tableoid', 'xmin', 'cmin', 'xmax', 'cmax', 'ctid'])

function nameProblem(name: string, what: string): string | null {
  if (name === '') return `the name of a ${what} must not be empty`
  if (name.includes('\0')) return `the name of a ${what} must not hold a NUL character`
  if (!isWellFormed(name)) return `the name of a ${what} must be well-formed Unicode`
  const bytes = Buffer.byteLength(name)
  if (bytes > maxNameBytes) {
    return `"${name}" has ${bytes} bytes, over PostgreSQL's limit of ${maxNameBytes}; choose a shorter name`
  }
  if (name.includes('.'))
    return `"${name}" must not hold a dot: dots separate schema, table, column and JSON path`
  if (name.startsWith('$')) return `"${name}" must not start with "$"`
  return null
}

/** What is wrong with a column's name, or null. */
export function columnNameProblem(name: string): string | null {
  const problem = nameProblem(name, 'column')
  if (problem !== null) return problem
  if (name.startsWith('-')) return `"${name}" must not start with "-", which means descending`
  if (systemColumns.has(name)) return `"${name}" is the name of a system column of PostgreSQL; choose another`
  // An own key of this name cannot be set on an ordinary object, so rows could not carry it.
  if (name === '__proto__') return '"__proto__" cannot be a key of a JavaScript object; choose another name'
  return null
}

export function indexNameProblem(name: string): string | null {
  return nameProblem(name, 'index')
}

export interface QualifiedName {
  readonly name: string
  readonly schema: string
  readonly table: string
}

/** `table` is in schema `public`; otherwise `schema.table`. Gives the problem as a string. */
export function parseRelationName(name: unknown): QualifiedName | string {
  if (typeof name !== 'string') return 'the name must be a string: "table" or "schema.table"'
  const parts = name.split('.')
  if (parts.length > 2) return `"${name}" has more than one dot; write "schema.table"`
  const [schema, table] = parts.length === 2 ? (parts as [string, string]) : ['public', parts[0] as string]
  const problem = nameProblem(schema, 'schema') ?? nameProblem(table, 'table')
  if (problem !== null) return problem
  if (ownSchemas.has(schema)) {
    return `schema "${schema}" belongs to Tidemark itself; choose another`
  }
  if (schema === 'information_schema' || schema.startsWith('pg_')) {
    return `schema "${schema}" belongs to PostgreSQL; choose another`
  }
  return { name: `${schema}.${table}`, schema, table }
}

/** A name cut to what PostgreSQL keeps, with a hash of the whole so that two long names stay different. */
export function boundedName(name: string): string {
  if (Buffer.byteLength(name) <= maxNameBytes) return name
  const suffix = `_${fnv1a(name)}`
  let cut = ''
  let bytes = 0
  for (const character of name) {
    bytes += Buffer.byteLength(character)
    if (bytes > maxNameBytes - suffix.length) break
    cut += character
  }
  return `${cut}${suffix}`
}

/** 32-bit FNV-1a over UTF-16 units, 8 hexadecimal digits. */
function fnv1a(text: string): string {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return (hash >>> 0).toString(16).padStart(8, '0')
}
