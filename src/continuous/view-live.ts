import type { StateInput, StoredState } from '../aggregate/index.ts'
import { aggregateInput, filterToSql, groupKey } from '../hot/index.ts'
import type { Materialization } from '../query/index.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import { bucketColumn, type CellTable } from './cell-table.ts'
import { bucketSql, liveRanges } from './view-ranges.ts'

interface LiveState {
  readonly rows: StoredState['rows']
  readonly input: StateInput
}

/**
 * Cells of the ranges that are not valid, computed from rows. A lateral join over the ranges: the time's conditions are then known
 * when the scan begins, and chunks outside are not opened. States of more than one level are computed beside and joined by cell.
 */
export function liveCells(
  materialization: Materialization,
  { keys, states }: CellTable,
  relation: string,
): Sql {
  const { base, where } = materialization
  const time = identifier(base.time)
  const live = materialization.states.map(({ spec, ref, where: filter, series }, i): LiveState => {
    return {
      rows: states[i]!.stored.rows,
      input: {
        value: ref ? aggregateInput(ref, spec.input, base) : null,
        time,
        filter: filter ? filterToSql(filter, base) : null,
        series: series?.map((column) => identifier(column)),
      },
    }
  })
  const bucket = bucketSql(materialization.bucket, time)
  const keyExpressions = materialization.keys.map(({ ref }) => groupKey(ref, base))
  const from = identifier(base.schema, base.table)
  const conditions = [
    sql`${time} >= lower(live.part)`,
    sql`${time} < upper(live.part)`,
    ...(where ? [filterToSql(where, base)] : []),
  ]

  const computed = live.flatMap(({ rows, input }, i) =>
    rows.shape === 'columns'
      ? rows.columns(input).map((column, j) => sql`${column} as ${identifier(`s${i}_${j}`)}`)
      : [],
  )
  const cell = [
    sql`${bucket} as ${identifier(bucketColumn)}`,
    ...keyExpressions.map((key, i) => sql`${key} as ${identifier(keys[i]!.column)}`),
  ]
  const grouped = sql`select ${join([...cell, ...computed], ', ')}
      from ${from}
      where ${join(conditions, ' and ')}
      group by ${raw(cell.map((_, i) => String(i + 1)).join(', '))}`

  const joins: Sql[] = []
  const output: Sql[] = [bucketColumn, ...keys.map(({ column }) => column)].map(
    (column) => sql`g.${identifier(column)}`,
  )
  for (const [i, { rows, input }] of live.entries()) {
    if (rows.shape === 'columns') {
      const places = rows.columns(input).map((_, j) => sql`g.${identifier(`s${i}_${j}`)}`)
      output.push(...rows.store(places))
    } else {
      const alias = `k${i}`
      const statement = rows.statement(input, {
        cells: [bucket, ...keyExpressions],
        from,
        where: join(conditions, ' and '),
      })
      const names = [
        ...[bucket, ...keyExpressions].map((_, j) => `c${j}`),
        ...Array.from({ length: rows.width }, (_, j) => `v${j}`),
      ]
      joins.push(sql`
    left join (${statement}) as ${identifier(alias)} (${join(
      names.map((name) => identifier(name)),
      ', ',
    )}) on ${join(isSameCell(materialization, keys, alias), ' and ')}`)
      output.push(...rows.store(Array.from({ length: rows.width }, (_, j) => identifier(alias, `v${j}`))))
    }
  }
  return sql`select l.*
  from unnest(${liveRanges(materialization, relation)}) as live (part)
  cross join lateral (
    select ${join(output, ', ')}
    from (
      ${grouped}
    ) as g${join(joins, '')}
  ) as l`
}

/** Equalities that can be hashed; nulls are equal, too. */
function isSameCell({ base, keys: groups }: Materialization, keys: CellTable['keys'], alias: string): Sql[] {
  return [
    sql`${identifier(alias, 'c0')} = g.${identifier(bucketColumn)}`,
    ...keys.flatMap(({ column }, i) => {
      const theirs = identifier(alias, `c${i + 1}`)
      const ours = sql`g.${identifier(column)}`
      const { ref } = groups[i]!
      const declared = ref.path.length === 0 ? base.columns[ref.column] : undefined
      if (declared?.nullable === false) return [sql`${theirs} = ${ours}`]
      return [
        // numbers that are equal may have different texts: 0 and -0, 1.0 and 1.00
        declared && ['float4', 'float8', 'numeric'].includes(declared.type)
          ? sql`coalesce(${theirs}, 'NaN') = coalesce(${ours}, 'NaN')`
          : sql`coalesce(${theirs}::text, '') = coalesce(${ours}::text, '')`,
        sql`${theirs} is not distinct from ${ours}`,
      ]
    }),
  ]
}
