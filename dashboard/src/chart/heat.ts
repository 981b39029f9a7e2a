import { groupText, type TableOfAnswer } from './series.ts'

/** A histogram in each bucket: time to the right, value upwards, how many as colour. Pure. */

export interface HeatColumn {
  readonly x: number
  /** From below the first border to above the last one: one more than there are borders. */
  readonly counts: readonly number[]
}

export interface Heat {
  readonly borders: readonly number[]
  readonly columns: readonly HeatColumn[]
  /** The greatest count of a cell. */
  readonly most: number
  readonly total: number
}

/** Counts of all groups together: a colour can say one number. */
export function toHeat({ rows }: TableOfAnswer, output: string, borders: readonly number[]): Heat {
  const columns = new Map<number, number[]>()
  let total = 0
  for (const row of rows) {
    const counts = row[output]
    const x = typeof row['bucket'] === 'string' ? Date.parse(row['bucket']) : Number.NaN
    if (!Array.isArray(counts) || !Number.isFinite(x)) continue
    const sums = columns.get(x) ?? new Array<number>(borders.length + 1).fill(0)
    counts.forEach((count: unknown, i) => {
      sums[i] = (sums[i] ?? 0) + Number(count)
      total += Number(count)
    })
    columns.set(x, sums)
  }
  const sorted = [...columns].sort((a, b) => a[0] - b[0]).map(([x, counts]) => ({ x, counts }))
  let most = 0
  for (const { counts } of sorted) for (const count of counts) if (count > most) most = count
  return { borders, columns: sorted, most, total }
}

/** What a cell holds, in words. */
export function binText(borders: readonly number[], bin: number, show: (x: number) => string): string {
  const from = borders[bin - 1]
  const to = borders[bin]
  if (from === undefined) return to === undefined ? 'all' : `below ${show(to)}`
  return to === undefined ? `${show(from)} and more` : `${show(from)} to ${show(to)}`
}

/** Names of the bins of a histogram, for lines. */
export function binNames(borders: readonly number[]): readonly string[] {
  return Array.from({ length: borders.length + 1 }, (_, i) => binText(borders, i, (x) => groupText(x)))
}

/**
 * Borders that show how values lie: some 20, round, even ones, or ones that grow where most lies far below the greatest.
 *
 * @param spread quantiles of the values: of 0.01, 0.5 and 0.99
 */
export function bordersFor(spread: {
  readonly low: number
  readonly middle: number
  readonly high: number
}): readonly number[] {
  const { low, middle, high } = spread
  const least = Math.max(Math.abs(low), Math.abs(high)) * 1e-10 + 1e-100
  if (![low, middle, high].every(Number.isFinite) || high - low < least) {
    const at = Number.isFinite(low) ? low : 0
    return ascending([at, clean(at + 1)])
  }
  if (low > 0 && high / low > 50 && middle < low + (high - low) / 4) return ascending(growing(low, high))
  const step = niceStep((high - low) / 20)
  const first = Math.floor(low / step)
  const last = Math.min(first + 60, Math.ceil(high / step))
  return ascending(Array.from({ length: last - first + 1 }, (_, i) => clean((first + i) * step)))
}

/** Digits that a double does not have make equal ones. */
function ascending(borders: readonly number[]): readonly number[] {
  return borders.filter((one, i) => i === 0 || one > (borders[i - 1] as number))
}

/** 1, 2, 5, 10, 20, 50, … */
function growing(low: number, high: number): readonly number[] {
  const borders: number[] = []
  const decades = Math.log10(high) - Math.log10(low)
  const each = decades > 5 ? [1] : decades > 2.5 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7]
  const apart = Math.max(1, Math.ceil(decades / 40))
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += apart)
    for (const digit of each) {
      const border = clean(digit * 10 ** power)
      if (border >= low / 2 && border <= high * 2) borders.push(border)
    }
  return borders
}

function niceStep(size: number): number {
  const power = 10 ** Math.floor(Math.log10(size))
  const digit = [1, 2, 2.5, 5, 10].find((one) => one * power >= size * 0.999) ?? 10
  return digit * power
}

/** 0.30000000000000004 is 0.3. */
function clean(x: number): number {
  return Number(x.toPrecision(12))
}
