import { createHash } from 'node:crypto'
import { text } from '../migrate/index.ts'
import type { Materialization } from '../query/index.ts'
import { identifier, join, type Sql, sql } from '../util/sql.ts'
import { unreachable } from '../util/unreachable.ts'
import { bucketColumn, type CellTable, cellTableOf } from './cell-table.ts'
import { cells } from './migrate-statements.ts'
import type { ViewDimensions } from './version.ts'
import { liveCells } from './view-live.ts'
import { liveRanges } from './view-ranges.ts'
import { withInlineLists } from './view-sql.ts'

/** The SQL view of an aggregate as it has to be. */
export interface AggregateView {
  /** CREATE OR REPLACE, the comment, and the mark in the catalog. */
  readonly statements: readonly string[]
  /** Changes with the text of the view. */
  readonly hash: string
}

/** PostgreSQL cuts longer names without a word. */
const maxNameBytes = 63

/**
 * Finished values of every cell, for psql and Grafana: bucket, keys, dimensions, outputs, and the states of sketches. Cells that are
 * valid come from their table; the rest is computed from the hypertable's rows as SQL sees them, so it is never stale. Security
 * invoker: its reader sees what he may see of the hypertable (docs/design/continuous-aggregates.md).
 */
export function viewOf(
  materialization: Materialization,
  relation: string,
  dimensions: ViewDimensions = materialization.definition.dimensions,
): AggregateView {
  const { definition } = materialization
  const name = identifier(definition.schema, definition.table)
  const table = cellTableOf(materialization)
  const create = text(
    withInlineLists(sql`create or replace view ${name} with (security_invoker = true) as
select
  ${join(outputColumns(materialization, table, dimensions), ',\n  ')}
from (
  ${materializedCells(table, materialization, relation)}
  union all
  ${liveCells(materialization, table, relation)}
) as c${dimensionJoins(materialization, dimensions)}`),
  )
  const hash = createHash('sha256').update(create).digest('hex')
  return {
    statements: [
      create,
      text(sql`comment on view ${name} is ${definition.comment}`),
      text(
        sql`update tidemark.aggregate set view_hash = ${hash} where schema_name = ${definition.schema} and table_name = ${definition.table}`,
      ),
    ],
    hash,
  }
}

function outputColumns(
  materialization: Materialization,
  { keys, states }: CellTable,
  dimensions: ViewDimensions,
): Sql[] {
  const { outputs } = materialization
  const column = (name: string): Sql => sql`c.${identifier(name)}`
  const taken = new Set([
    bucketColumn,
    ...materialization.keys.map(({ name }) => name),
    ...Object.keys(dimensions),
    ...outputs.map(({ name }) => name),
  ])
  return [
    column(bucketColumn),
    ...materialization.keys.map(({ name }, i) => sql`${column(keys[i]!.column)} as ${identifier(name)}`),
    ...Object.entries(dimensions).map(
      ([name, dimension], i) => sql`${identifier(`d${i}`, dimension.column)} as ${identifier(name)}`,
    ),
    ...outputs.map(({ name, aggregate, state }) => {
      const { stored, columns } = states[state]!
      const { fn, quantile, quantiles, k } = aggregate
      const options = { quantile, ...(quantiles ? { quantiles } : {}), ...(k === undefined ? {} : { k }) }
      const finished = stored.finish(
        fn,
        columns.map((each) => column(each.column)),
        options,
      )
      return sql`${finished ?? unreachable(`${fn} of a state of another kind`)} as ${identifier(name)}`
    }),
    ...outputs.flatMap(({ name, state }) => {
      const { columns } = states[state]!
      const stateName = `${name}_state`
      const isSketch = columns.length === 1 && columns[0]!.type === 'bytea'
      if (!isSketch || taken.has(stateName) || Buffer.byteLength(stateName) > maxNameBytes) return []
      return [sql`${column(columns[0]!.column)} as ${identifier(stateName)}`]
    }),
  ]
}

/** Named by its columns in the order of the table. */
function cellColumns({ keys, states }: CellTable): string[] {
  return [
    bucketColumn,
    ...keys.map(({ column }) => column),
    ...states.flatMap(({ columns }) => columns.map(({ column }) => column)),
  ]
}

function materializedCells(table: CellTable, materialization: Materialization, relation: string): Sql {
  const columns = cellColumns(table).map((column) => sql`m.${identifier(column)}`)
  return sql`select ${join(columns, ', ')}
  from ${cells(relation)} as m
  where not ${liveRanges(materialization, relation)} @> m.${identifier(bucketColumn)}`
}

/** A left join: a key without a row there keeps its cells. */
function dimensionJoins({ keys }: Materialization, dimensions: ViewDimensions): Sql {
  const joins = Object.values(dimensions).map(({ table, on }, i) => {
    const [schema, name] = table.includes('.') ? table.split('.') : ['public', table]
    const conditions = Object.entries(on).map(([column, key]) => {
      const place = keys.findIndex((each) => each.name === key)
      return sql`${identifier(`d${i}`, column)} = c.${identifier(`key_${place}`)}`
    })
    return sql`
left join ${identifier(schema as string, name as string)} as ${identifier(`d${i}`)} on ${join(conditions, ' and ')}`
  })
  return join(joins, '')
}
