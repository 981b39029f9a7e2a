import { formatInstant } from '../time/index.ts'
import { join, raw, type Sql, sql } from '../util/sql.ts'
import { readState, writeState } from './bytes.ts'
import type {
  EngineState,
  InputType,
  InputValue,
  KeyedSource,
  StateDefinition,
  TopValue,
} from './contract.ts'
import { duckdbType } from './duckdb-values.ts'
import { valueWhere } from './filtered.ts'
import { groupByCells, listCells } from './keyed.ts'
import { type CanonicalValue, compareText, valueType } from './values.ts'

/** Values that an answer lists at most. */
export const maxTopK = 1000

/** Different values that are kept for the `k` heaviest: the more, the smaller the error and the larger the state. */
export function topCapacity(k: number): number {
  return Math.max(256, 8 * k)
}

/** In memory a state may grow to this many times its capacity before the lightest are dropped: each dropping adds error. */
const slack = 8

/** How often a value was counted, and how often more it may have occurred. */
interface Counted {
  count: number
  error: number
}

/**
 * The heaviest values with two-sided bounds, in the manner of SpaceSaving (Metwally, Agrawal, El Abbadi, "Efficient computation
 * of frequent and top-k elements in data streams", ICDT 2005) and of its merging (Agarwal, Cormode, Huang, Phillips, Wei, Yi,
 * "Mergeable summaries", PODS 2012). With at most `capacity` different values nothing is dropped and all is exact.
 */
export interface TopState {
  readonly input: InputType
  readonly capacity: number
  /** By canonical text. */
  readonly items: Map<string, Counted>
  /** How often a value that is not among the items may have occurred. */
  rest: number
}

function create(input: InputType, capacity: number): TopState {
  return { input, capacity, items: new Map(), rest: 0 }
}

type Entry = readonly [string, Counted]

/** By what a value may have at most: what is dropped then bounds the rest least. Ties by text, so that there is one order. */
function heaviestFirst(a: Entry, b: Entry): number {
  const difference = b[1].count + b[1].error - (a[1].count + a[1].error)
  return difference || b[1].count - a[1].count || compareText(a[0], b[0])
}

function isTooLarge({ items, capacity }: TopState): boolean {
  return items.size > capacity * slack
}

/** The state with at most as many items as its capacity; itself when it has no more. */
function pruned(state: TopState): TopState {
  if (state.items.size <= state.capacity) return state
  const entries = [...state.items].sort(heaviestFirst)
  const [, dropped] = entries[state.capacity]!
  const kept = new Map(entries.slice(0, state.capacity))
  return { ...state, items: kept, rest: Math.max(state.rest, dropped.count + dropped.error) }
}

export const topState: StateDefinition<TopState> = {
  kind: 'topk',
  exactness: 'sketch',
  create: (spec) => create(spec.input as InputType, spec.capacity ?? topCapacity(1)),
  add(state, value) {
    const type = valueType(state.input)
    const text = type.text(type.canonical(value as InputValue))
    const known = state.items.get(text)
    if (known) known.count += 1
    else state.items.set(text, { count: 1, error: state.rest })
    return isTooLarge(state) ? pruned(state) : state
  },
  merge(into, other) {
    if (other.rest > 0)
      for (const [text, item] of into.items) if (!other.items.has(text)) item.error += other.rest
    for (const [text, { count, error }] of other.items) {
      const known = into.items.get(text)
      if (known) {
        known.count += count
        known.error += error
      } else into.items.set(text, { count, error: error + into.rest })
    }
    into.rest += other.rest
    return isTooLarge(into) ? pruned(into) : into
  },
  encode(state) {
    const { items, rest } = pruned(state)
    const writer = writeState().count(rest).count(items.size)
    for (const [text, { count, error }] of [...items].sort(([a], [b]) => compareText(a, b)))
      writer.text(text).count(count).count(error)
    return writer.finish()
  },
  decode(bytes, spec) {
    const reader = readState(bytes)
    const state = topState.create(spec)
    state.rest = reader.count()
    for (let left = reader.count(); left > 0; left -= 1) {
      const text = reader.text()
      state.items.set(text, { count: reader.count(), error: reader.count() })
    }
    reader.end()
    return state
  },
  postgres(spec) {
    const { input, capacity } = topState.create(spec)
    const type = valueType(input)
    return {
      shape: 'keyed',
      key: ({ value, filter }) => valueWhere(type.ordered(value as Sql), filter),
      inner: () => [sql`count(*)`],
      width: 3,
      outer: (source) =>
        outer(source, {
          text: type.textSql(source.key),
          byBytes: raw('text collate "C"'),
          capacity,
          list: (column) => sql`array_agg(${column})`,
        }),
      read: (values) => read(create(input, capacity), values),
    }
  },
  duckdb(spec): EngineState {
    const { input, capacity } = topState.create(spec)
    return {
      shape: 'keyed',
      key: ({ value, filter }) => valueWhere(sql`(${value})`, filter),
      inner: () => [sql`count(*)`],
      width: 3,
      outer: (source) =>
        outer(source, {
          text: duckdbType(input).text(source.key),
          byBytes: raw('text'),
          capacity,
          list: (column) => sql`list(${column})`,
        }),
      read: (values) => read(create(input, capacity), values),
    }
  },
}

interface Dialect {
  readonly text: Sql
  readonly byBytes: Sql
  readonly capacity: number
  readonly list: (column: Sql) => Sql
}

/** The heaviest values of each cell, and how often the first that is not among them occurred. */
function outer({ select, cells, inner }: KeyedSource, { text, byBytes, capacity, list }: Dialect): Sql {
  const cellList = listCells(cells)
  const partition = cells.length === 0 ? raw('') : sql`partition by ${join(cells, ', ')} `
  const most = raw(String(capacity))
  const next = raw(String(capacity + 1))
  return sql`
    with keyed as (
      select ${cellList}${text} as text, ${inner[0]} as occurrences from (${select}) keyed
    ),
    ranked as (
      select ${cellList}text, occurrences, row_number() over (${partition} order by occurrences desc, ${byBytes}) as place
      from keyed
    )
    select ${cellList}${list(sql`case when place <= ${most} then text end`)}, ${list(raw('occurrences'))},
      max(case when place > ${most} then occurrences end)
    from ranked
    where place <= ${next}${groupByCells(cells)}`
}

function read(state: TopState, [texts, counts, rest]: readonly unknown[]): TopState {
  const many = (counts ?? []) as readonly bigint[]
  for (const [i, text] of ((texts ?? []) as readonly (string | null)[]).entries())
    if (text !== null) state.items.set(text, { count: Number(many[i]), error: 0 })
  state.rest = Number(rest ?? 0)
  return state
}

/** The values that were counted most often; of equal counts the least value first. */
export function finishTop(state: TopState, k: number): readonly TopValue[] {
  // what an engine would have dropped is not listed by another that has not
  const { input, items } = pruned(state)
  const type = valueType(input)
  const entries = [...items].map(([text, counted]) => ({ value: type.fromText(text), ...counted }))
  entries.sort((a, b) => b.count - a.count || type.compare(a.value, b.value))
  return entries
    .slice(0, k)
    .map(({ value, count, error }) => Object.freeze({ value: present(input, value), count, error }))
}

function present(input: InputType, value: CanonicalValue): TopValue['value'] {
  if (input === 'timestamptz') return formatInstant(value as bigint)
  return valueType(input).present(value) as TopValue['value']
}
