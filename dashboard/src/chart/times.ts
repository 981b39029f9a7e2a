/** Ranges as they are typed and kept in the address. Pure: the server says what they mean exactly. */

const unitMs: Readonly<Record<string, number>> = {
  millisecond: 1,
  ms: 1,
  second: 1000,
  sec: 1000,
  s: 1000,
  minute: 60_000,
  min: 60_000,
  m: 60_000,
  hour: 3_600_000,
  hr: 3_600_000,
  h: 3_600_000,
  day: 86_400_000,
  d: 86_400_000,
  week: 604_800_000,
  w: 604_800_000,
  month: 2_629_800_000,
  mon: 2_629_800_000,
  mo: 2_629_800_000,
  quarter: 7_889_400_000,
  q: 7_889_400_000,
  year: 31_557_600_000,
  yr: 31_557_600_000,
  y: 31_557_600_000,
}

/** `15m`, `1 hour`, `3 months` in ms, of a calendar about; null: it is no length. */
export function lengthMs(text: string): number | null {
  const match = /^\s*(\d+)\s*([a-z]+)\s*$/i.exec(text)
  if (match === null) return null
  const [, n = '', word = ''] = match
  const unit = word.toLowerCase()
  const each = unitMs[unit] ?? unitMs[unit.replace(/s$/, '')]
  return each === undefined || Number(n) === 0 ? null : Number(n) * each
}

/** Whether every bucket of this length has as many milliseconds: months have not. */
export function isCalendar(text: string): boolean {
  return /^\s*\d+\s*(mo|mon|mons|months?|q|quarters?|y|yrs?|years?)\s*$/i.test(text)
}

const relative = /^\s*(?:now)?\s*(?:([+-])\s*(\d.*?))?\s*$/i

export function isRelative(text: string): boolean {
  return text.trim() !== '' && relative.test(text)
}

/** About when that is, in ms; null: it is no time. */
export function roughMs(text: string, now: number): number | null {
  if (isRelative(text)) {
    const [, sign, length] = relative.exec(text) ?? []
    if (length === undefined) return now
    const ms = lengthMs(length)
    return ms === null ? null : sign === '-' ? now - ms : now + ms
  }
  if (!/^\d{4}-\d\d-\d\d/.test(text.trim())) return null
  const ms = Date.parse(text)
  return Number.isFinite(ms) ? ms : null
}

const local = /^(\d{4})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d(?:\.\d{1,3})?))?)?$/

/** What the clock of a zone shows at an instant, as if it were UTC. */
function clockMs(ms: number, zone: string): number {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(ms)
  const of = (name: string): number => Number(parts.find(({ type }) => type === name)?.value)
  return (
    Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second')) +
    (((ms % 1000) + 1000) % 1000)
  )
}

/**
 * A time as somebody reads it from a clock, as an instant that everybody reads alike; anything else as it is.
 *
 * @example toInstant('2026-01-31 12:00', 'Europe/Berlin') // '2026-01-31T11:00:00Z'
 */
export function toInstant(text: string, zone: string): string {
  const match = local.exec(text.trim())
  if (match === null) return text
  const [, year, month, day, hour = '0', minute = '0', second = '0'] = match.map((one) => one ?? undefined)
  const wanted =
    Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute)) +
    Number(second) * 1000
  // the offset at the guess, then the one at what that leads to: clocks are set between them twice a year
  let ms = wanted - (clockMs(wanted, zone) - wanted)
  ms = wanted - (clockMs(ms, zone) - ms)
  return iso(ms)
}

export interface RangeText {
  /** ISO 8601, `-1 day`, or null: from the beginning. */
  readonly from: string | null
  /** Null: up to now. */
  readonly to: string | null
}

/** About how long it is, for choosing a bucket. */
export function roughLength({ from, to }: RangeText, now: number): number {
  const end = to === null ? now : (roughMs(to, now) ?? now)
  const start = from === null ? null : roughMs(from, now)
  return start === null ? 365 * 86_400_000 : Math.max(1, end - start)
}

/** What is wrong with it, in words; null: nothing. */
export function rangeProblem({ from, to }: RangeText, now: number): string | null {
  const start = from === null ? Number.NEGATIVE_INFINITY : roughMs(from, now)
  if (start === null) return `“${from}” is no time: write 2026-01-31, 2026-01-31T12:00:00Z or -7 days`
  const end = to === null ? now : roughMs(to, now)
  if (end === null) return `“${to}” is no time: write now, 2026-01-31 or 2026-01-31T12:00:00Z`
  return start < end ? null : 'The range ends before it begins'
}

export const presets: readonly { readonly text: string; readonly label: string }[] = [
  { text: '-5 minutes', label: '5 minutes' },
  { text: '-15 minutes', label: '15 minutes' },
  { text: '-1 hour', label: '1 hour' },
  { text: '-3 hours', label: '3 hours' },
  { text: '-12 hours', label: '12 hours' },
  { text: '-1 day', label: '24 hours' },
  { text: '-2 days', label: '2 days' },
  { text: '-7 days', label: '7 days' },
  { text: '-30 days', label: '30 days' },
  { text: '-90 days', label: '90 days' },
  { text: '-6 months', label: '6 months' },
  { text: '-1 year', label: '1 year' },
  { text: '-5 years', label: '5 years' },
]

/** As it stands on the button. */
export function rangeText({ from, to }: RangeText, show: (iso: string) => string): string {
  const one = (text: string): string => {
    if (text.trim() === 'now') return 'now'
    return isRelative(text)
      ? text
          .trim()
          .replace(/^now\s*/, '')
          .replace(/^-\s*/, '−')
      : show(text)
  }
  if (from === null) return to === null ? 'All of it' : `Up to ${one(to)}`
  if (to === null || to.trim() === 'now') {
    const preset = presets.find(({ text }) => text === from.trim())
    if (preset) return `Last ${preset.label}`
    return isRelative(from)
      ? `Last ${from
          .trim()
          .replace(/^now\s*/, '')
          .replace(/^-\s*/, '')}`
      : `Since ${one(from)}`
  }
  const [begin, end] = [one(from), one(to)]
  // of one day the day is said once
  const isSameDay = begin.length > 11 && end.length > 11 && begin.slice(0, 11) === end.slice(0, 11)
  return `${begin} to ${isSameDay ? end.slice(11) : end}`
}

/** A stretch of time by its ends in ms, as the address keeps it. */
export function absolute(from: number, to: number): RangeText {
  return { from: iso(from), to: iso(to) }
}

function iso(ms: number): string {
  return new Date(Math.round(ms)).toISOString().replace('.000Z', 'Z')
}

/** As much earlier or later; what is relative becomes fixed. */
export function moved(range: { readonly from: number; readonly to: number }, share: number): RangeText {
  const by = (range.to - range.from) * share
  return absolute(range.from + by, range.to + by)
}

/** `factor` times as long around the middle. */
export function widened(range: { readonly from: number; readonly to: number }, factor: number): RangeText {
  const middle = (range.from + range.to) / 2
  const half = Math.max(0.5, ((range.to - range.from) * factor) / 2)
  return absolute(middle - half, middle + half)
}

const day = 86_400_000

/**
 * Where to look first: the last day where rows still come; else the end of what there is, so that the first chart is never empty.
 *
 * @param newest, oldest rows, in ms
 */
export function sensibleRange(newest: number | null, oldest: number | null, now: number): RangeText {
  if (newest === null) return { from: '-1 day', to: null }
  const since = oldest ?? newest
  if (now - newest < day / 2) {
    const lived = now - since
    if (lived < 2 * 3_600_000) return { from: '-1 hour', to: null }
    return { from: lived < day / 2 ? '-12 hours' : '-1 day', to: null }
  }
  // the newest row itself is in it
  const span = newest - since
  const end = roundUp(newest + 1, span)
  const length = span > 400 * day ? 365 * day : span
  return absolute(roundDown(Math.max(since, newest - length), span), end)
}

/** To whole minutes, hours or days, by how long the whole is. */
function grain(span: number): number {
  return span > 10 * day ? day : span > 12 * 3_600_000 ? 3_600_000 : span > 600_000 ? 60_000 : 1000
}

function roundUp(ms: number, span: number): number {
  return Math.ceil(ms / grain(span)) * grain(span)
}

function roundDown(ms: number, span: number): number {
  return Math.floor(ms / grain(span)) * grain(span)
}
