import { raw, type Sql, sql } from '../util/sql.ts'
import { readState, writeState } from './bytes.ts'
import type { FinishedValue, InputType, StateDefinition } from './contract.ts'
import { filtered, valueWhere } from './filtered.ts'
import { type CanonicalValue, valueType } from './values.ts'

export interface EdgeState {
  readonly input: InputType
  time: bigint
  value: CanonicalValue | null
}

/**
 * The value at the smallest (first) or greatest (last) time. Of several at that time first takes the least and last the
 * greatest, so the order of rows does not matter.
 */
function edge(kind: 'first' | 'last', sign: -1 | 1): StateDefinition<EdgeState> {
  const offer = (state: EdgeState, time: bigint, value: CanonicalValue): EdgeState => {
    const later = state.value === null ? sign : time < state.time ? -1 : time > state.time ? 1 : 0
    if (later === sign || (later === 0 && isBeyond(state, value))) {
      state.time = time
      state.value = value
    }
    return state
  }
  const isBeyond = (state: EdgeState, value: CanonicalValue): boolean =>
    valueType(state.input).compare(value, state.value as CanonicalValue) * sign > 0
  return {
    kind,
    exactness: 'exact',
    create: (spec) => ({ input: spec.input as InputType, time: 0n, value: null }),
    add: (state, value, time) =>
      value === null || time === null ? state : offer(state, time, valueType(state.input).canonical(value)),
    merge: (into, other) => (other.value === null ? into : offer(into, other.time, other.value)),
    encode(state) {
      const writer = writeState().byte(state.value === null ? 0 : 1)
      if (state.value !== null) {
        writer.integer(state.time)
        valueType(state.input).write(writer, state.value)
      }
      return writer.finish()
    },
    decode(bytes, spec) {
      const reader = readState(bytes)
      const state: EdgeState = { input: spec.input as InputType, time: 0n, value: null }
      if (reader.byte() !== 0) {
        state.time = reader.integer()
        state.value = valueType(state.input).read(reader)
      }
      reader.end()
      return state
    },
    postgres(spec) {
      const input = spec.input as InputType
      const type = valueType(input)
      return {
        shape: 'columns',
        /**
         * min and max of an array of one row compare time, then value, in one pass, without a sort and without
         * turning microseconds into floats. Figures of this and of the others: docs/decisions/0003-sketches.md.
         */
        columns({ value, time, filter }) {
          const row = sql`array[row(${time}, ${type.ordered(value as Sql)})]`
          const best = filtered(
            kind === 'first' ? sql`min(${row})` : sql`max(${row})`,
            filter,
            sql`(${value}) is not null and ${time} is not null`,
          )
          const field = (name: string): Sql =>
            sql`(select edge.${raw(name)} from unnest(${best}) as edge (at timestamptz, value ${raw(type.orderedType)}))`
          return [field('at'), field('value')]
        },
        read: (values) => read(input, values),
      }
    },
    duckdb(spec) {
      return {
        shape: 'columns',
        // arg_min takes any of the rows at the least time; structs compare by time, then by value
        columns({ value, time, filter }) {
          const row = valueWhere(
            sql`struct_pack(at := ${time}, value := ${value})`,
            sql`(${value}) is not null and ${time} is not null`,
            filter,
          )
          return [kind === 'first' ? sql`min(${row})` : sql`max(${row})`]
        },
        read([best]) {
          const { at, value } = (best ?? {}) as { at?: unknown; value?: unknown }
          return read(spec.input as InputType, [at, value])
        },
      }
    },
  }
}

function read(input: InputType, [time, value]: readonly unknown[]): EdgeState {
  const isNull = value === null || value === undefined
  return {
    input,
    time: (time as bigint | null) ?? 0n,
    value: isNull ? null : valueType(input).canonical(value as string),
  }
}

export const firstState = edge('first', -1)
export const lastState = edge('last', 1)

export function finishEdge(state: EdgeState): FinishedValue {
  return state.value === null ? null : valueType(state.input).present(state.value)
}
