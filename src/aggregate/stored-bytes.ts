import { raw, type Sql, sql } from '../util/sql.ts'
import type { AggregateFunction, EngineState, FinishOptions, StateKind, StateSpec } from './contract.ts'
import { valueWhere } from './filtered.ts'
import { states } from './states.ts'
import type { StoredState } from './stored-state.ts'

type RowsShape = Exclude<EngineState, { shape: 'ordered' }>

/** Canonical bytes, which TypeScript merges, and the functions of schema tidemark finish (docs/reference/sql.md). */
export function storedBytes(spec: StateSpec): StoredState {
  const definition = states[spec.kind]
  const encode = encoders[spec.kind]
  const shape = definition.postgres(spec)
  return {
    columns: [{ suffix: '', type: 'bytea' }],
    write: (state) => [definition.encode(state)],
    read: ([bytes]) => definition.decode(bytes as Uint8Array, spec),
    merge: null,
    finish: (fn, [bytes], options) => finish(fn, bytes as Sql, options),
    rows:
      encode === undefined || shape.shape === 'ordered'
        ? null
        : { shape: plainShape(spec.kind, shape), store: (computed) => [encode(computed, spec)] },
  }
}

function finish(fn: AggregateFunction, bytes: Sql, { quantile, quantiles }: FinishOptions): Sql | null {
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
    default:
      return null
  }
}

/** A sketch's own key is quick, and has tables of borders in it that would fill pages of a view. */
function plainShape(kind: StateKind, shape: RowsShape): RowsShape {
  if (kind !== 'ddsketch' || shape.shape !== 'keyed') return shape
  return {
    ...shape,
    key: ({ value, filter }) => valueWhere(sql`tidemark.sketch_key((${value})::float8)`, filter),
  }
}

/** Canonical bytes from the columns of `outer`; null in them where a cell has no value. */
const encoders: Partial<Record<StateKind, (computed: readonly Sql[], spec: StateSpec) => Sql>> = {
  ddsketch: ([keys, counts, min, max]) => sql`tidemark.percentile_state(${keys}, ${counts}, ${min}, ${max})`,
  hll: ([total, registers, ranks, hashes]) =>
    sql`tidemark.uniques_state(${total}, ${registers}, ${ranks}, ${hashes})`,
  distinct: ([bytes, texts]) => sql`tidemark.distinct_state(${bytes}, ${texts})`,
  histogram: ([keys, counts], { borders }) =>
    sql`tidemark.histogram_state(${keys}, ${counts}, ${raw(String((borders ?? []).length + 1))})`,
}
