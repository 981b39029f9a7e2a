import {
  type AggregateFunction,
  type AggregateState,
  aggregates,
  type FinishedValue,
  type FinishOptions,
  type ResultType,
  type StateSpec,
  stateSelect,
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

export interface FinishCall {
  readonly name: string
  readonly fn: AggregateFunction
  readonly options: FinishOptions
}

/** Of each kept state what SQL finishes it to, by the call's name, in the JavaScript form of TypeScript's. */
export async function finishKept(
  connection: Connection,
  spec: StateSpec,
  calls: readonly FinishCall[],
): Promise<Map<string, FinishedValue>[]> {
  const { finish } = storedState(spec)
  const known = calls.flatMap((call) => {
    const finished = finish?.(call.fn, columnNames(spec), call.options) ?? null
    return finished ? [{ ...call, finished }] : []
  })
  const list = join([raw('id'), ...known.map(({ finished }) => finished)], ', ')
  const { rows } = await connection.query(sql`select ${list} from kept order by id`)
  return rows.map(
    ([, ...values]) =>
      new Map(known.map(({ name, fn }, i) => [name, plain(aggregates[fn].result(spec.input), values[i])])),
  )
}

function plain(result: ResultType, value: unknown): FinishedValue {
  if (result === 'count' && value !== null) return Number(value)
  if (result === 'histogram' && value !== null) return (value as bigint[]).map(Number)
  return value as FinishedValue
}

/** The state of rows as the SQL of a view makes it. */
export async function computeStored(
  connection: Connection,
  spec: StateSpec,
  from: Sql,
): Promise<AggregateState | null> {
  const { rows: fromRows, read } = storedState(spec)
  if (fromRows === null) return null
  const { shape, store } = fromRows
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
    select ${join(store(names), ', ')}
    from (select 1) as one left join (${statement}) as computed (${join(listed, ', ')}) on true`)
  return read(rows[0]!)
}
