import type { Instant, TimeRange } from '../time/index.ts'
import { decodeCursor, encodeCursor, restOf } from './cursor.ts'
import { assertWithin } from './limits.ts'
import { createRowMerger } from './merge-rows.ts'
import type { LatestQueryNode, RowsQueryNode } from './nodes.ts'
import { overlapping, type PlannedPart } from './plan-parts.ts'
import { partsOf, type Reading, rangeFor, readPart, settleAll } from './read-parts.ts'
import { columnOf, typeOfRef } from './references.ts'
import { compareNewest, newestKeys } from './row-order.ts'
import type { LatestResult, RowPosition, RowsRequest, RowsResult, RowValue } from './tier.ts'
import { canonicalKey, compareNullable, keyText } from './values.ts'

export interface RowsPage {
  readonly rows: readonly (readonly unknown[])[]
  readonly cursor: string | null
}

/** The range that a page of rows reads: what is left behind the cursor, or the asked one. */
export function rangeOfPage(node: RowsQueryNode): TimeRange | null {
  return node.cursor === null ? node.range : restOf(node, decodeCursor(node, node.cursor))
}

/**
 * Parts that do not overlap are read one after the other in the asked direction, until the page is full: what one gives
 * comes wholly before what the next one gives. Parts that overlap are shares, and their rows are merged.
 */
export async function executeRows(node: RowsQueryNode, reading: Reading): Promise<RowsPage> {
  const limit = node.limit ?? reading.context.limits.defaultRowLimit
  const planning = performance.now()
  const position = node.cursor === null ? null : decodeCursor(node, node.cursor)
  const ascending = overlapping(partsOf(reading, reading.range, null))
  const stretches = node.direction === 'asc' ? ascending : [...ascending].reverse()
  reading.stages.plan += performance.now() - planning
  const started = performance.now()
  const pages: Stretch['rows'][] = []
  let left = limit
  let after = position?.after ?? null
  let end: RowPosition | null = null
  for (const [i, parts] of stretches.entries()) {
    const found = await readStretch(node, reading, parts, after, left)
    pages.push(found.rows)
    left -= found.rows.length
    end = found.end
    if (end !== null) break
    after = null
    const next = stretches[i + 1]
    if (left > 0 || next === undefined) continue
    end = { keys: [lastInstantBefore(node, next)], seen: 1 }
    break
  }
  reading.stages.read += performance.now() - started
  const range = position === null ? reading.range : position.range
  const rows = pages.length === 1 ? (pages[0] as Stretch['rows']) : pages.flat()
  return { rows, cursor: end && encodeCursor(node, { range, after: end }) }
}

type Stretch = Pick<RowsResult, 'rows' | 'end'>

async function readStretch(
  node: RowsQueryNode,
  reading: Reading,
  parts: readonly PlannedPart[],
  after: RowPosition | null,
  limit: number,
): Promise<Stretch> {
  const { kind, dataset, where, columns, direction } = node
  const read = (
    part: PlannedPart,
    of: Pick<RowsRequest, 'after' | 'limit' | 'withKeys'>,
  ): Promise<RowsResult> =>
    readPart(
      reading,
      part,
      (tier) =>
        tier.rows(
          { kind, dataset, where, columns, direction, range: rangeFor(reading, part), ...of },
          reading.scan,
        ),
      ({ rows }) => rows.length,
    )
  const [only, second] = parts
  if (only && !second) return read(only, { after, limit, withKeys: false })
  const merger = createRowMerger({ dataset, direction, parts, after, limit })
  for (let wanted = merger.wanted(); wanted.length > 0; wanted = merger.wanted()) {
    const pages = await settleAll(
      wanted.map(
        ({ part, request }) =>
          () =>
            read(part, request),
      ),
    )
    for (const [i, page] of pages.entries()) wanted[i]?.take(page)
  }
  return merger.result()
}

/** The last instant that lies before some parts in the direction of reading. */
function lastInstantBefore({ direction }: RowsQueryNode, parts: readonly PlannedPart[]): Instant {
  const ranges = parts.map(({ range }) => range)
  return direction === 'asc'
    ? ranges.reduce((least, { from }) => (from < least ? from : least), (ranges[0] as TimeRange).from) - 1n
    : ranges.reduce((most, { to }) => (to > most ? to : most), (ranges[0] as TimeRange).to)
}

/**
 * All parts are read at once. Of parts that overlap the newest row of a series wins; of others that of the newer part.
 * Ordered by the series.
 */
export async function executeLatest(
  node: LatestQueryNode,
  reading: Reading,
): Promise<readonly (readonly unknown[])[]> {
  const { limits } = reading.context
  const columns = [...node.columns, ...node.by.filter((name) => !node.columns.includes(name))]
  const series = node.by.map((name) => ({
    at: columns.indexOf(name),
    type: typeOfRef(node.dataset, { column: name, path: [] }),
    scale: columnOf(node.dataset, name)?.scale ?? null,
  }))
  const seriesOf = (row: readonly RowValue[]): string =>
    series.map(({ at, type, scale }) => keyText(canonicalKey(type, row[at] ?? null, scale))).join('')
  const planning = performance.now()
  const stretches = overlapping(partsOf(reading, reading.range, null))
  reading.stages.plan += performance.now() - planning
  const started = performance.now()
  const read = (part: PlannedPart, withKeys: boolean): Promise<LatestResult> => {
    const request = { ...node, columns, range: rangeFor(reading, part), limit: null, withKeys }
    return readPart(
      reading,
      part,
      (tier) => tier.latest(request, reading.scan),
      ({ rows }) => rows.length,
    )
  }
  const results = await settleAll(
    stretches.map((parts) => () => settleAll(parts.map((part) => () => read(part, parts.length > 1)))),
  )
  const merging = performance.now()
  reading.stages.read += merging - started
  const newest = new Map<string, readonly RowValue[]>()
  const isNewer = compareNewest(newestKeys(node.dataset, node.by))
  for (const shares of results.reverse()) {
    const best = new Map<string, { readonly row: readonly RowValue[]; readonly keys: readonly RowValue[] }>()
    for (const { rows, keys } of shares)
      for (const [i, row] of rows.entries()) {
        const id = seriesOf(row)
        if (newest.has(id)) continue
        const known = best.get(id)
        const found = { row, keys: keys?.[i] ?? [] }
        if (!known || isNewer(found.keys, known.keys) > 0) best.set(id, found)
      }
    for (const [id, { row }] of best) newest.set(id, row)
  }
  assertWithin(
    'the number of series',
    newest.size,
    limits.maxCells,
    'ask for a narrower filter or a shorter range, or raise limits.maxCells',
  )
  const rows = [...newest.values()].sort((a, b) => {
    for (const { at, type } of series) {
      const order = compareNullable(type, a[at] ?? null, b[at] ?? null, false)
      if (order !== 0) return order
    }
    return 0
  })
  if (node.limit !== null && rows.length > node.limit) rows.length = node.limit
  assertWithin(
    'the number of rows',
    rows.length,
    limits.maxRows,
    'ask for fewer with limit, or raise limits.maxRows',
  )
  reading.stages.merge += performance.now() - merging
  return columns.length === node.columns.length ? rows : rows.map((row) => row.slice(0, node.columns.length))
}
