import { formatInstant, formatUnit } from '../format/index.ts'
import type { SeriesSet } from './series.ts'
import { isShown, type Shown } from './shown.ts'
import type { TooltipLine } from './tooltip.tsx'

/** What is told of a bucket. */

/** Whether it is of the period before. */
export const isBefore = (key: string): boolean => key.startsWith('before:')

/** The colour of a series: that of its period before is the same. */
export function colorAt(set: SeriesSet, key: string): number {
  const own = isBefore(key) ? key.slice('before:'.length) : key
  const names = [...new Set(set.series.map((one) => (isBefore(one.key) ? one.key.slice(7) : one.key)))]
  return Math.max(0, names.indexOf(own)) % 10
}

/** What each series says there, the largest first, as exactly as the answer says it. */
export function linesAt(
  set: SeriesSet,
  shown: Shown,
  at: number,
  unit: string | undefined,
): readonly TooltipLine[] {
  return set.series
    .filter(({ key }) => isShown(shown, isBefore(key) ? key.slice(7) : key))
    .map(({ key, label, values, exact }) => {
      const value = exact(at)
      return {
        key,
        name: isBefore(key) ? `${label}, before` : label,
        size: values[at] ?? null,
        text: exactText(value, unit),
        isBefore: isBefore(key),
      }
    })
    .filter(({ text }) => text !== null)
    .sort(
      (a, b) =>
        Number(a.isBefore) - Number(b.isBefore) ||
        (b.size ?? Number.NEGATIVE_INFINITY) - (a.size ?? Number.NEGATIVE_INFINITY),
    ) as readonly TooltipLine[]
}

/** With every digit; null: there is no row. */
export function exactText(value: unknown, unit: string | undefined): string | null {
  if (value === undefined) return null
  if (value === null) return 'no value'
  if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'string') {
    const plain = formatExact(value)
    if (unit === undefined || unit === '') return plain
    const said = formatUnit(value, unit)
    return unit === 'bytes' || unit === 'ms' || unit === 's' || unit === 'percent'
      ? `${said} (${plain})`
      : said
  }
  return JSON.stringify(value)
}

function formatExact(value: number | bigint | string): string {
  if (typeof value === 'number' && !Number.isInteger(value)) return String(value).replace(/^-/, '−')
  return formatUnit(value, undefined)
}

export function timeOf(ms: number | undefined, bucketMs: number | null, zone: string): string {
  if (ms === undefined) return ''
  const precision =
    bucketMs === null
      ? 'second'
      : bucketMs < 1000
        ? 'milli'
        : bucketMs < 60_000
          ? 'second'
          : bucketMs < 86_400_000
            ? 'minute'
            : 'day'
  return formatInstant(ms, zone, { precision })
}
