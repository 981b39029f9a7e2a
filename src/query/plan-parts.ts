import type { Instant, TimeRange } from '../time/index.ts'
import type { Coverage } from './tier.ts'

/**
 * Which source answers which part of the range. A pure function of what the sources say about themselves; it never
 * knows which tier is which.
 */
export interface PartSource {
  /** What this source holds: ascending, not overlapping. */
  readonly coverage: readonly Coverage[]
  /** Null when it can answer the request; otherwise why not. */
  readonly cannot: string | null
}

export interface PlannedPart {
  /** Index into the sources. */
  readonly source: number
  readonly range: TimeRange
  /** `share`: other parts may overlap it, each with rows of its own. */
  readonly holds: Coverage['holds']
  readonly estimatedRows: number | null
  readonly pieces: number
  /** For the plan that people see. */
  readonly why: string
}

/** Stretches that have rows, but only in sources that cannot answer the request. */
export interface UnansweredStretch {
  readonly range: TimeRange
  readonly reasons: readonly string[]
}

export interface PartPlan {
  /** Ascending by their beginnings. Those of one source do not overlap, and nothing overlaps one that holds all. */
  readonly parts: readonly PlannedPart[]
  readonly unanswered: readonly UnansweredStretch[]
}

/**
 * Opening a chunk, file or part costs about as much as reading this many rows (planning, locks, index descent; 0.1 ms
 * against 0.2 us a row).
 */
export const rowsPerPiece = 500

/** A stretch of which the number of rows is unknown is taken for this many rows a piece: worse than any estimate. */
const rowsOfUnknownPiece = 10_000_000

interface Candidate {
  readonly source: number
  readonly coverage: Coverage
  readonly share: number
}

function costOf(candidates: readonly Candidate[]): number {
  let cost = 0
  for (const { coverage, share } of candidates) {
    const { estimatedRows, pieces } = coverage
    const rows = estimatedRows ?? rowsOfUnknownPiece * Math.max(1, pieces)
    cost += (rows + rowsPerPiece * pieces) * share
  }
  return cost
}

/**
 * Cuts `range` at every border of a coverage. Each stretch is answered by one source that holds all of it, or by every
 * source that holds a share of it together, whichever is cheapest; a share that cannot answer rules the shares out.
 * Neighbours of one source are joined, shares also over a gap in which nobody has rows: a table whose chunks lie scattered is
 * one part, not one for each of them. Of equal costs the one whose source comes first wins, so the order of the sources
 * is the order of preference. Where no source covers there are no rows, and no part.
 *
 * @example
 * planParts({ from: 0n, to: 10n }, [
 *   { coverage: [{ range: { from: 0n, to: 6n }, holds: 'share', estimatedRows: 600, pieces: 1 }], cannot: null },
 *   { coverage: [{ range: { from: 4n, to: 10n }, holds: 'share', estimatedRows: 4, pieces: 1 }], cannot: null },
 * ]).parts // source 0 for [0, 6), source 1 for [4, 10)
 */
export function planParts(range: TimeRange, sources: readonly PartSource[]): PartPlan {
  const cuts = new Set<Instant>()
  for (const { coverage } of sources)
    for (const { range: covered } of coverage) {
      const clipped = intersect(range, covered)
      if (clipped) cuts.add(clipped.from).add(clipped.to)
    }
  const borders = [...cuts].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
  const parts: PlannedPart[] = []
  const unanswered: UnansweredStretch[] = []
  const next = sources.map(() => 0)
  /** Where in `parts` the last one of each source is. */
  const last = sources.map(() => -1)
  /** Where the stretch began, up to here, that no source covers. */
  let gapFrom: Instant | null = null
  for (let i = 0; i + 1 < borders.length; i++) {
    const stretch = { from: borders[i] as Instant, to: borders[i + 1] as Instant }
    const choices: (readonly Candidate[])[] = []
    const shares: Candidate[] = []
    const reasons: string[] = []
    let canShare = true
    sources.forEach((source, index) => {
      let at = next[index] as number
      while (at < source.coverage.length && (source.coverage[at] as Coverage).range.to <= stretch.from) at++
      next[index] = at
      const coverage = source.coverage[at]
      if (!coverage || coverage.range.from > stretch.from) return
      const candidate = { source: index, coverage, share: shareOf(stretch, coverage.range) }
      if (source.cannot !== null) {
        reasons.push(source.cannot)
        if (coverage.holds === 'share') canShare = false
      } else if (coverage.holds === 'all') choices.push([candidate])
      else {
        // the shares are preferred as the first of them is
        if (shares.length === 0) choices.push(shares)
        shares.push(candidate)
      }
    })
    const able = canShare ? choices : choices.filter((choice) => choice !== shares)
    const first = able[0]
    if (first === undefined) {
      if (reasons.length > 0) {
        pushUnanswered(unanswered, { range: stretch, reasons })
        gapFrom = null
      } else gapFrom ??= stretch.from
      continue
    }
    const since: Instant = gapFrom ?? stretch.from
    gapFrom = null
    const best = able.reduce((a, b) => (costOf(b) < costOf(a) ? b : a), first)
    const why = whyOf(best, able.length)
    for (const candidate of best) {
      const before = parts[last[candidate.source] as number]
      const joined = before && join(before, candidate, stretch, why, since)
      if (joined) parts[last[candidate.source] as number] = joined
      else last[candidate.source] = parts.push(partOf(candidate, stretch, why)) - 1
    }
  }
  return { parts, unanswered }
}

function whyOf(best: readonly Candidate[], able: number): string {
  const shares = best.length > 1 ? `one of ${best.length} that share its rows` : null
  if (able > 1) return `the cheapest of ${able} ways to read it${shares ? `, ${shares}` : ''}`
  return shares ?? 'the only one that covers it'
}

function partOf({ source, coverage, share }: Candidate, range: TimeRange, why: string): PlannedPart {
  const { holds, estimatedRows, pieces } = coverage
  const rows = estimatedRows === null ? null : Math.round(estimatedRows * share)
  return { source, range, holds, estimatedRows: rows, pieces, why }
}

/** Null when the stretch does not go on where the part ends, in the same way; between `since` and it nobody has rows. */
function join(
  part: PlannedPart,
  candidate: Candidate,
  stretch: TimeRange,
  why: string,
  since: Instant,
): PlannedPart | null {
  const { holds } = candidate.coverage
  const goesOn = part.range.to === stretch.from || (holds === 'share' && part.range.to === since)
  if (!goesOn || part.holds !== holds) return null
  const added = partOf(candidate, stretch, why)
  const isAnother = candidate.coverage.range.from === stretch.from
  return {
    ...part,
    range: { from: part.range.from, to: stretch.to },
    estimatedRows:
      part.estimatedRows === null || added.estimatedRows === null
        ? null
        : part.estimatedRows + added.estimatedRows,
    pieces: part.pieces + (isAnother ? added.pieces : 0),
    why: part.why === why ? why : 'the cheapest way to read it',
  }
}

/**
 * Parts that overlap, directly or through others, together; ascending. Rows of one group lie wholly before those of the
 * next.
 */
export function overlapping(parts: readonly PlannedPart[]): readonly (readonly PlannedPart[])[] {
  const groups: PlannedPart[][] = []
  let end: Instant | null = null
  for (const part of parts) {
    if (end !== null && part.range.from < end) groups.at(-1)?.push(part)
    else groups.push([part])
    if (end === null || part.range.to > end) end = part.range.to
  }
  return groups
}

function pushUnanswered(unanswered: UnansweredStretch[], stretch: UnansweredStretch): void {
  const last = unanswered.at(-1)
  if (last && last.range.to === stretch.range.from && last.reasons.join() === stretch.reasons.join())
    unanswered[unanswered.length - 1] = { ...last, range: { from: last.range.from, to: stretch.range.to } }
  else unanswered.push(stretch)
}

/** The part of `whole`'s length that `stretch` is. Only for costs, so a float is exact enough. */
function shareOf(stretch: TimeRange, whole: TimeRange): number {
  return Number(stretch.to - stretch.from) / Number(whole.to - whole.from)
}

/** Null when they have nothing in common. */
export function intersect(a: TimeRange, b: TimeRange): TimeRange | null {
  const from = a.from > b.from ? a.from : b.from
  const to = a.to < b.to ? a.to : b.to
  return from < to ? { from, to } : null
}
