/** Instants in a reader's zone. Everything here is pure. */

export type Precision = 'day' | 'minute' | 'second' | 'milli'

const formats = new Map<string, Intl.DateTimeFormat>()

function formatOf(zone: string): Intl.DateTimeFormat {
  let format = formats.get(zone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-CA', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
      fractionalSecondDigits: 3,
    })
    formats.set(zone, format)
  }
  return format
}

/**
 * ISO 8601 without the T, in a zone: it sorts, and means the same everywhere.
 *
 * @example formatInstant('2026-03-01T12:00:00Z', 'Europe/Berlin') // '2026-03-01 13:00'
 */
export function formatInstant(
  instant: string | number,
  zone: string,
  { precision = 'minute' }: { readonly precision?: Precision } = {},
): string {
  const ms = typeof instant === 'number' ? instant : Date.parse(instant)
  if (!Number.isFinite(ms)) return String(instant)
  const parts: Record<string, string> = {}
  for (const { type, value } of formatOf(zone).formatToParts(ms)) parts[type] = value
  const day = `${parts['year']}-${parts['month']}-${parts['day']}`
  if (precision === 'day') return day
  const minute = `${day} ${parts['hour']}:${parts['minute']}`
  if (precision === 'minute') return minute
  return `${minute}:${parts['second']}${precision === 'milli' ? `.${parts['fractionalSecond']}` : ''}`
}

const ages = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
] as const

/** @example formatAgo('2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:03:00Z')) // '3 min ago' */
export function formatAgo(instant: string | number, now: number): string {
  const ms = typeof instant === 'number' ? instant : Date.parse(instant)
  if (!Number.isFinite(ms)) return String(instant)
  const apart = Math.abs(now - ms)
  const [unit, size] = ages.find(([, each]) => apart >= each) ?? ['s', 1000]
  const n = Math.floor(apart / size)
  if (n === 0) return 'now'
  return now >= ms ? `${n}\u00a0${unit} ago` : `in ${n}\u00a0${unit}`
}

const durations: Readonly<Record<string, number>> = {
  ms: 1,
  millisecond: 1,
  s: 1000,
  sec: 1000,
  second: 1000,
  min: 60_000,
  minute: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  w: 604_800_000,
  week: 604_800_000,
}

/** `7 days`, `90 min`, `1 hour` in milliseconds; null for what is none, and for months and years, whose length is not fixed. */
export function parseDuration(text: string): number | null {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*$/i.exec(text)
  if (match === null) return null
  const [, n = '', word = ''] = match
  const unit = word.toLowerCase()
  const each = durations[unit] ?? durations[unit.replace(/s$/, '')]
  return each === undefined ? null : Number(n) * each
}
