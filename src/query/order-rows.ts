import type { ResultType } from '../aggregate/index.ts'
import type { Instant } from '../time/index.ts'
import type { InnerRow } from './fill.ts'
import type { AggregateQueryNode } from './nodes.ts'
import { type OutputColumn, outputColumns } from './references.ts'
import { compareNullable } from './values.ts'

/** A column that orders rows. */
interface Term {
  readonly i: number
  readonly compare: (a: unknown, b: unknown) => number
}

/** What orders the rows of an answer, first things first. */
export type RowOrder = readonly Term[]

/** As asked, then by bucket and groups, so that an answer has one order only. */
export function rowOrder(node: AggregateQueryNode, columns: readonly OutputColumn[]): RowOrder {
  const asked = node.order.map(({ by, direction }) => ({ by, descending: direction === 'desc' }))
  const rest = columns
    .slice(0, columns.length - node.select.length)
    .filter(({ name }) => !asked.some(({ by }) => by === name))
    .map(({ name }) => ({ by: name, descending: false }))
  return [...asked, ...rest].map(({ by, descending }) => {
    const i = columns.findIndex(({ name }) => name === by)
    const { type } = columns[i] as OutputColumn
    return { i, compare: compareValuesOf(type, descending) }
  })
}

/** The order of the groups of one bucket, where nothing else is asked for. */
export function keyOrder(node: AggregateQueryNode): (a: readonly unknown[], b: readonly unknown[]) => number {
  const first = node.bucket === null ? 0 : 1
  const order = outputColumns(node)
    .slice(first, first + node.by.length)
    .map(({ type }, i): Term => ({ i, compare: compareValuesOf(type, false) }))
  return (a, b) => compareRows(a, b, order)
}

function compareValuesOf(type: ResultType, descending: boolean): Term['compare'] {
  if (type !== 'timestamptz') return (a, b) => compareNullable(type, a ?? null, b ?? null, descending)
  // the bucket is compared most often by far
  return (a, b) => {
    const x = a as Instant | null
    const y = b as Instant | null
    if (x === y) return 0
    if (x === null || y === null) return x === null ? 1 : -1
    return x < y === descending ? 1 : -1
  }
}

/**
 * Puts rows in order, in place. Buckets and groups repeat: each distinct value gets its place among the others once, and rows are
 * sorted by one number each (2,400 rows of 24 hours and 100 hosts: 0.2 ms instead of 0.9). Rows that lie in order, as what is kept
 * of results does, are only looked through.
 */
export function orderRows(rows: InnerRow[], order: RowOrder): void {
  if (isInOrder(rows, order)) return
  const places = rows.length < fewRows ? null : placesOf(rows, order)
  if (places === null) rows.sort((a, b) => compareRows(a, b, order))
  else {
    const before = rows.slice()
    // the place of a row, and where it lies now
    places.sort()
    for (let i = 0; i < places.length; i++)
      rows[i] = before[(places[i] as number) % before.length] as InnerRow
  }
}

/** Below it, sorting costs less than looking at what there is. */
const fewRows = 32

function isInOrder(rows: readonly InnerRow[], order: RowOrder): boolean {
  for (let i = 1; i < rows.length; i++)
    if (compareRows(rows[i - 1] as InnerRow, rows[i] as InnerRow, order) > 0) return false
  return true
}

function compareRows(a: readonly unknown[], b: readonly unknown[], order: RowOrder): number {
  for (const { i, compare } of order) {
    const found = compare(a[i], b[i])
    if (found !== 0) return found
  }
  return 0
}

/** Of each row one number that orders it, with its index behind; null where values do not repeat enough for that. */
function placesOf(rows: readonly InnerRow[], order: RowOrder): Float64Array | null {
  const count = rows.length
  const places = new Float64Array(count)
  let most = 1
  for (const term of order) {
    const ranks = ranksOf(rows, term)
    if (ranks === null) return null
    const distinct = ranks.size
    most *= distinct
    if (most * count > Number.MAX_SAFE_INTEGER) return null
    for (let i = 0; i < count; i++)
      places[i] = (places[i] as number) * distinct + (ranks.get((rows[i] as InnerRow)[term.i]) as number)
  }
  for (let i = 0; i < count; i++) places[i] = (places[i] as number) * count + i
  return places
}

/** The place of each distinct value; null where there are many. Equal ones of different forms share it. */
function ranksOf(rows: readonly InnerRow[], { i, compare }: Term): ReadonlyMap<unknown, number> | null {
  const ranks = new Map<unknown, number>()
  const most = rows.length >> 2
  for (const row of rows) {
    const value = row[i]
    if (ranks.has(value)) continue
    if (ranks.size >= most) return null
    ranks.set(value, 0)
  }
  const values = [...ranks.keys()].sort(compare)
  let rank = 0
  values.forEach((value, at) => {
    if (at > 0 && compare(values[at - 1], value) !== 0) rank += 1
    ranks.set(value, rank)
  })
  return ranks
}
