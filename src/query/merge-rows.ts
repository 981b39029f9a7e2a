import type { DatasetDefinition } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import type { PlannedPart } from './plan-parts.ts'
import { compareRowKeys, rowOrder } from './row-order.ts'
import type { RowPosition, RowsRequest, RowsResult, RowValue } from './tier.ts'

export interface RowMerge {
  readonly dataset: DatasetDefinition
  readonly direction: 'asc' | 'desc'
  /** Shares whose rows are told apart by their places in the row order, whichever of them holds which. */
  readonly parts: readonly PlannedPart[]
  readonly after: RowPosition | null
  readonly limit: number
}

export interface WantedPage {
  readonly part: PlannedPart
  readonly request: Pick<RowsRequest, 'after' | 'limit' | 'withKeys'>
  take(page: RowsResult): void
}

/** Merges pages of shares to one page. It does no reading: it says what it needs, until there is enough. */
export interface RowMerger {
  /** Pages to read now, all at once; none: the page is made. */
  wanted(): readonly WantedPage[]
  result(): Pick<RowsResult, 'rows' | 'end'>
}

interface Input {
  readonly part: PlannedPart
  isOpen: boolean
  page: RowsResult | null
  at: number
}

/**
 * A part is opened when the merge comes to where it begins, so the newest rows are given without a look at parts that
 * are older. A page that a share ended early ends the merged one too, so that memory is bounded by what shares allow.
 *
 * Identical rows have one place and are counted over all shares: where the page before ended among them, every share is
 * asked for all of its own, and as many as were shown are left out here. So it does not matter which of them have been
 * moved in between.
 */
export function createRowMerger({ dataset, direction, parts, after, limit }: RowMerge): RowMerger {
  const order = rowOrder(dataset)
  const ascending = compareRowKeys(order)
  const compare: typeof ascending = direction === 'asc' ? ascending : (a, b) => ascending(b, a)
  const isAmong = after !== null && !order.isUnique && after.keys.length === order.keys.length
  const begin: RowPosition | null = isAmong ? { keys: after.keys, seen: 0 } : after
  let left = isAmong ? after.seen : 0
  const inputs = parts.map((part): Input => ({ part, isOpen: false, page: null, at: 0 }))
  const rows: (readonly RowValue[])[] = []
  let position = after
  let isDone = false

  /** Whether rows of a part can lie at the instant or before it, in the direction of reading. */
  function reaches({ range }: PlannedPart, instant: Instant): boolean {
    return direction === 'asc' ? range.from <= instant : range.to > instant
  }

  function start({ range }: PlannedPart): Instant {
    return direction === 'asc' ? range.from : range.to - 1n
  }

  function keysAt({ page, at }: Input): readonly RowValue[] | null {
    return page?.keys?.[at] ?? null
  }

  /** The open input with the next row. */
  function next(): Input | null {
    let best: Input | null = null
    for (const input of inputs) {
      const keys = keysAt(input)
      const known = best && keysAt(best)
      if (keys && (!known || compare(keys, known) < 0)) best = input
    }
    return best
  }

  function isUsedUp({ page, at }: Input): boolean {
    return page !== null && at >= page.rows.length
  }

  function take(input: Input): void {
    const keys = keysAt(input) as readonly RowValue[]
    const row = input.page?.rows[input.at] as readonly RowValue[]
    input.at++
    const isSame =
      position !== null && position.keys.length === keys.length && compare(keys, position.keys) === 0
    if (isSame && left > 0) {
      left--
      return
    }
    left = 0
    rows.push(row)
    position = { keys, seen: isSame && position ? position.seen + 1 : 1 }
  }

  /** Takes rows until a page is missing or there are enough; gives the inputs whose pages are missing. */
  function advance(): readonly Input[] {
    for (;;) {
      const ended = inputs.filter((input) => isUsedUp(input) && input.page?.end)
      if (rows.length >= limit || (ended.length > 0 && rows.length > 0)) return []
      const best = next()
      const closed = inputs.filter(({ isOpen }) => !isOpen)
      const frontier = best
        ? dataset.kind === 'hypertable'
          ? (keysAt(best)?.[0] as Instant)
          : null
        : closed.reduce<Instant | null>((least, { part }) => nearer(least, start(part)), null)
      const missing = [
        ...ended,
        ...closed.filter(({ part }) => ended.length === 0 && frontier !== null && reaches(part, frontier)),
      ]
      if (missing.length > 0) return missing
      if (!best) return []
      take(best)
    }
  }

  function nearer(a: Instant | null, b: Instant): Instant {
    return a === null || (direction === 'asc' ? b < a : b > a) ? b : a
  }

  return {
    wanted() {
      if (isDone) return []
      const missing = advance()
      isDone = missing.length === 0
      return missing.map((input): WantedPage => {
        const isFirst = !input.isOpen
        input.isOpen = true
        return {
          part: input.part,
          request: {
            after: isFirst ? begin : (input.page?.end ?? null),
            limit: limit - rows.length + left,
            withKeys: true,
          },
          take(page) {
            input.page = page
            input.at = 0
          },
        }
      })
    },

    result() {
      const isMore = inputs.some((input) => !input.isOpen || !isUsedUp(input) || input.page?.end)
      return { rows, end: isMore ? position : null }
    },
  }
}
