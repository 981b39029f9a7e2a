import {
  type Clock,
  infinityInstant,
  minusInfinityInstant,
  parsePoint,
  type RangePoint,
  TimeProblem,
  type TimeRange,
} from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'

/** The range that a call names; null when it names neither end. @throws TidemarkError TM_QUERY */
export function chooseRange(
  { from, to }: { readonly from?: RangePoint; readonly to?: RangePoint },
  clock: Clock,
): TimeRange | null {
  if (from === undefined && to === undefined) return null
  const now = clock.now()
  const read = (point: RangePoint | undefined, path: string, open: bigint): bigint => {
    if (point === undefined) return open
    try {
      return parsePoint(point, now, null)
    } catch (error) {
      if (error instanceof TimeProblem) throw new TidemarkError('TM_QUERY', { path, problem: error.problem })
      throw error
    }
  }
  const range = { from: read(from, 'from', minusInfinityInstant), to: read(to, 'to', infinityInstant) }
  if (range.from < range.to) return range
  throw new TidemarkError('TM_QUERY', { path: 'to', problem: 'the range is empty: to is not after from' })
}
