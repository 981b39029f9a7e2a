import { TidemarkError } from '../util/errors.ts'
import { raw, type Sql, sql } from '../util/sql.ts'
import { readState, writeState } from './bytes.ts'
import type { InputType, InputValue, StateDefinition } from './contract.ts'
import { duckdbType } from './duckdb-values.ts'
import { valueWhere } from './filtered.ts'
import { groupByCells, listCells } from './keyed.ts'
import { compareText, valueType } from './values.ts'

/** Bytes of one state at most: UTF-8 of each different canonical text and 8 more for each. */
const maxDistinctBytes = 16 * 1024 * 1024

export interface DistinctState {
  readonly input: InputType
  readonly texts: Set<string>
  bytes: number
}

function create(input: InputType): DistinctState {
  return { input, texts: new Set(), bytes: 0 }
}

function addText(state: DistinctState, text: string): void {
  const before = state.texts.size
  state.texts.add(text)
  if (state.texts.size === before) return
  state.bytes += Buffer.byteLength(text) + 8
  if (state.bytes > maxDistinctBytes) throw tooLarge(state.bytes)
}

function tooLarge(bytes: number): TidemarkError {
  return new TidemarkError('TM_LIMIT', {
    what: 'the set of different values that countDistinct keeps for one group',
    value: `${bytes} bytes`,
    limit: `${maxDistinctBytes} bytes`,
    todo: 'ask for uniques(), whose state has a fixed size, or for shorter buckets',
  })
}

export const distinctState: StateDefinition<DistinctState> = {
  kind: 'distinct',
  exactness: 'exact',
  create: (spec) => create(spec.input as InputType),
  add(state, value) {
    const type = valueType(state.input)
    addText(state, type.text(type.canonical(value as InputValue)))
    return state
  },
  merge(into, other) {
    for (const text of other.texts) addText(into, text)
    return into
  },
  encode(state) {
    const writer = writeState().count(state.texts.size)
    for (const text of [...state.texts].sort(compareText)) writer.text(text)
    return writer.finish()
  },
  decode(bytes, spec) {
    const reader = readState(bytes)
    const state = create(spec.input as InputType)
    for (let left = reader.count(); left > 0; left -= 1) addText(state, reader.text())
    reader.end()
    return state
  },
  postgres(spec) {
    const input = spec.input as InputType
    const type = valueType(input)
    return {
      shape: 'keyed',
      key: ({ value, filter }) => valueWhere(type.ordered(value as Sql), filter),
      inner: () => [],
      width: 2,
      /** The sizes are known before the first array is built: a set over the limit never takes memory. */
      outer({ select, cells, key }) {
        const cellList = listCells(cells)
        const groupBy = groupByCells(cells)
        const limit = raw(String(maxDistinctBytes))
        return sql`
          with keyed as materialized (
            select ${cellList}${type.textSql(key)} as text from (${select}) keyed where ${key} is not null
          ),
          sizes as (
            select sum(octet_length(convert_to(text, 'UTF8')) + 8)::int8 as bytes from keyed${groupBy}
          )
          select ${cellList}(select max(bytes) from sizes),
            array_agg(text) filter (where (select max(bytes) from sizes) <= ${limit})
          from keyed${groupBy}`
      },
      read: (values) => read(input, values),
    }
  },
  duckdb(spec) {
    const input = spec.input as InputType
    return {
      shape: 'keyed',
      key: ({ value, filter }) => valueWhere(sql`(${value})`, filter),
      inner: () => [],
      width: 2,
      outer({ select, cells, key }) {
        const cellList = listCells(cells)
        const groupBy = groupByCells(cells)
        const limit = raw(String(maxDistinctBytes))
        return sql`
          with keyed as materialized (
            select ${cellList}${duckdbType(input).text(key)} as text from (${select}) keyed
          ),
          sizes as (select sum(strlen(text) + 8) as bytes from keyed${groupBy}),
          largest as materialized (select max(bytes) as bytes from sizes)
          select ${cellList}any_value(largest.bytes), list(text) filter (where largest.bytes <= ${limit})
          from keyed, largest${groupBy}`
      },
      read: (values) => read(input, values),
    }
  },
}

function read(input: InputType, [bytes, texts]: readonly unknown[]): DistinctState {
  if (Number(bytes ?? 0) > maxDistinctBytes) throw tooLarge(Number(bytes))
  const state = create(input)
  for (const text of (texts ?? []) as readonly string[]) addText(state, text)
  return state
}
