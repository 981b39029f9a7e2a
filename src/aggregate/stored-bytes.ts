import { identifier, join, quoteLiteral, raw, type Sql, sql } from '../util/sql.ts'
import type { AggregateFunction, EngineState, FinishOptions, StateKind, StateSpec } from './contract.ts'
import { valueWhere } from './filtered.ts'
import { keyedSelect, orderedRows } from './keyed.ts'
import { states } from './states.ts'
import type { StatementOfRows, StoredState } from './stored-state.ts'

type OwnStatement = Exclude<EngineState, { shape: 'columns' }>

/** Canonical bytes, which TypeScript merges, and the functions of schema tidemark finish (docs/reference/sql.md). */
export function storedBytes(spec: StateSpec): StoredState {
  const definition = states[spec.kind]
  return {
    columns: [{ suffix: '', type: 'bytea' }],
    write: (state) => [definition.encode(state)],
    read: ([bytes]) => definition.decode(bytes as Uint8Array, spec),
    merge: null,
    finish: (fn, [bytes], options) => finish(fn, spec, bytes as Sql, options),
    rows: rowsOf(spec, definition.postgres(spec) as OwnStatement),
  }
}

function finish(
  fn: AggregateFunction,
  { input, series = [] }: StateSpec,
  bytes: Sql,
  { quantile, quantiles, k }: FinishOptions,
): Sql | null {
  const at = (q: number): Sql => sql`tidemark.percentile(${bytes}, ${raw(`'${q}'::float8`)})`
  switch (fn) {
    case 'percentile':
      return at(quantile as number)
    case 'percentiles':
      return sql`tidemark.percentiles(${bytes}, ${raw(`'{${(quantiles ?? []).join(',')}}'::float8[]`)})`
    case 'uniques':
      return sql`tidemark.uniques(${bytes})`
    case 'countDistinct':
      return sql`tidemark.count_distinct(${bytes})`
    case 'histogram':
      return sql`tidemark.histogram_counts(${bytes})`
    case 'topK':
      return sql`tidemark.top_k(${bytes}, ${raw(String(k))}, ${raw(quoteLiteral(String(input)))})`
    case 'increase':
    case 'rate':
    case 'delta':
      return sql`tidemark.${raw(fn)}(${bytes}, ${raw(String(series.length))})`
    case 'timeWeightedAvg':
      return sql`tidemark.time_weighted_avg(${bytes}, ${raw(String(series.length))})`
    default:
      return null
  }
}

/** The bytes of each cell from rows, by one statement of the view. */
function rowsOf(spec: StateSpec, shape: OwnStatement): StatementOfRows {
  if (shape.shape === 'ordered')
    return {
      shape: 'statement',
      statement: (input, rows) => seriesOfCells(spec, orderedRows(shape, input, rows), rows.cells.length),
      width: 1,
      // a cell without a reading
      store: ([bytes]) => [sql`coalesce(${bytes}, '\\x0100'::bytea)`],
    }
  const plain = plainShape(spec.kind, shape)
  const encode = encoders[spec.kind] as Encoder
  return {
    shape: 'statement',
    statement: (input, rows) => keyedSelect(plain, input, rows),
    width: shape.width,
    store: (computed) => [encode(computed, spec)],
  }
}

/** Around a statement that gives a row for each series of a cell. Series are in the order of their key as JSON, as in TypeScript. */
function seriesOfCells({ series = [] }: StateSpec, segments: Sql, cellCount: number): Sql {
  const named = (letter: string, count: number): Sql[] =>
    Array.from({ length: count }, (_, i) => identifier(`${letter}${i}`))
  const [cells, keys, edges] = [named('c', cellCount), named('k', series.length), named('e', 5)]
  const key = sql`array[${join(keys, ', ')}]::text[]`
  const bytes = sql`'\\x01'::bytea || tidemark.write_count(count(*))
    || string_agg(tidemark.write_series(${join([key, ...edges], ', ')}), '' order by to_json(${key})::text collate "C")`
  return sql`select ${join([...cells, bytes], ', ')}
    from (${segments}) as segments (${join([...cells, ...keys, ...edges], ', ')})
    group by ${join(cells, ', ')}`
}

/** A sketch's own key is quick, and has tables of borders in it that would fill pages of a view. */
function plainShape(
  kind: StateKind,
  shape: Extract<EngineState, { shape: 'keyed' }>,
): Extract<EngineState, { shape: 'keyed' }> {
  if (kind !== 'ddsketch') return shape
  return {
    ...shape,
    key: ({ value, filter }) => valueWhere(sql`tidemark.sketch_key((${value})::float8)`, filter),
  }
}

type Encoder = (computed: readonly Sql[], spec: StateSpec) => Sql

/** Canonical bytes from the columns of `outer`; null in them where a cell has no value. */
const encoders: Partial<Record<StateKind, Encoder>> = {
  ddsketch: ([keys, counts, min, max]) => sql`tidemark.percentile_state(${keys}, ${counts}, ${min}, ${max})`,
  hll: ([total, registers, hashes]) => sql`tidemark.uniques_state(${total}, ${registers}, ${hashes})`,
  distinct: ([bytes, texts]) => sql`tidemark.distinct_state(${bytes}, ${texts})`,
  topk: ([texts, counts, rest]) => sql`tidemark.top_state(${texts}, ${counts}, ${rest})`,
  histogram: ([keys, counts], { borders }) =>
    sql`tidemark.histogram_state(${keys}, ${counts}, ${raw(String((borders ?? []).length + 1))})`,
}
