import type { TimeRange } from '../time/index.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { assertWithin } from './limits.ts'
import type { LatestQueryNode, RowsQueryNode } from './nodes.ts'
import type { PlannedPart } from './plan-parts.ts'
import { partsOf, type Reading, rangeFor, readPart } from './read-parts.ts'
import { columnOf, typeOfRef } from './references.ts'
import { canonicalKey, compareNullable, keyText } from './values.ts'

export interface RowsPage {
  readonly rows: readonly (readonly unknown[])[]
  readonly cursor: string | null
}

/** The range that a page of rows reads: what the cursor says is left, or the asked one. */
export function rangeOfPage(node: RowsQueryNode): TimeRange | null {
  return node.cursor === null ? node.range : decodeCursor(node, node.cursor).rest
}

/**
 * Parts do not overlap in time, so the page is filled part by part in the asked direction: what one part gives comes
 * wholly before what the next one gives.
 */
export async function executeRows(node: RowsQueryNode, reading: Reading): Promise<RowsPage> {
  const limit = node.limit ?? reading.context.limits.defaultRowLimit
  const planning = performance.now()
  const ascending = partsOf(reading, reading.range, () => null)
  const parts = node.direction === 'asc' ? ascending : [...ascending].reverse()
  reading.stages.plan += performance.now() - planning
  const started = performance.now()
  const rows: (readonly unknown[])[] = []
  let inner = node.cursor === null ? null : decodeCursor(node, node.cursor).inner
  let cursor: string | null = null
  for (const [i, part] of parts.entries()) {
    const range = rangeFor(reading, part)
    const request = { ...node, range, cursor: inner, limit: limit - rows.length }
    const result = await readPart(
      reading,
      part,
      (tier) => tier.rows(request, reading.scan),
      (page) => ({ rows: page.rowsRead, bytes: null, cells: page.rows.length }),
    )
    inner = null
    rows.push(...result.rows)
    if (result.cursor !== null) {
      cursor = encodeCursor(node, { rest: restFrom(node, reading, part), inner: result.cursor })
      break
    }
    const next = parts[i + 1]
    if (rows.length >= limit && next) {
      cursor = encodeCursor(node, { rest: restFrom(node, reading, next), inner: null })
      break
    }
  }
  reading.stages.read += performance.now() - started
  return { rows, cursor }
}

/** The range from a part on, in the direction of reading. */
function restFrom(node: RowsQueryNode, reading: Reading, part: PlannedPart): TimeRange | null {
  if (reading.range === null) return null
  return node.direction === 'asc'
    ? { from: part.range.from, to: reading.range.to }
    : { from: reading.range.from, to: part.range.to }
}

/** The newest part is asked first; an older one only adds series that no newer one has. Ordered by the series. */
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
  const planning = performance.now()
  const parts = partsOf(reading, reading.range, () => null)
  reading.stages.plan += performance.now() - planning
  const started = performance.now()
  const newest = new Map<string, readonly unknown[]>()
  for (const part of [...parts].reverse()) {
    const request = { ...node, columns, range: rangeFor(reading, part), limit: null }
    const result = await readPart(
      reading,
      part,
      (tier) => tier.latest(request, reading.scan),
      (answer) => ({ rows: answer.rowsRead, bytes: null, cells: answer.rows.length }),
    )
    for (const row of result.rows) {
      const key = series
        .map(({ at, type, scale }) => keyText(canonicalKey(type, row[at] ?? null, scale)))
        .join('')
      if (!newest.has(key)) newest.set(key, row)
    }
    assertWithin(
      'the number of series',
      newest.size,
      limits.maxCells,
      'ask for a narrower filter or a shorter range, or raise limits.maxCells',
    )
  }
  const merging = performance.now()
  reading.stages.read += merging - started
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
