import { minusInfinityInstant } from '../time/index.ts'
import { raw, type Sql, sql } from '../util/sql.ts'
import type { EngineState, InputType, StateKind, StateSpec } from './contract.ts'
import { type EdgeState, firstState, lastState } from './edge.ts'
import { type ExtremeState, maxState, minState } from './extreme.ts'
import type { StoredState } from './stored-state.ts'
import { valueType } from './values.ts'

type ColumnsShape = Extract<EngineState, { shape: 'columns' }>

/** The type in which values of an input are kept. */
function typeOf(input: InputType): string {
  if (input === 'json-number') return 'float8'
  return input === 'json-text' ? 'text' : input
}

/** What an `ordered` expression gave, in the one form that equal values share. */
function canonicalSql(input: InputType, value: Sql): Sql {
  if (input === 'float4' || input === 'float8' || input === 'json-number')
    return sql`(${value} + 0e0::float8)::${raw(typeOf(input))}`
  if (input === 'numeric') return sql`trim_scale(${value})`
  return input === 'uuid' ? sql`(${value})::uuid` : value
}

const finishes = (kind: StateKind, value: Sql | undefined) => (fn: string) =>
  fn === kind ? (value as Sql) : null

/** `known` tells no values from a state that is not known. */
export function storedExtreme(spec: StateSpec): StoredState {
  const input = spec.input as InputType
  const kind = spec.kind as 'min' | 'max'
  const definition = kind === 'min' ? minState : maxState
  const shape = definition.postgres(spec) as ColumnsShape
  const type = valueType(input)
  return {
    columns: [
      { suffix: 'value', type: typeOf(input) },
      { suffix: 'known', type: 'bool' },
    ],
    write(state) {
      const { value } = state as ExtremeState
      return [value === null ? null : type.present(value), true]
    },
    read: ([value]) => shape.read([value]),
    merge([value, known]) {
      const merged =
        shape.shape === 'columns' ? shape.columns({ value: value as Sql, time: null, filter: null }) : []
      return [canonicalSql(input, merged[0] as Sql), sql`bool_or(${known})`]
    },
    finish: (fn, [value]) => finishes(kind, value)(fn),
    rows: {
      shape: 'columns',
      columns: shape.columns,
      store: ([value]) => [canonicalSql(input, value as Sql), sql`true`],
    },
  }
}

/** No row has a time of -infinity: it stands for no values. */
export function storedEdge(spec: StateSpec): StoredState {
  const input = spec.input as InputType
  const kind = spec.kind as 'first' | 'last'
  const shape = (kind === 'first' ? firstState : lastState).postgres(spec) as ColumnsShape
  const type = valueType(input)
  const store = ([at, value]: readonly Sql[]): readonly Sql[] => [
    sql`coalesce(${at}, '-infinity')`,
    canonicalSql(input, value as Sql),
  ]
  return {
    columns: [
      { suffix: 'at', type: 'timestamptz' },
      { suffix: 'value', type: typeOf(input) },
    ],
    write(state) {
      const { time, value } = state as EdgeState
      return value === null ? [minusInfinityInstant, null] : [time, type.present(value)]
    },
    read: ([at, value]) => shape.read(value === null ? [null, null] : [at, value]),
    merge([at, value]) {
      return store(shape.columns({ value: value as Sql, time: at as Sql, filter: null }))
    },
    finish: (fn, [, value]) => finishes(kind, value)(fn),
    rows: { shape: 'columns', columns: shape.columns, store },
  }
}
