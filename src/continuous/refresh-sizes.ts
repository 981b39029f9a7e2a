import { cellTableOf } from './cell-table.ts'
import type { AggregateVersion } from './version.ts'

/** Of what was computed together. */
export interface Computed {
  readonly rows: number
  readonly cells: number
  /** As they are stored. */
  readonly bytes: number
}

/**
 * How much of a version is computed at once, so that it takes about `maxBytes` of memory. What cells weigh is not known before they
 * are there: it is learned from those before. Where more come than were expected, the tier says so before it computes sketches
 * (TM_LIMIT), and less is asked for.
 */
export interface RefreshSizes {
  /** Cells that are asked for at once, at most. */
  maxCells(): number
  /** Rows that have about so many cells. */
  maxRows(): number
  /** What part of all cells is asked for next, where `share` of them were so many, or so many rows have all of them. */
  nextShare(known: { readonly share: number; readonly cells: number } | { readonly rows: number }): number
  learn(computed: Computed): void
  /** A statement took too long: less from now on. False: it has been made little enough already. */
  shrink(): boolean
}

/** An object for a cell, its keys and their strings; half of it again for each state. */
const bytesOfCell = 256
/** What one kept as bytes (a sketch) is taken for until some have been seen: the registers of `uniques`. */
const bytesOfSketch = 4096
const maxCells = 1_000_000
/** Cells may turn out to weigh this much less than was expected, and one window later this much more. */
const swing = 8
/** Timeouts after which less is tried. */
const maxShrinks = 3
/** Less than what fits, since neighbours differ. */
const margin = 0.8

export function createRefreshSizes(
  { materialization }: AggregateVersion,
  settings: { readonly maxRows: number; readonly maxBytes: number },
): RefreshSizes {
  const { states } = cellTableOf(materialization)
  const overhead = bytesOfCell + (states.length * bytesOfCell) / 2
  const expected = states.reduce(
    (sum, { columns }) => sum + (columns.some(({ type }) => type === 'bytea') ? bytesOfSketch : 32),
    overhead,
  )
  let weight = expected
  let cellsPerRow: number | null = null
  let shrinks = 0
  const fitting = (): number =>
    Math.max(1, Math.min(maxCells, Math.floor(settings.maxBytes / weight / swing ** shrinks)))
  return {
    maxCells: fitting,
    maxRows() {
      const rows = cellsPerRow === null ? settings.maxRows : (fitting() * margin) / cellsPerRow
      return Math.max(1, Math.floor(Math.min(rows, settings.maxRows / swing ** shrinks)))
    },
    nextShare(known) {
      const [share, cells] =
        'rows' in known ? [1, known.rows * (cellsPerRow ?? 0)] : [known.share, known.cells]
      return Math.min(1, (share * fitting() * margin) / Math.max(1, cells))
    },
    learn({ rows, cells, bytes }) {
      if (cells === 0) return
      const seen = bytes / cells + overhead
      // sketches grow with what goes in: never more than twice as many cells as the last time
      weight = Math.max(seen, weight / 2, expected / swing)
      if (rows > 0) cellsPerRow = cells / rows
    },
    shrink() {
      shrinks += 1
      return shrinks <= maxShrinks
    },
  }
}
