/** Milliseconds since the epoch, half-open. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** A stretch of time laid over pixels. */
export interface TimeAxis {
  readonly span: Span
  readonly width: number
  /** Pixels from the left edge; outside of the span beyond the edges. */
  x(at: number): number
  at(x: number): number
}

export interface Tick {
  readonly at: number
  readonly label: string
}

const minute = 60_000
const hour = 60 * minute
const day = 24 * hour

type Step = { readonly unit: 'ms' | 'day' | 'month'; readonly size: number; readonly about: number }

const steps: readonly Step[] = [
  ...[minute, 5 * minute, 15 * minute, 30 * minute, hour, 3 * hour, 6 * hour, 12 * hour].map(
    (ms): Step => ({ unit: 'ms', size: ms, about: ms }),
  ),
  ...[1, 2, 7, 14].map((days): Step => ({ unit: 'day', size: days, about: days * day })),
  ...[1, 3, 6, 12, 24, 60, 120, 600, 1200].map(
    (months): Step => ({ unit: 'month', size: months, about: months * 30.44 * day }),
  ),
]

export function createAxis(span: Span, width: number): TimeAxis {
  const perMs = width / Math.max(1, span.to - span.from)
  return {
    span,
    width,
    x: (at) => (at - span.from) * perMs,
    at: (x) => span.from + x / perMs,
  }
}

/** Borders of the reader's calendar, so many that their labels have room. */
export function axisTicks({ span, width }: TimeAxis, zone: string, roomPerLabel = 88): readonly Tick[] {
  const most = Math.max(1, Math.floor(width / roomPerLabel))
  const length = span.to - span.from
  const step = steps.find(({ about }) => length / about <= most) ?? (steps.at(-1) as Step)
  const clock = zonedClock(zone)
  return ticksOf(span, step, clock)
    .filter((at) => at >= span.from && at <= span.to)
    .map((at) => ({ at, label: labelOf(clock.toLocal(at), step) }))
}

function ticksOf(span: Span, step: Step, clock: ZonedClock): number[] {
  const found: number[] = []
  const from = clock.toLocal(span.from)
  const to = clock.toLocal(span.to)
  if (step.unit === 'month') {
    const date = new Date(from)
    const first = date.getUTCFullYear() * 12 + date.getUTCMonth()
    for (let month = first - (((first % step.size) + step.size) % step.size); ; month += step.size) {
      const local = startOfMonth(month)
      if (local > to) break
      found.push(clock.fromLocal(local))
    }
    return found
  }
  const size = step.unit === 'day' ? step.size * day : step.size
  // weeks begin on Mondays: 1970-01-05 was one
  const origin = step.unit === 'day' && step.size % 7 === 0 ? 4 * day : 0
  for (let local = Math.floor((from - origin) / size) * size + origin; local <= to; local += size)
    found.push(clock.fromLocal(local))
  return found
}

function startOfMonth(month: number): number {
  const date = new Date(0)
  // Date.UTC takes years below 100 for those of the last century
  date.setUTCFullYear(Math.floor(month / 12), ((month % 12) + 12) % 12, 1)
  return date.getTime()
}

function labelOf(local: number, { unit, about }: Step): string {
  const text = new Date(local).toISOString()
  if (unit === 'month') return about >= 360 * day ? text.slice(0, 4) : text.slice(0, 7)
  if (unit === 'day' || local % day === 0) return text.slice(0, 10)
  return text.slice(11, 16)
}

interface ZonedClock {
  /** The wall clock of the zone, as if it were UTC. */
  toLocal(at: number): number
  fromLocal(local: number): number
}

const clocks = new Map<string, ZonedClock>()

function zonedClock(zone: string): ZonedClock {
  const known = clocks.get(zone)
  if (known) return known
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  const toLocal = (at: number): number => {
    const parts = Object.fromEntries(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]))
    const { year, month, day: date, hour: hours, minute: minutes, second } = parts as Record<string, number>
    return Date.UTC(year!, month! - 1, date!, hours!, minutes!, second!)
  }
  const clock: ZonedClock = {
    toLocal,
    fromLocal: (local) => {
      const guess = local - (toLocal(local) - local)
      // where the offset changes between the guess and the instant itself
      return guess + (local - toLocal(guess))
    },
  }
  clocks.set(zone, clock)
  return clock
}

/** Half as long, or twice, around a point that stays where it is; never beyond `whole`, nor shorter than a minute. */
export function zoomed(view: Span, whole: Span, factor: number, around: number): Span {
  const length = Math.min(whole.to - whole.from, Math.max(minute, (view.to - view.from) * factor))
  const share = (around - view.from) / Math.max(1, view.to - view.from)
  return within({ from: around - length * share, to: around + length * (1 - share) }, whole)
}

/** Moved as little as is needed to show `part`. */
export function showing(view: Span, whole: Span, part: Span): Span {
  if (part.from >= view.from && part.to <= view.to) return view
  const length = Math.max(view.to - view.from, part.to - part.from)
  if (part.from < view.from) return within({ from: part.from, to: part.from + length }, whole)
  return within({ from: part.to - length, to: part.to }, whole)
}

function within({ from, to }: Span, whole: Span): Span {
  if (to - from >= whole.to - whole.from) return whole
  if (from < whole.from) return { from: whole.from, to: whole.from + (to - from) }
  if (to > whole.to) return { from: whole.to - (to - from), to: whole.to }
  return { from, to }
}
