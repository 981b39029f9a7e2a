import { type AggregateState, type StateDefinition, states } from '../../aggregate/index.ts'
import type { Instant, TimeRange } from '../../time/index.ts'
import type { BucketPlan, Cell, StateRequest } from '../tier.ts'
import { unknownState } from '../tier.ts'
import { keyText } from '../values.ts'
import { type BucketRow, bucketRow } from './bucket-row.ts'

/**
 * A bucket that the range cuts, at its beginning or end. Where a window slides, most of it is what it was: so it is read in pieces
 * that are kept as buckets are, and what is left of it is little.
 */
export interface RaggedEnd extends TimeRange {
  /** Where its bucket begins. */
  readonly bucket: Instant
}

/** What reading such an end took, for the next question about the same bucket. */
export interface SeenEnd {
  readonly cells: number
  readonly rows: number
}

/** Its pieces had more cells than may be: it is not cut again. */
export const tooManyCells: SeenEnd = { cells: Number.POSITIVE_INFINITY, rows: 0 }

type FixedPlan = Extract<BucketPlan, { kind: 'fixed' }>

/** The ends of a row, ascending. */
export function raggedEnds({ range, borders }: BucketRow, { width }: FixedPlan): readonly RaggedEnd[] {
  const first = borders[0] as Instant
  const last = borders.at(-1) as Instant
  const head = { from: range.from, to: first, bucket: first - width }
  // what lies after the bucket of now has no end of its own
  const tail = { from: last, to: range.to, bucket: last }
  return [head, tail].filter(({ from, to }) => from < to && to - from < width)
}

/** How many pieces a bucket is cut into, by the number of its cells: with many each piece has many, too. */
const piecesByCells = [
  { cells: 20, pieces: [60n, 50n, 64n] },
  { cells: 200, pieces: [12n, 10n, 16n] },
] as const

/** Cells of the pieces of an end at most; with more it is read as one. */
export const maxPieceCells = 20_000

/** The pieces that lie wholly in the end; null where they would be of no use. */
export function piecesOf(
  end: RaggedEnd,
  { width, origin }: FixedPlan,
  seen: SeenEnd | null,
  fromRows: number,
  now: Instant,
): { readonly plan: FixedPlan; readonly row: BucketRow } | null {
  if (seen === null || seen.rows < fromRows) return null
  const choice = piecesByCells.find(({ cells }) => seen.cells <= cells)
  const pieces = choice?.pieces.find((count) => width % count === 0n)
  if (pieces === undefined) return null
  const plan: FixedPlan = { kind: 'fixed', width: width / pieces, origin }
  const row = bucketRow(plan, { from: end.from, to: end.to }, now)
  return row && { plan, row }
}

/** Whether states may be put together from pieces: those that hang on the order of rows may not, and topK would lose more. */
export function canCut(requests: readonly StateRequest[]): boolean {
  return requests.every(({ spec }) => spec.kind !== 'topk' && states[spec.kind].ordered !== true)
}

/** One cell for each group, of cells of any part of the bucket. They are left as they are. */
export function mergePieces(
  bucket: Instant,
  parts: readonly (readonly Cell[])[],
  requests: readonly StateRequest[],
): Cell[] {
  const definitions: readonly StateDefinition[] = requests.map(({ spec }) => states[spec.kind])
  const merged = new Map<string, Cell & { readonly states: AggregateState[] }>()
  for (const cells of parts)
    for (const { keys, states: added } of cells) {
      const id = keys.length === 0 ? '' : keys.map(keyText).join('')
      let known = merged.get(id)
      if (known === undefined) {
        known = { bucket, keys, states: requests.map(({ spec }) => states[spec.kind].create(spec)) }
        merged.set(id, known)
      }
      for (let i = 0; i < definitions.length; i++) {
        const into = known.states[i] as AggregateState
        const other = added[i] as AggregateState
        known.states[i] =
          into === unknownState || other === unknownState
            ? unknownState
            : (definitions[i] as StateDefinition).merge(into, other)
      }
    }
  return [...merged.values()]
}
