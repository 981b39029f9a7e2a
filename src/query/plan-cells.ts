import type { TimeRange } from '../time/index.ts'
import { type PartPlan, type PartSource, type PlannedPart, planParts, rowsPerPiece } from './plan-parts.ts'
import type { Coverage } from './tier.ts'

/** A source of cells, which are whole or nothing: a part may not begin or end inside of one. */
export interface CellSource {
  /** Index into the sources. */
  readonly source: number
  /** What it holds of a range, whole cells only: ascending, not overlapping. */
  readonly within: (range: TimeRange) => readonly Coverage[]
  /** Rather than rows, whatever it costs: the aggregate that is asked by its name, or one like it. */
  readonly isPreferred: boolean
  /** Those that come first of all: what else there is holds only a part of their rows, and may cost nothing. Absent: none. */
  readonly own?: (range: TimeRange) => readonly Coverage[]
}

/**
 * Parts from cells where they cost less than what `sources` (rows, and copies of them) cost there, and from these elsewhere. A stretch
 * of cells is taken as it is or not at all, so that no border of another source cuts a cell. First come those that nobody else knows
 * whole: finer cells of another aggregate would cut them, and leave out what they lack. Then the cells that cost least for
 * their time, which are the coarsest; others in what they leave: the hours of today beside the days before.
 */
export function planWithCells(
  range: TimeRange,
  sources: readonly PartSource[],
  cells: readonly CellSource[],
): PartPlan {
  for (const from of cells) {
    const own = from.own?.(range) ?? []
    if (own.length > 0)
      return around(range, from, own, 'nobody else knows it whole', (gap) => planByCost(gap, sources, cells))
  }
  return planByCost(range, sources, cells)
}

function planByCost(
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
  return around(range, from, stretches, 'cells cost less than what else holds it', (gap) =>
    planByCost(gap, sources, others),
  )
}

/** Stretches of one source, and what is between them as `fill` has it. */
function around(
  range: TimeRange,
  { source }: CellSource,
  stretches: readonly Coverage[],
  why: string,
  fill: (gap: TimeRange) => PartPlan,
): PartPlan {
  const parts: PlannedPart[] = []
  const unanswered: PartPlan['unanswered'][number][] = []
  let at = range.from
  const fillTo = (to: TimeRange['to']): void => {
    if (at >= to) return
    const plan = fill({ from: at, to })
    parts.push(...plan.parts)
    unanswered.push(...plan.unanswered)
  }
  for (const { range: covered, holds, estimatedRows, pieces } of stretches) {
    fillTo(covered.from)
    parts.push({ source, range: covered, holds, estimatedRows, pieces, why })
    at = covered.to
  }
  fillTo(range.to)
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
