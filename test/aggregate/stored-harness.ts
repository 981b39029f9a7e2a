import {
  type AggregateFunction,
  type AggregateState,
  aggregates,
  type FinishedValue,
  type FinishOptions,
  type InputType,
  type ResultType,
  type StateSpec,
  storedState,
  type TopValue,
} from '../../src/aggregate/index.ts'
import { type Connection, type CopyType, createCopyEncoder } from '../../src/postgres/index.ts'
import { identifier, join, raw, type Sql, sql } from '../../src/util/sql.ts'
import { seriesSql } from './harness.ts'

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
  const known = calls.map((call) => {
    const finished = finish(call.fn, columnNames(spec), call.options)
    if (finished === null) throw new Error(`SQL does not finish ${call.fn}`)
    return { ...call, finished }
  })
  const list = join([raw('id'), ...known.map(({ finished }) => finished)], ', ')
  const { rows } = await connection.query(sql`select ${list} from kept order by id`)
  return rows.map(
    ([, ...values]) =>
      new Map(
        known.map(({ name, fn }, i) => [
          name,
          plain(aggregates[fn].result(spec.input), values[i], spec.input),
        ]),
      ),
  )
}

function plain(result: ResultType, value: unknown, input: InputType | null): FinishedValue {
  if (result === 'topK' && value !== null)
    return (value as TopValue[]).map((top) => ({ ...top, value: topValue(top.value, input) }))
  if (result === 'count' && value !== null) return Number(value)
  if (result === 'histogram' && value !== null) return (value as bigint[]).map(Number)
  return value as FinishedValue
}

/** JSON has no int8 beyond 2^53, no NaN and no infinities. */
function topValue(value: TopValue['value'], input: InputType | null): TopValue['value'] {
  if (input === 'int8') return BigInt(value)
  return input !== null && ['float4', 'float8', 'json-number'].includes(input) ? Number(value) : value
}

/** The state of rows as the SQL of a view makes it. */
export async function computeStored(
  connection: Connection,
  spec: StateSpec,
  from: Sql,
): Promise<AggregateState> {
  const { rows: fromRows, read } = storedState(spec)
  const input = {
    value: spec.input === null ? null : identifier('value'),
    time: identifier('time'),
    filter: null,
    series: seriesSql(spec),
  }
  const width = fromRows.shape === 'columns' ? fromRows.columns(input).length : fromRows.width
  const statement =
    fromRows.shape === 'columns'
      ? sql`select ${join(fromRows.columns(input), ', ')} from ${from}`
      : fromRows.statement(input, { cells: [raw('1')], from, where: null })
  const names = Array.from({ length: width }, (_, i) => identifier(`v${i}`))
  const listed = fromRows.shape === 'columns' ? names : [identifier('c0'), ...names]
  const { rows } = await connection.query(sql`
    select ${join(fromRows.store(names), ', ')}
    from (select 1) as one left join (${statement}) as computed (${join(listed, ', ')}) on true`)
  return read(rows[0]!)
}
