import { states } from '../aggregate/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { intersect, overlapping, type PlannedPart } from './plan-parts.ts'
import { type CellRequest, type Reading, settleAll } from './read-parts.ts'
import type { Tier } from './tier.ts'

/** A part, and what its tier is asked. */
export interface AskedPart {
  readonly part: PlannedPart
  readonly request: CellRequest
}

/**
 * States that depend on the order of rows in time cannot be merged where parts have rows among each other's: a chunk in files whose
 * late rows are in PostgreSQL. There the parts are asked for the readings themselves. How far that reaches the tiers' indexes
 * tell; before and behind it one part has all rows, and gives states.
 *
 * Parts that are one long share are cut where their chunks begin, so that late rows in two of a hundred chunks
 * do not make readings of those between.
 */
export async function inOrderOfTime(
  reading: Reading,
  parts: readonly PlannedPart[],
  request: CellRequest,
): Promise<readonly AskedPart[]> {
  const isOrdered = request.states.some(({ spec }) => states[spec.kind].ordered === true)
  const groups = isOrdered ? overlapping(parts) : []
  if (groups.every((group) => group.length === 1)) return parts.map((part) => ({ part, request }))
  const withReadings: CellRequest = {
    ...request,
    states: request.states.map((state) =>
      states[state.spec.kind].ordered ? { ...state, spec: { ...state.spec, readings: true } } : state,
    ),
  }
  const asked = await settleAll(
    groups.map((group) => async (): Promise<readonly AskedPart[]> => {
      if (group.length === 1) return group.map((part) => ({ part, request }))
      const stretches = await settleAll(
        cut(group, bordersOf(reading, group)).map(
          (stretch) => () => cutToRows(reading, stretch, request, withReadings),
        ),
      )
      return joined(stretches.flat())
    }),
  )
  return asked.flat()
}

/** Where parts and what they are made of begin and end. */
function bordersOf({ coverage }: Reading, group: readonly PlannedPart[]): Instant[] {
  const borders = new Set<Instant>()
  for (const { source, range } of group) {
    borders.add(range.from).add(range.to)
    for (const covered of coverage[source] ?? []) {
      const common = intersect(covered.range, range)
      if (common) borders.add(common.from).add(common.to)
    }
  }
  return [...borders].sort((a, b) => (a < b ? -1 : 1))
}

function cut(group: readonly PlannedPart[], borders: readonly Instant[]): PlannedPart[][] {
  const stretches: PlannedPart[][] = []
  for (let i = 0; i + 1 < borders.length; i++) {
    const range = { from: borders[i] as Instant, to: borders[i + 1] as Instant }
    const there = group.filter((part) => intersect(part.range, range))
    if (there.length > 0) stretches.push(there.map((part) => partIn(part, range)))
  }
  return stretches
}

function partIn(part: PlannedPart, range: TimeRange): PlannedPart {
  const share = Number(range.to - range.from) / Number(part.range.to - part.range.from)
  const { estimatedRows } = part
  return { ...part, range, estimatedRows: estimatedRows === null ? null : Math.round(estimatedRows * share) }
}

/**
 * Outside of what at least two of the parts reach into, one alone has rows. It is asked there, and nobody else, so that no two of
 * these pieces have an instant in common, and neighbours of one source may be joined: nothing of another lies between them.
 */
async function cutToRows(
  { context, dataset, scan }: Reading,
  parts: readonly PlannedPart[],
  request: CellRequest,
  withReadings: CellRequest,
): Promise<AskedPart[]> {
  if (parts.length === 1) return parts.map((part) => ({ part, request }))
  const bounds = await settleAll(
    parts.map(
      ({ source, range }) =>
        () =>
          (context.tiers[source] as Tier).bounds(dataset, range, request.where, scan),
    ),
  )
  const held = parts
    .flatMap((part, i) => (bounds[i] ? [{ part, rows: bounds[i] }] : []))
    .sort((a, b) => (a.rows.from < b.rows.from ? -1 : 1))
  const [oldest, second] = held
  if (!oldest) return []
  if (!second) return [{ part: oldest.part, request }]
  const [newest, next] = held.toSorted((a, b) => (a.rows.to > b.rows.to ? -1 : 1)) as [Held, Held]
  const { from } = second.rows
  // two that lie one behind the other meet where the second begins
  const to = next.rows.to > from ? next.rows.to : from
  const { range } = oldest.part
  const pieceOf = (part: PlannedPart, piece: TimeRange, asked: CellRequest): AskedPart[] => {
    const common = intersect(piece, range)
    return common ? [{ part: partIn(part, common), request: asked }] : []
  }
  return [
    ...pieceOf(oldest.part, { from: range.from, to: from }, request),
    ...held.flatMap(({ part }) => pieceOf(part, { from, to }, withReadings)),
    ...pieceOf(newest.part, { from: to, to: range.to }, request),
  ]
}

interface Held {
  readonly part: PlannedPart
  /** From its oldest to its newest row. */
  readonly rows: TimeRange
}

/** Neighbours of one source that are asked alike, as one. */
function joined(asked: readonly AskedPart[]): AskedPart[] {
  const result: AskedPart[] = []
  const last = new Map<number, number>()
  for (const next of asked) {
    const { source, range } = next.part
    const at = last.get(source)
    const before = at === undefined ? undefined : result[at]
    if (
      before &&
      at !== undefined &&
      before.request === next.request &&
      before.part.range.to === range.from
    ) {
      const rows = [before.part.estimatedRows, next.part.estimatedRows]
      result[at] = {
        request: next.request,
        part: {
          ...before.part,
          range: { from: before.part.range.from, to: range.to },
          estimatedRows: rows.includes(null) ? null : (rows[0] as number) + (rows[1] as number),
        },
      }
    } else last.set(source, result.push(next) - 1)
  }
  return result
}
