import {
  type AggregateState,
  aggregates,
  type FinishedValue,
  type InputType,
  type InputValue,
  type StateSpec,
  stateSelect,
  states,
} from '../../src/aggregate/index.ts'
import type { Queryable } from '../../src/postgres/index.ts'
import { identifier, raw, type Sql, sql } from '../../src/util/sql.ts'

/** A value as vector files write it: PostgreSQL's text, timestamptz as microseconds since 1970. */
export type ValueText = string | null

export function parseValue(input: InputType, text: string): InputValue {
  switch (input) {
    case 'bool':
      return text === 'true'
    case 'int8':
    case 'timestamptz':
      return BigInt(text)
    case 'int2':
    case 'int4':
    case 'float8':
    case 'json-number':
      return Number(text)
    case 'float4':
      return Math.fround(Number(text))
    default:
      return text
  }
}

export function buildState(
  spec: StateSpec,
  values: readonly ValueText[],
  times: readonly string[] | null = null,
): AggregateState {
  const definition = states[spec.kind]
  let state = definition.create(spec)
  values.forEach((text, i) => {
    if (spec.input !== null && text === null) return
    const value = spec.input === null ? null : parseValue(spec.input, text as string)
    const time = times === null ? null : BigInt(times[i]!)
    state = definition.add(state, value, time, time === null ? undefined : seriesOf(spec, time))
  })
  return state
}

/** Tests of series have one column: the remainder of a row's microseconds by this, null instead of 0. */
const seriesCount = 3n

function seriesOf(spec: StateSpec, time: bigint): readonly (number | null)[] | undefined {
  return spec.series?.map(() => Number(time % seriesCount) || null)
}

export function seriesSql(spec: StateSpec): Sql[] | undefined {
  return spec.series?.map(
    () => sql`nullif((extract(epoch from time) * 1000000)::int8 % ${raw(String(seriesCount))}, 0)::int4`,
  )
}

export function bytesOf(spec: StateSpec, state: AggregateState): string {
  return Buffer.from(states[spec.kind].encode(state)).toString('hex')
}

function postgresType(input: InputType): string {
  if (input === 'json-number') return 'float8'
  return input === 'json-text' ? 'text' : input
}

/** Exact over the whole range, unlike a multiplication of an interval by all the microseconds. */
function instantSql(micros: Sql): Sql {
  return sql`case ${micros} when 9223372036854775807 then timestamptz 'infinity'
    when -9223372036854775808 then timestamptz '-infinity'
    else (timestamp 'epoch' + (${micros} / 86400000000)::int4 * interval '1 day'
      + (${micros} % 86400000000) * interval '1 microsecond') at time zone 'UTC' end`
}

/** Rows with columns id, value, time and cell (1 when no cells are given). */
export function rowsOf(
  input: InputType | null,
  values: readonly ValueText[],
  times: readonly string[] | null,
  cells: readonly (number | null)[] | null = null,
): Sql {
  const at = times ?? values.map((_, i) => String(i))
  const type = input === null ? 'text' : postgresType(input)
  const value =
    input === 'timestamptz'
      ? instantSql(identifier('raw', 'v'))
      : input === 'text[]'
        ? sql`${identifier('raw', 'v')}::text[]`
        : identifier('raw', 'v')
  const sent = input === 'timestamptz' ? 'int8' : type === 'text[]' ? 'text' : type
  const of = cells ?? values.map(() => 1)
  return sql`(select raw.id, raw.cell, ${value} as value, ${instantSql(identifier('raw', 't'))} as time
    from unnest(${values}::${raw(sent)}[], ${at}::int8[], ${of}::int4[]) with ordinality as raw (v, t, cell, id)
    ) as source`
}

/** The state of each cell as PostgreSQL computes it, in the cells' order. */
export async function postgresStates(
  db: Queryable,
  spec: StateSpec,
  from: Sql,
  options: { readonly cell?: Sql | null; readonly filter?: Sql | null } = {},
): Promise<Map<unknown, AggregateState>> {
  const shape = states[spec.kind].postgres(spec)
  const cells = options.cell ? [options.cell] : []
  const input = {
    value: spec.input === null ? null : identifier('value'),
    time: identifier('time'),
    filter: options.filter ?? null,
    series: seriesSql(spec),
  }
  const statement =
    shape.shape !== 'columns'
      ? stateSelect(shape, input, { cells, from, where: null })
      : aggregateSelect(cells, shape.columns(input), from)
  const { rows } = await db.query(statement)
  return statesOf(
    spec,
    rows.map((row) => [cells.length ? row[0] : null, shape.read(row.slice(cells.length))]),
  )
}

/** Of several states of one cell their merge. */
export function statesOf(
  spec: StateSpec,
  rows: readonly (readonly [unknown, AggregateState])[],
): Map<unknown, AggregateState> {
  const found = new Map<unknown, AggregateState>()
  for (const [cell, state] of rows) {
    const held = found.get(cell)
    found.set(cell, held ? states[spec.kind].merge(held, state) : state)
  }
  return found
}

function aggregateSelect(cells: readonly Sql[], columns: readonly Sql[], from: Sql): Sql {
  const list = [...cells, ...columns]
  const group = cells.length > 0 ? sql` group by 1` : sql``
  return sql`select ${list.reduce((all, next) => sql`${all}, ${next}`)} from ${from}${group}`
}

export async function postgresState(
  db: Queryable,
  spec: StateSpec,
  values: readonly ValueText[],
  times: readonly string[] | null = null,
): Promise<AggregateState> {
  const found = await postgresStates(db, spec, rowsOf(spec.input, values, times))
  return found.get(null) ?? states[spec.kind].create(spec)
}

/** JSON has no bigint, NaN or infinities: those are tagged texts in vector files. */
export function showFinished(value: FinishedValue): unknown {
  if (typeof value === 'bigint') return { int8: value.toString() }
  if (typeof value === 'number' && !Number.isFinite(value)) return { float8: String(value) }
  if (Array.isArray(value))
    return value.map((item) =>
      typeof item === 'object' && item !== null ? { ...item, value: showFinished(item.value) } : item,
    )
  return value
}

export const functionsOf = {
  count: ['count'],
  sum: ['sum', 'avg'],
  min: ['min'],
  max: ['max'],
  first: ['first'],
  last: ['last'],
  moments: ['variance', 'stddev'],
  ddsketch: ['percentile'],
  hll: ['uniques'],
  distinct: ['countDistinct'],
  histogram: ['histogram'],
  topk: ['topK'],
  counter: ['increase', 'rate', 'delta'],
  timeWeight: ['timeWeightedAvg'],
} as const

export const quantiles = [0, 0.05, 0.5, 0.95, 1]

export function finishAll(spec: StateSpec, state: AggregateState): Record<string, unknown> {
  const finished: Record<string, unknown> = {}
  for (const fn of functionsOf[spec.kind]) {
    if (fn === 'percentile')
      for (const quantile of quantiles)
        finished[`p${quantile * 100}`] = showFinished(aggregates[fn].finish(state, spec, { quantile }))
    else finished[fn] = showFinished(aggregates[fn].finish(state, spec, { quantile: null, k: 5 }))
  }
  return finished
}
