import { type CanonicalValue, type TenantGuard, ValueProblem } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { keyIdentity } from './key.ts'
import type { Assignment } from './plain-statements.ts'
import type { RecordTable } from './record-table.ts'

/**
 * New values of some columns of the row with this key. A column of the key may be named with the value that it has.
 *
 * @throws TidemarkError TM_QUERY for what is no column, TM_ROW for a value that does not fit.
 */
export function readAssignments(
  table: RecordTable,
  set: unknown,
  key: readonly CanonicalValue[],
): readonly Assignment[] {
  const { definition, columns } = table
  if (typeof set !== 'object' || set === null || Array.isArray(set))
    throw new TidemarkError('TM_QUERY', { path: 'set', problem: 'must be an object of new values by column' })
  return Object.entries(set).flatMap(([name, given]) => {
    const index = columns.indexOf(name)
    if (given === undefined) return []
    if (index < 0)
      throw new TidemarkError('TM_QUERY', {
        path: name,
        problem: `is not a column of ${definition.name}; there are: ${columns.join(', ')}`,
      })
    const refuse = (problem: string): never => {
      throw new TidemarkError('TM_ROW', { row: 0, column: name, value: shown(given), problem })
    }
    if (given === null)
      return definition.columns[name]!.nullable ? [{ index, value: null }] : refuse('must not be null')
    const value = table.coercers[index]!(given)
    if (value instanceof ValueProblem) return refuse(value.problem)
    const place = table.keyIndexes.indexOf(index)
    if (place < 0) return [{ index, value }]
    const changed = key.map((part, i) => (i === place ? value : part))
    if (keyIdentity(table, changed) === keyIdentity(table, key)) return []
    return refuse('is part of the key, which stays what it is; make another row and delete this one')
  })
}

function shown(value: unknown): string {
  const text = typeof value === 'bigint' ? String(value) : (JSON.stringify(value) ?? String(value))
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}

/**
 * A whole row with its key and its caller's tenant in it.
 *
 * @throws TidemarkError TM_ROW where the row has another key; TM_TENANT where it is another tenant's.
 */
export function ownRow(
  table: RecordTable,
  row: unknown,
  key: readonly CanonicalValue[] | null,
  guard: TenantGuard | null,
): unknown {
  if (typeof row !== 'object' || row === null || Array.isArray(row)) return row
  const given = row as Readonly<Record<string, unknown>>
  const filled: Record<string, unknown> = { ...given }
  if (key !== null)
    for (const [i, name] of table.key.entries()) {
      const value = Object.hasOwn(given, name) ? given[name] : undefined
      if (value === undefined) {
        filled[name] = key[i]
        continue
      }
      const read = table.coercers[table.keyIndexes[i]!]!(value)
      if (read instanceof ValueProblem) continue
      const changed = key.map((part, at) => (at === i ? read : part))
      if (keyIdentity(table, changed) !== keyIdentity(table, key))
        throw new TidemarkError('TM_ROW', {
          row: 0,
          column: name,
          value: shown(value),
          problem: 'is not what the key says',
        })
    }
  if (guard === null) return filled
  guard.fillIn(filled)
  if (guard.isOther(filled[guard.column]))
    throw new TidemarkError('TM_TENANT', {
      table: table.definition.name,
      problem: `the row is another tenant's by its "${guard.column}"`,
      todo: 'leave the column out, it is filled in',
    })
  return filled
}
