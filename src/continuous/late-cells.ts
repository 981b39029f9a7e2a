import { type AggregateState, states as algebra } from '../aggregate/index.ts'
import { type Connection, type CopyType, createCopyEncoder } from '../postgres/index.ts'
import { type Cell, unknownState } from '../query/index.ts'
import type { Instant } from '../time/index.ts'
import { identifier, join, raw, sql } from '../util/sql.ts'
import { unreachable } from '../util/unreachable.ts'
import { bucketColumn, cellTableOf } from './cell-table.ts'
import { cellRelation, insertCells } from './cells.ts'
import type { AggregateVersion } from './version.ts'

/**
 * Merges cells into those of the table; where there is none, they are the cell. The version is locked, so nobody changes what is taken
 * out here before it is back. What is not known of a bucket stays so.
 */
export async function mergeCells(
  connection: Connection,
  version: AggregateVersion,
  late: readonly Cell[],
): Promise<void> {
  const { states } = version.materialization
  const taken = await takeOut(connection, version, late)
  const merged = late.map((cell, place): Cell => {
    const known = taken.get(place)
    return {
      ...cell,
      states: cell.states.map((state, i) => {
        const before = version.unknownBefore.get(i)
        if (before !== undefined && (cell.bucket as Instant) < before) return unknownState
        if (known === undefined) return state
        const { spec } = states[i] ?? unreachable('a cell has the states of its version')
        return algebra[spec.kind].merge(known[i] as AggregateState, state)
      }),
    }
  })
  await insertCells(connection, version, merged)
}

/** Deletes the cells of the same buckets and keys, and gives their states by place in `cells`. */
async function takeOut(
  connection: Connection,
  version: AggregateVersion,
  cells: readonly Cell[],
): Promise<ReadonlyMap<number, readonly AggregateState[]>> {
  const { keys, states } = cellTableOf(version.materialization)
  const staging = identifier('pg_temp', `tidemark_late_${version.id}`)
  const columns = [{ column: 'place', type: 'int4' }, { column: bucketColumn, type: 'timestamptz' }, ...keys]
  await connection.execute(sql`
    create temporary table ${identifier(`tidemark_late_${version.id}`)} (
      ${join(
        columns.map(({ column, type }) => sql`${identifier(column)} ${raw(type)}`),
        ', ',
      )}
    ) on commit drop`)
  const encoder = createCopyEncoder(columns.map(({ type }) => type as CopyType))
  cells.forEach(({ bucket, keys: values }, place) => {
    encoder.addRow([place, bucket, ...values])
  })
  await connection.copyFrom(sql`copy ${staging} from stdin (format binary)`, encoder.finish())
  const isSame = [
    sql`c.${identifier(bucketColumn)} = l.${identifier(bucketColumn)}`,
    // nulls are equal, and the first of the two can be hashed
    ...keys.flatMap(({ column }) => {
      const [ours, theirs] = [sql`c.${identifier(column)}`, sql`l.${identifier(column)}`]
      return [
        sql`coalesce(${ours}::text, '') = coalesce(${theirs}::text, '')`,
        sql`${ours} is not distinct from ${theirs}`,
      ]
    }),
  ]
  const held = states.flatMap((state) => state.columns.map(({ column }) => sql`c.${identifier(column)}`))
  const { rows } = await connection.query(sql`
    delete from ${cellRelation(version)} as c
    using ${staging} as l
    where ${join(isSame, ' and ')}
    returning ${join([raw('l.place'), ...held], ', ')}`)
  return new Map(
    rows.map(([place, ...values]) => {
      let at = 0
      const read = states.map(({ stored, columns: own }) => {
        const from = at
        at += own.length
        const mine = values.slice(from, at)
        return mine.every((value) => value === null) ? unknownState : stored.read(mine)
      })
      return [place as number, read]
    }),
  )
}
