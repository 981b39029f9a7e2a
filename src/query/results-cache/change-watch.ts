import type { HypertableDefinition } from '../../schema/index.ts'
import type { TimeRange } from '../../time/index.ts'
import type { ScanContext } from '../tier.ts'

/** Tells what has changed of a dataset since a moment that was looked at before. */
export interface ChangeWatch {
  /**
   * Asks the snapshot, in one statement. Null: nothing can be told, so nothing may be kept of what the snapshot shows, and
   * nothing that is kept may be used in it.
   */
  look(dataset: HypertableDefinition, context: ScanContext): Promise<ChangeView | null>
}

/** What a snapshot knows of changes. Moments are numbered as they were seen; they mean something in one history only. */
export interface ChangeView {
  readonly history: number
  /** The last moment that the snapshot sees all of. */
  readonly moment: number
  /** Whether the snapshot shows what the moment shows; otherwise it lies between this one and the next. */
  readonly isMoment: boolean
  /**
   * Where rows may differ between a moment and the snapshot, whichever came first: ascending, disjoint. Null: that is not
   * known any more.
   */
  changedSince(moment: number): readonly TimeRange[] | null
  /** Where rows go without anybody being told (chunks that retention has dropped): nothing of it may be kept. */
  readonly unwatched: readonly TimeRange[]
}

/** Whether `[from, to)` and one of the ranges, which are ascending and disjoint, have something in common. */
export function touches(ranges: readonly TimeRange[], from: bigint, to: bigint): boolean {
  let low = 0
  let high = ranges.length
  while (low < high) {
    const middle = (low + high) >> 1
    if ((ranges[middle] as TimeRange).to <= from) low = middle + 1
    else high = middle
  }
  const first = ranges[low]
  return first !== undefined && first.from < to
}

/** The same instants in ascending, disjoint ranges that do not touch. */
export function joinRanges(ranges: readonly TimeRange[]): readonly TimeRange[] {
  if (ranges.length < 2) return ranges
  const sorted = [...ranges].sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0))
  const joined: { from: bigint; to: bigint }[] = []
  for (const { from, to } of sorted) {
    const last = joined.at(-1)
    if (!last || from > last.to) joined.push({ from, to })
    else if (to > last.to) last.to = to
  }
  return joined
}
