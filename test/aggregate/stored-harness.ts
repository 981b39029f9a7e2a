import {
  type AggregateFunction,
  type AggregateState,
  aggregates,
  type FinishedValue,
  type FinishOptions,
  type StateSpec,
  stateSelect,
  states,
  storedState,
} from '../../src/aggregate/index.ts'
import { type Connection, type CopyType, createCopyEncoder } from '../../src/postgres/index.ts'
import { identifier, join, raw, type Sql, sql } from '../../src/util/sql.ts'

const columnNames = (spec: StateSpec): readonly Sql[] =>
  storedState(spec).columns.map((_, i) => identifier(`column_${i}`))

/** A temporary table of stored states, one row each, in order; written as a refresh writes them. */
export async function keepStates(
  connection: Connection,
  spec: StateSpec,
  kept: readonly AggregateState[],
): Promise<void> {
  const { columns, write } = storedState(spec)
  const names = columnNames(spec)
  const list = columns.map(({ type }, i) => sql`${names[i]} ${raw(type)}`)
  await connection.execute('drop table if exists kept')
  await connection.execute(sql`create temporary table kept (id int, ${join(list, ', ')})`)
  const encoder = createCopyEncoder(['int4', ...columns.map(({ type }) => type as CopyType)])
  kept.forEach((state, i) => {
    encoder.addRow([i, ...write(state)])
  })
  await connection.copyFrom(
    sql`copy kept (id, ${join(names, ', ')}) from stdin (format binary)`,
    encoder.finish(),
  )
}

export async function readKept(connection: Connection, spec: StateSpec): Promise<AggregateState[]> {
  const { rows } = await connection.query(sql`select ${join(columnNames(spec), ', ')} from kept order by id`)
  return rows.map((row) => storedState(spec).read(row))
}

/** All kept states as one, merged in SQL. */
export async function mergeKept(connection: Connection, spec: StateSpec): Promise<AggregateState> {
  const { merge, read } = storedState(spec)
  const { rows } = await connection.query(sql`select ${join(merge!(columnNames(spec)), ', ')} from kept`)
  return read(rows[0]!)
}

/** What SQL finishes each kept state to, in the JavaScript form of TypeScript's; null: SQL has no such function. */
export async function finishKept(
  connection: Connection,
  spec: StateSpec,
  fn: AggregateFunction,
  options: FinishOptions,
): Promise<FinishedValue[] | null> {
  const finished = storedState(spec).finish?.(fn, columnNames(spec), options) ?? null
  if (finished === null) return null
  const { rows } = await connection.query(sql`select ${finished} from kept order by id`)
  const result = aggregates[fn].result(spec.input)
  return rows.map(([value]) => {
    if (result === 'count' && value !== null) return Number(value)
    if (result === 'histogram' && value !== null) return (value as bigint[]).map(Number)
    return value as FinishedValue
  })
}

/** The state of rows as the SQL of a view makes it. */
export async function computeStored(
  connection: Connection,
  spec: StateSpec,
  from: Sql,
): Promise<AggregateState | null> {
  const { compute, read } = storedState(spec)
  const shape = states[spec.kind].postgres(spec)
  if (compute === null || shape.shape === 'ordered') return null
  const input = {
    value: spec.input === null ? null : identifier('value'),
    time: identifier('time'),
    filter: null,
  }
  const width = shape.shape === 'columns' ? shape.columns(input).length : shape.width
  const statement =
    shape.shape === 'columns'
      ? sql`select ${join(shape.columns(input), ', ')} from ${from}`
      : stateSelect(shape, input, { cells: [raw('1')], from, where: null })
  const names = Array.from({ length: width }, (_, i) => identifier(`v${i}`))
  const listed = shape.shape === 'columns' ? names : [identifier('c0'), ...names]
  const { rows } = await connection.query(sql`
    select ${join(compute(names), ', ')}
    from (select 1) as one left join (${statement}) as computed (${join(listed, ', ')}) on true`)
  return read(rows[0]!)
}
