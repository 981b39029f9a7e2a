import { filterToSql, parameterText } from '../hot/index.ts'
import { withTenant } from '../query/index.ts'
import type { CanonicalValue, TenantScope } from '../schema/index.ts'
import { identifier, join, raw, repeated, type Sql, sql } from '../util/sql.ts'
import type { Precondition } from './contract.ts'
import { keyFilter } from './key.ts'
import { digestOf, type RecordTable } from './record-table.ts'

/**
 * One row of a plain table by its key: each is one statement that commits by itself, so one round trip. It runs as the engine; whose
 * row it may be is a condition of its own in every one of them (`ofRow`, and `ownRow` of what is written). All columns come back, with the
 * row's digest.
 *
 * READ COMMITTED is what makes versions right: a row that somebody else is changing is waited for, and the conditions are looked at
 * again on what it has become (docs/decisions/0020-records.md).
 */

/** Index: the primary key. */
export function getRow(table: RecordTable, key: readonly CanonicalValue[], scope: TenantScope): Sql {
  return repeated(sql`
    select ${table.columnsSql}, ${table.digestSql}
    from ${table.relation}
    where ${ofRow(table, key, scope)}`)
}

/** What is left out gets its default from PostgreSQL. Refuses a key that exists. */
export function insertRow(table: RecordTable, row: readonly CanonicalValue[]): Sql {
  return repeated(sql`${insertion(table, row)} returning ${table.columnsSql}, ${table.digestSql}`)
}

/** Nothing comes back where the key exists, or another unique value. */
export function insertNew(table: RecordTable, row: readonly CanonicalValue[]): Sql {
  return repeated(
    sql`${insertion(table, row)} on conflict do nothing returning ${table.columnsSql}, ${table.digestSql}`,
  )
}

/** Makes the row, or overwrites all of it: `excluded` has the defaults of what is left out. The last column: whether it is new. */
export function putRow(table: RecordTable, row: readonly CanonicalValue[]): Sql {
  return repeated(sql`
    ${insertion(table, row)}
    on conflict (${names(table, table.keyIndexes)}) do update set ${overwriting(table)}
    returning ${table.columnsSql}, ${table.digestSql}, xmax = 0`)
}

/** Of a row that is there: as `putRow`. */
export function replaceRow(
  table: RecordTable,
  row: readonly CanonicalValue[],
  key: readonly CanonicalValue[],
  precondition: Precondition,
  scope: TenantScope,
): Sql {
  const places = table.restIndexes.length > 0 ? table.restIndexes : table.keyIndexes
  const set = places.map((i) => {
    const value = row[i] === undefined ? raw('default') : parameter(table, i, row[i])
    return sql`${identifier(table.columns[i]!)} = ${value}`
  })
  return updating(table, set, key, precondition, scope)
}

export interface Assignment {
  readonly index: number
  readonly value: CanonicalValue
}

export function patchRow(
  table: RecordTable,
  assignments: readonly Assignment[],
  key: readonly CanonicalValue[],
  precondition: Precondition,
  scope: TenantScope,
): Sql {
  const set = assignments.map(
    ({ index, value }) => sql`${identifier(table.columns[index]!)} = ${parameter(table, index, value)}`,
  )
  return updating(table, set, key, precondition, scope)
}

export function deleteRow(
  table: RecordTable,
  key: readonly CanonicalValue[],
  precondition: Precondition,
  scope: TenantScope,
): Sql {
  return repeated(sql`
    delete from ${table.relation}
    where ${ofRow(table, key, scope)}${ofVersion(table, precondition)}`)
}

function updating(
  table: RecordTable,
  set: readonly Sql[],
  key: readonly CanonicalValue[],
  precondition: Precondition,
  scope: TenantScope,
): Sql {
  return repeated(sql`
    update ${table.relation}
    set ${join(set, ', ')}
    where ${ofRow(table, key, scope)}${ofVersion(table, precondition)}
    returning ${table.columnsSql}, ${table.digestSql}`)
}

function insertion(table: RecordTable, row: readonly CanonicalValue[]): Sql {
  const given = table.columns.flatMap((_, i) => (row[i] === undefined ? [] : [i]))
  if (given.length === 0) return sql`insert into ${table.relation} default values`
  const values = given.map((i) => parameter(table, i, row[i]))
  return sql`insert into ${table.relation} (${names(table, given)}) values (${join(values, ', ')})`
}

/** What of a row is overwritten by one that comes for its key. */
export function overwriting(table: RecordTable): Sql {
  const places = table.restIndexes.length > 0 ? table.restIndexes : table.keyIndexes
  return join(
    places.map((i) => {
      const name = identifier(table.columns[i]!)
      return sql`${name} = excluded.${name}`
    }),
    ', ',
  )
}

/** That it is the row, and one of the caller's: the one place where both are said. */
function ofRow(table: RecordTable, key: readonly CanonicalValue[], scope: TenantScope): Sql {
  return filterToSql(withTenant(table.definition, keyFilter(table, key), scope)!, table.definition)
}

/** That a row is one of the caller's, of statements about many. */
export function ofCaller({ definition }: RecordTable, scope: TenantScope, alias: string): Sql {
  const own = withTenant(definition, null, scope)
  if (own === null) return raw('')
  const column = identifier(alias, definition.tenant as string)
  if (own.kind !== 'compare') return raw(' and false')
  return sql` and ${column} = ${String(own.value)}::${raw(definition.columns[definition.tenant as string]!.type)}`
}

function ofVersion(table: RecordTable, precondition: Precondition): Sql {
  if (precondition.kind !== 'versions') return raw('')
  const digests = precondition.versions.flatMap((version) => digestOf(version) ?? [])
  return sql` and ${table.digestSql} = any(${digests}::bytea[])`
}

export function names(table: RecordTable, indexes: readonly number[]): Sql {
  return join(
    indexes.map((i) => identifier(table.columns[i]!)),
    ', ',
  )
}

/** A canonical value of a column as a parameter. */
function parameter(table: RecordTable, index: number, value: CanonicalValue): Sql {
  const type = table.types[index]!
  return sql`${parameterText(type, value)}::${raw(type)}`
}
