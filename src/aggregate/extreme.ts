import { type Sql, sql } from '../util/sql.ts'
import { readState, writeState } from './bytes.ts'
import type { FinishedValue, InputType, StateDefinition } from './contract.ts'
import { filtered, valueWhere } from './filtered.ts'
import { type CanonicalValue, valueType } from './values.ts'

export interface ExtremeState {
  readonly input: InputType
  value: CanonicalValue | null
}

/** `sign` -1 keeps the least, 1 the greatest. */
function extreme(kind: 'min' | 'max', sign: -1 | 1): StateDefinition<ExtremeState> {
  const offer = (state: ExtremeState, value: CanonicalValue | null): ExtremeState => {
    if (value === null) return state
    if (state.value === null || valueType(state.input).compare(value, state.value) * sign > 0)
      state.value = value
    return state
  }
  return {
    kind,
    exactness: 'exact',
    create: (spec) => ({ input: spec.input as InputType, value: null }),
    add: (state, value) => offer(state, value === null ? null : valueType(state.input).canonical(value)),
    merge: (into, other) => offer(into, other.value),
    encode(state) {
      const writer = writeState().byte(state.value === null ? 0 : 1)
      if (state.value !== null) valueType(state.input).write(writer, state.value)
      return writer.finish()
    },
    decode(bytes, spec) {
      const reader = readState(bytes)
      const input = spec.input as InputType
      const value = reader.byte() === 0 ? null : valueType(input).read(reader)
      reader.end()
      return { input, value }
    },
    postgres(spec) {
      const input = spec.input as InputType
      const type = valueType(input)
      return {
        shape: 'columns',
        columns: ({ value, filter }) => [filtered(call(kind, input, type.ordered(value as Sql)), filter)],
        read: ([value]) => read(input, value),
      }
    },
    duckdb(spec) {
      const input = spec.input as InputType
      return {
        shape: 'columns',
        columns({ value, filter }) {
          const kept = valueWhere(value as Sql, filter)
          return [kind === 'min' ? sql`min(${kept})` : sql`max(${kept})`]
        },
        read: ([value]) => read(input, value),
      }
    },
  }
}

function read(input: InputType, value: unknown): ExtremeState {
  const isNull = value === null || value === undefined
  return { input, value: isNull ? null : valueType(input).canonical(value as string) }
}

/** PostgreSQL has no min and max of bool, and of uuid only from 18 on. */
function call(kind: 'min' | 'max', input: InputType, value: Sql): Sql {
  if (input === 'bool') return kind === 'min' ? sql`bool_and(${value})` : sql`bool_or(${value})`
  const ordered = input === 'uuid' ? sql`${value}::text collate "C"` : value
  return kind === 'min' ? sql`min(${ordered})` : sql`max(${ordered})`
}

export const minState = extreme('min', -1)
export const maxState = extreme('max', 1)

export function finishExtreme(state: ExtremeState): FinishedValue {
  return state.value === null ? null : valueType(state.input).present(state.value)
}
