import type { Span, TimeAxis } from './time-axis.ts'

/** What is drawn of a chunk. */
export interface DrawnChunk extends Span {
  readonly state: string
  readonly isMoving: boolean
  readonly hasError: boolean
  /** In PostgreSQL. */
  readonly bytes: number
  readonly coldBytes: number
  readonly bytesBefore: number | null
}

/** Neighbours that share their pixels are one column. */
export interface ChunkColumn {
  readonly x: number
  readonly width: number
  /** Places in the list of chunks, both included. */
  readonly first: number
  readonly last: number
  /** The most telling one of them: what moves or failed is never hidden by what rests. */
  readonly look: ChunkLook
  /** Whether any of them has late rows. */
  readonly hasLate: boolean
  /** Of the largest of them, so that one large chunk among small ones is seen at every zoom. */
  readonly bytes: number
  readonly coldBytes: number
  readonly bytesBefore: number
}

export type ChunkLook = 'cold' | 'hot' | 'delta' | 'moving' | 'failed'

const rank: Readonly<Record<ChunkLook, number>> = { cold: 0, hot: 1, delta: 2, moving: 3, failed: 4 }

export function lookOf({
  state,
  isMoving,
  hasError,
}: Pick<DrawnChunk, 'state' | 'isMoving' | 'hasError'>): ChunkLook {
  if (isMoving || state === 'freezing') return 'moving'
  if (hasError) return 'failed'
  if (state === 'delta') return 'delta'
  return state === 'cold' ? 'cold' : 'hot'
}

/**
 * Columns of chunks that are ascending and do not overlap. There are never more than `axis.width / least` of them,
 * however many chunks there are.
 */
export function chunkColumns(
  chunks: readonly DrawnChunk[],
  axis: TimeAxis,
  { least = 3, gap = 1 }: { readonly least?: number; readonly gap?: number } = {},
): readonly ChunkColumn[] {
  const columns: ChunkColumn[] = []
  const first = firstAfter(chunks, axis.span.from)
  let open: Mutable<ChunkColumn> | null = null
  let right = Number.NEGATIVE_INFINITY
  for (let i = first; i < chunks.length; i += 1) {
    const chunk = chunks[i]!
    if (chunk.from >= axis.span.to) break
    const from = Math.max(0, axis.x(chunk.from))
    const to = Math.min(axis.width, axis.x(chunk.to))
    if (open && from < open.x + least - 0.5) {
      right = Math.max(right, to)
      widen(open, chunk, i)
    } else {
      if (open) columns.push(closed(open, Math.min(right, from), least, gap))
      right = to
      open = {
        x: from,
        width: 0,
        first: i,
        last: i,
        look: lookOf(chunk),
        hasLate: chunk.state === 'delta',
        bytes: chunk.bytes,
        coldBytes: chunk.coldBytes,
        bytesBefore: chunk.bytesBefore ?? 0,
      }
    }
  }
  if (open) columns.push(closed(open, right, least, gap))
  return columns
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

function widen(column: Mutable<ChunkColumn>, chunk: DrawnChunk, index: number): void {
  column.last = index
  const look = lookOf(chunk)
  if (rank[look] > rank[column.look]) column.look = look
  if (chunk.state === 'delta') column.hasLate = true
  if (chunk.bytes + chunk.coldBytes > column.bytes + column.coldBytes) {
    column.bytes = chunk.bytes
    column.coldBytes = chunk.coldBytes
  }
  column.bytesBefore = Math.max(column.bytesBefore, chunk.bytesBefore ?? 0)
}

function closed(column: Mutable<ChunkColumn>, right: number, least: number, gap: number): ChunkColumn {
  const room = right - column.x
  // a gap only where it leaves something to see
  column.width = room >= least + gap + 1 ? room - gap : Math.max(least - gap, room - gap)
  return column
}

/** The first chunk that ends after `at`; `chunks.length` where there is none. */
export function firstAfter(chunks: readonly Span[], at: number): number {
  let low = 0
  let high = chunks.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (chunks[middle]!.to <= at) low = middle + 1
    else high = middle
  }
  return low
}

/** The chunk at a point of time, or else the nearest one; -1 where there is none at all. */
export function chunkNear(chunks: readonly Span[], at: number): number {
  if (chunks.length === 0) return -1
  const after = firstAfter(chunks, at)
  if (after === chunks.length) return chunks.length - 1
  if (after === 0 || chunks[after]!.from <= at) return after
  return at - chunks[after - 1]!.to < chunks[after]!.from - at ? after - 1 : after
}

/** Paths of SVG, one for each kind of thing: a lane is a handful of elements, however many chunks it has. */
export interface LanePaths {
  readonly looks: Readonly<Record<ChunkLook, string>>
  readonly coldBytes: string
  readonly hotBytes: string
  readonly lateBytes: string
  /** Of partitions whose rows have gone: empty pages, until they are given back. */
  readonly emptyBytes: string
  readonly before: string
}

export interface LaneShape {
  /** Of the bars. */
  readonly height: number
  /** Of the band of states under them. */
  readonly band: number
  readonly gap: number
}

export function lanePaths(columns: readonly ChunkColumn[], shape: LaneShape): LanePaths {
  const looks: Record<ChunkLook, string[]> = { cold: [], hot: [], delta: [], moving: [], failed: [] }
  const parts = {
    coldBytes: [] as string[],
    hotBytes: [] as string[],
    lateBytes: [] as string[],
    emptyBytes: [] as string[],
    before: [] as string[],
  }
  const most = columns.reduce((top, c) => Math.max(top, c.bytes + c.coldBytes, c.bytesBefore), 1)
  const heightOf = (bytes: number): number => (bytes === 0 ? 0 : Math.max(1.5, (bytes / most) * shape.height))
  for (const column of columns) {
    const { x, width, look } = column
    looks[look].push(rect(x, shape.height + shape.gap, width, shape.band))
    const cold = heightOf(column.coldBytes)
    const hot = heightOf(column.bytes)
    if (cold > 0) parts.coldBytes.push(rect(x, shape.height - cold, width, cold))
    const kind = cold === 0 ? 'hotBytes' : column.hasLate ? 'lateBytes' : 'emptyBytes'
    if (hot > 0) parts[kind].push(rect(x, shape.height - cold - hot, width, hot))
    const before = heightOf(column.bytesBefore)
    if (before > cold + hot + 1) parts.before.push(rect(x, shape.height - before, width, before - cold - hot))
  }
  return {
    looks: Object.fromEntries(Object.entries(looks).map(([look, rects]) => [look, rects.join('')])) as Record<
      ChunkLook,
      string
    >,
    coldBytes: parts.coldBytes.join(''),
    hotBytes: parts.hotBytes.join(''),
    lateBytes: parts.lateBytes.join(''),
    emptyBytes: parts.emptyBytes.join(''),
    before: parts.before.join(''),
  }
}

function rect(x: number, y: number, width: number, height: number): string {
  return `M${tenth(x)} ${tenth(y)}h${tenth(width)}v${tenth(height)}h${tenth(-width)}z`
}

function tenth(x: number): number {
  return Math.round(x * 10) / 10
}
