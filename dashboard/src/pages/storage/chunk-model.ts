import type { StoredChunk, StoredDataset } from 'tidemark/client'
import { parseDuration } from '../../format/index.ts'
import type { DrawnChunk } from './chunk-columns.ts'
import type { Span } from './time-axis.ts'

/** A hypertable with what is drawn of it, chunk for chunk in the same order. */
export interface Lane {
  readonly dataset: StoredDataset
  readonly drawn: readonly DrawnChunk[]
}

export function lanesOf(datasets: readonly StoredDataset[]): readonly Lane[] {
  return datasets
    .filter(({ kind }) => kind === 'hypertable')
    .map((dataset) => ({ dataset, drawn: dataset.chunks.map(drawnOf) }))
}

function drawnOf(chunk: StoredChunk): DrawnChunk {
  return {
    from: Date.parse(chunk.from),
    to: Date.parse(chunk.to),
    state: chunk.state,
    isMoving: chunk.isMoving,
    hasError: chunk.error !== null,
    bytes: chunk.bytes,
    coldBytes: chunk.coldBytes,
    bytesBefore: chunk.bytesBefore,
  }
}

/** From the first chunk of all to the end of the last one, now included; null: there is no chunk. */
export function wholeSpan(lanes: readonly Lane[], now: number): Span | null {
  const edges = lanes.flatMap(({ drawn }) =>
    drawn.length === 0 ? [] : [drawn[0]!.from, drawn[drawn.length - 1]!.to],
  )
  if (edges.length === 0) return null
  return { from: Math.min(now, ...edges), to: Math.max(now, ...edges) }
}

/** Chosen chunks of one table by their places, both included. */
export interface Choice {
  readonly dataset: string
  /** Where it began, and where the keyboard is. */
  readonly anchor: number
  readonly at: number
}

export interface PolicyMark {
  readonly kind: 'freeze' | 'retain'
  readonly at: number
}

/** What lies wholly before is frozen, or dropped. Of lengths that are not fixed (months) nothing is drawn. */
/** Chunks are made ahead, and history may be old: where nearly all of the axis would be empty, it begins with what holds rows. */
export function homeSpan(lanes: readonly Lane[], whole: Span): Span {
  const filled = lanes.flatMap(({ dataset, drawn }) =>
    drawn.filter((_, at) => (dataset.chunks[at]?.rows ?? 0) > 0),
  )
  if (filled.length === 0) return whole
  const from = Math.min(...filled.map((each) => each.from))
  const to = Math.max(...filled.map((each) => each.to))
  const room = (to - from) * 0.05
  return (whole.to - whole.from) / (to - from + 2 * room) < 4
    ? whole
    : { from: Math.max(whole.from, from - room), to: Math.min(whole.to, to + room) }
}

export function policyMarks(
  { freezeAfter, retain }: Pick<StoredDataset, 'freezeAfter' | 'retain'>,
  now: number,
): readonly PolicyMark[] {
  return (
    [
      ['freeze', freezeAfter],
      ['retain', retain],
    ] as const
  ).flatMap(([kind, text]) => {
    const ms = text === null ? null : parseDuration(text)
    return ms === null ? [] : [{ kind, at: now - ms }]
  })
}
