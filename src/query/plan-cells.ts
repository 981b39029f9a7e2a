import type { TimeRange } from '../time/index.ts'
import { type PartPlan, type PartSource, type PlannedPart, planParts, rowsPerPiece } from './plan-parts.ts'
import type { Coverage } from './tier.ts'

/** A source of cells, which are whole or nothing: a part may not begin or end inside of one. */
export interface CellSource {
  /** Index into the sources. */
  readonly source: number
  /** What it holds of a range, whole cells only: ascending, not overlapping. */
  readonly within: (range: TimeRange) => readonly Coverage[]
  /** Whatever it costs: what else there is may hold only a part of the rows, and cost nothing. */
  readonly isPreferred: boolean
}

/**
 * Parts from cells where they cost less than what `sources` (rows, and copies of them) cost there, and from these elsewhere. A stretch
 * of cells is taken as it is or not at all, so that no border of another source cuts a cell. The cells that cost least for
 * their time come first, which are the coarsest; others in what they leave: the hours of today beside the days before.
 */
export function planWithCells(
  range: TimeRange,
  sources: readonly PartSource[],
  cells: readonly CellSource[],
): PartPlan {
  let best: { readonly from: CellSource; readonly stretches: readonly Coverage[] } | null = null
  let least = Number.POSITIVE_INFINITY
  for (const from of cells) {
    const stretches = from
      .within(range)
      .filter(
        (coverage) =>
          from.isPreferred || costOfCells(coverage) < costOfPlan(planParts(coverage.range, sources)),
      )
    if (stretches.length === 0) continue
    const cost = stretches.reduce((sum, coverage) => sum + costOfCells(coverage), 0)
    const length = stretches.reduce((sum, { range }) => sum + Number(range.to - range.from), 0)
    if (cost / length >= least) continue
    best = { from, stretches }
    least = cost / length
  }
  if (best === null) return planParts(range, sources)
  const { from, stretches } = best
  const others = cells.filter((one) => one !== from)
  const parts: PlannedPart[] = []
  const unanswered: PartPlan['unanswered'][number][] = []
  const fill = (gap: TimeRange): void => {
    if (gap.from >= gap.to) return
    const plan = planWithCells(gap, sources, others)
    parts.push(...plan.parts)
    unanswered.push(...plan.unanswered)
  }
  let at = range.from
  for (const coverage of stretches) {
    const { range: covered, holds, estimatedRows, pieces } = coverage
    fill({ from: at, to: covered.from })
    const why = 'cells cost less than what else holds it'
    parts.push({ source: from.source, range: covered, holds, estimatedRows, pieces, why })
    at = covered.to
  }
  fill({ from: at, to: range.to })
  return { parts, unanswered }
}

/** Where only cells hold rows, nothing else is cheap enough. */
function costOfPlan({ parts, unanswered }: PartPlan): number {
  if (unanswered.length > 0) return Number.MAX_VALUE
  return parts.reduce(
    (cost, { estimatedRows, pieces }) => cost + (estimatedRows ?? 1e9) + rowsPerPiece * pieces,
    0,
  )
}

function costOfCells({ estimatedRows, pieces }: Coverage): number {
  return (estimatedRows ?? 1e9) + rowsPerPiece * pieces
}
