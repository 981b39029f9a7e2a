import { parameterText } from '../hot/index.ts'
import type { CanonicalValue, TenantScope } from '../schema/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import type { KeyedItem } from './bulk-input.ts'
import { names, ofCaller, overwriting } from './plain-statements.ts'
import { digestOf, type RecordTable } from './record-table.ts'

/**
 * Many rows of a plain table in one statement each, from an array of texts for each column. Names of what is given begin with "$", which
 * no column's does. What comes back is the key, then, where the rows are wanted, all columns and the digest.
 */

type Row = readonly CanonicalValue[]

/** Rows that leave the same columns to PostgreSQL. With `overwrite` those whose key exists are replaced; otherwise they do not come back. */
export function insertMany(
  table: RecordTable,
  rows: readonly Row[],
  { overwrite, withRows }: { readonly overwrite: boolean; readonly withRows: boolean },
): Sql {
  const given = table.columns.flatMap((_, i) => (rows[0]![i] === undefined ? [] : [i]))
  const conflict = overwrite
    ? sql`(${names(table, table.keyIndexes)}) do update set ${overwriting(table)}`
    : raw('do nothing')
  return sql`
    insert into ${table.relation} (${names(table, given)})
    select ${join(
      given.map((i) => cast(table, i)),
      ', ',
    )}
    from unnest(${arraysOf(table, given, rows)}) with ordinality as g (${aliases(given)}, "$n")
    order by "$n"
    on conflict ${conflict}
    returning ${names(table, table.keyIndexes)}${withRows ? sql`, ${table.columnsSql}, ${table.digestSql}` : raw('')}, xmax = 0`
}

/** Items that set the same columns (`indexes`), their values as rows. */
export function patchMany(
  table: RecordTable,
  items: readonly KeyedItem[],
  indexes: readonly number[],
  values: readonly Row[],
  scope: TenantScope,
  withRows: boolean,
): Sql {
  const set = indexes.map(
    (i) => sql`${identifier(table.columns[i]!)} = ${valueName(i)}::${raw(table.types[i]!)}`,
  )
  const arrays = [keyArrays(table, items), versionArray(items), arraysOf(table, indexes, values)]
  return sql`
    update ${table.relation} as t
    set ${join(set, ', ')}
    from unnest(${join(arrays, ', ')}) as g (${keyAliases(table)}, "$version", ${aliases(indexes)})
    where ${sameRow(table)}${ofCaller(table, scope, 't')}${sameVersion(table)}
    returning ${keyOf(table)}${withRows ? sql`, ${allOf(table)}, ${table.digestSql}` : raw('')}`
}

export function deleteMany(table: RecordTable, items: readonly KeyedItem[], scope: TenantScope): Sql {
  return sql`
    delete from ${table.relation} as t
    using unnest(${join([keyArrays(table, items), versionArray(items)], ', ')}) as g (${keyAliases(table)}, "$version")
    where ${sameRow(table)}${ofCaller(table, scope, 't')}${sameVersion(table)}
    returning ${keyOf(table)}`
}

/** Those of the keys that are there, as they are. */
export function getMany(
  table: RecordTable,
  items: readonly Pick<KeyedItem, 'key'>[],
  scope: TenantScope,
): Sql {
  return sql`
    select ${keyOf(table)}, ${allOf(table)}, ${table.digestSql}
    from unnest(${keyArrays(table, items)}) as g (${keyAliases(table)})
    join ${table.relation} as t on ${sameRow(table)}${ofCaller(table, scope, 't')}`
}

function valueName(i: number): Sql {
  return identifier(`$${i}`)
}

function aliases(indexes: readonly number[]): Sql {
  return join(indexes.map(valueName), ', ')
}

function cast(table: RecordTable, i: number): Sql {
  return sql`${valueName(i)}::${raw(table.types[i]!)}`
}

function arraysOf(table: RecordTable, indexes: readonly number[], rows: readonly Row[]): Sql {
  const arrays = indexes.map((i) => sql`${rows.map((row) => parameterText(table.types[i]!, row[i]))}::text[]`)
  return join(arrays, ', ')
}

function keyName(i: number): Sql {
  return identifier(`$key${i}`)
}

function keyAliases(table: RecordTable): Sql {
  return join(
    table.key.map((_, i) => keyName(i)),
    ', ',
  )
}

function keyArrays(table: RecordTable, items: readonly Pick<KeyedItem, 'key'>[]): Sql {
  const arrays = table.keyIndexes.map(
    (place, i) => sql`${items.map(({ key }) => parameterText(table.types[place]!, key[i]))}::text[]`,
  )
  return join(arrays, ', ')
}

function versionArray(items: readonly KeyedItem[]): Sql {
  // what is no version is none of any row
  const digests = items.map(({ precondition }) =>
    precondition.kind === 'versions' ? (digestOf(precondition.versions[0]!) ?? new Uint8Array()) : null,
  )
  return sql`${digests}::bytea[]`
}

function sameRow(table: RecordTable): Sql {
  const equal = table.keyIndexes.map(
    (place, i) => sql`t.${identifier(table.columns[place]!)} = g.${keyName(i)}::${raw(table.types[place]!)}`,
  )
  return join(equal, ' and ')
}

function sameVersion(table: RecordTable): Sql {
  return sql` and (g."$version" is null or g."$version" = ${table.digestSql})`
}

function keyOf(table: RecordTable): Sql {
  return join(
    table.key.map((name) => sql`t.${identifier(name)}`),
    ', ',
  )
}

function allOf(table: RecordTable): Sql {
  return join(
    table.columns.map((name) => sql`t.${identifier(name)}`),
    ', ',
  )
}
