import {
  checkKeys,
  columnNameProblem,
  type DimensionDefinition,
  type ProblemList,
  suggest,
  type TableDefinition,
} from '../schema/index.ts'
import type { Source } from './declare-source.ts'

/** Columns of plain tables that are looked up by the keys of a cell when the aggregate is read. */
export function readDimensions(
  problems: ProblemList,
  input: unknown,
  source: Source,
  by: readonly string[],
): Readonly<Record<string, DimensionDefinition>> {
  const dimensions: Record<string, DimensionDefinition> = {}
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    problems.add(
      '.dimensions',
      'must be a set such as { country: { table: customers, on: { id: "customer_id" }, column: "country" } }',
    )
    return dimensions
  }
  for (const [name, value] of Object.entries(input)) {
    const found = readDimension(problems, `.dimensions.${name}`, value, source, by)
    const nameProblem = columnNameProblem(name)
    if (nameProblem !== null) problems.add(`.dimensions.${name}`, nameProblem)
    else if (found !== null) dimensions[name] = found
  }
  return Object.freeze(dimensions)
}

function readDimension(
  problems: ProblemList,
  path: string,
  input: unknown,
  { base }: Source,
  by: readonly string[],
): DimensionDefinition | null {
  if (!checkKeys(problems, path, input, ['table', 'on', 'column'])) return null
  const table = input['table'] as TableDefinition | null | undefined
  if (table?.kind !== 'table') {
    problems.add(`${path}.table`, 'must be a plain table, as declared with table()')
    return null
  }
  const { column, on } = input
  if (typeof column !== 'string' || !Object.hasOwn(table.columns, column)) {
    problems.add(
      `${path}.column`,
      `${String(column)} is not a column of ${table.name}${suggest(String(column), Object.keys(table.columns))}`,
    )
    return null
  }
  if (table.columns[column]?.type === 'jsonb')
    problems.add(`${path}.column`, `"${column}" is jsonb, by which nothing can be grouped`)
  const key = table.primaryKey
  if (key === null) {
    problems.add(`${path}.table`, `${table.name} has no primary key, so a key may have several rows there`)
    return null
  }
  if (typeof on !== 'object' || on === null || Array.isArray(on)) {
    problems.add(
      `${path}.on`,
      `must say which key each column of the primary key equals: { ${key.join(', ')} }`,
    )
    return null
  }
  const pairs = on as Readonly<Record<string, unknown>>
  for (const given of Object.keys(pairs))
    if (!key.includes(given))
      problems.add(`${path}.on.${given}`, `is not in the primary key of ${table.name} (${key.join(', ')})`)
  const keys = [...(base.tenant === null ? [] : [base.tenant]), ...by]
  const complete: Record<string, string> = {}
  for (const part of key) {
    const name = pairs[part]
    const place = `${path}.on.${part}`
    if (typeof name !== 'string' || !keys.includes(name)) {
      problems.add(
        place,
        `${name === undefined ? 'is missing' : `${String(name)} is no key of the aggregate`}; keys: ${keys.join(', ')}`,
      )
      continue
    }
    const wanted = table.columns[part]?.type
    // a JSON path is a key by its text
    const type = Object.hasOwn(base.columns, name) ? base.columns[name]?.type : 'text'
    if (type !== wanted) problems.add(place, `"${part}" is ${wanted}, and the key "${name}" is ${type}`)
    if (part === table.tenant && name !== base.tenant)
      problems.add(place, `is the tenant of ${table.name}, which only the tenant of ${base.name} can equal`)
    complete[part] = name
  }
  return Object.freeze({ table: table.name, on: Object.freeze(complete), column, source: table })
}
