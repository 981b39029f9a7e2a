import {
  type ColumnRef,
  type EventTable,
  type EventText,
  everything,
  type FilterNode,
  readEventQuestion,
  showRange,
} from '../query/index.ts'
import {
  assertBucketSpec,
  type BucketSpec,
  bucketBorders,
  type Instant,
  type Interval,
  parseInterval,
  TimeProblem,
  type TimeRange,
} from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { join, raw, type Sql, sql } from '../util/sql.ts'
import type { EventsPlan, ProductContext } from './contract.ts'

const commonKeys = ['from', 'to', 'zone', 'where', 'user', 'anonymous', 'event', 'session', 'page'] as const

/** What is wrong in a question, and where. */
export function wrong(path: string, problem: string): never {
  throw new TidemarkError('TM_QUERY', { path, problem })
}

/** A question about events whose common parts are read: who, what, when. */
export class Question {
  readonly fields: Readonly<Record<string, unknown>>
  readonly now: Instant
  readonly range: TimeRange
  readonly where: FilterNode | null
  readonly #context: ProductContext
  readonly #asked: ReturnType<typeof readEventQuestion>

  /** @param own Parts of this kind of question beside the common ones. */
  constructor(input: unknown, own: readonly string[], context: ProductContext) {
    const asked = readEventQuestion(input, [...commonKeys, ...own], context)
    this.fields = asked.fields
    this.now = asked.now
    this.range = asked.range()
    this.where = asked.where(asked.fields['where'], 'where')
    this.#asked = asked
    this.#context = context
  }

  /** Who: the user, or the anonymous one where it is null. */
  get user(): EventText {
    const user = this.column('user')
    const anonymous = this.columnOrNull('anonymous')
    return { name: 'u', refs: anonymous ? [user, anonymous] : [user] }
  }

  /** That an event is somebody's, and matches `where` and one of the conditions. */
  ofSomebody(...conditions: readonly FilterNode[]): FilterNode {
    const { refs } = this.user
    const known: FilterNode = {
      kind: 'or',
      filters: refs.map(isThere),
    }
    const filters: FilterNode[] = [known]
    if (this.where) filters.push(this.where)
    if (conditions.length > 0) filters.push({ kind: 'or', filters: conditions })
    return { kind: 'and', filters }
  }

  /** The column of a role, as the question or the declaration says. */
  column(role: 'user' | 'event' | 'session' | 'page' | 'anonymous'): ColumnRef {
    return (
      this.columnOrNull(role) ??
      wrong(
        role,
        `is missing; name the column, or declare it: events: { user, event, … } of ${this.#context.dataset.name}`,
      )
    )
  }

  columnOrNull(role: 'user' | 'event' | 'session' | 'page' | 'anonymous'): ColumnRef | null {
    const asked = this.fields[role]
    if (asked != null) return this.#asked.name(asked, role)
    const declared = this.#context.dataset.events?.[role]
    return declared == null ? null : { column: declared, path: [] }
  }

  /** A column of values that are names, null when the question has none. */
  name(path: string): ColumnRef | null {
    return this.fields[path] == null ? null : this.#asked.name(this.fields[path], path)
  }

  /** `'signup'`, `{ event: 'signup', where: { plan: 'free' } }`; null: every event. */
  match(input: unknown, path: string): FilterNode | null {
    if (input == null) return null
    if (typeof input === 'string') return this.#named(input, path)
    if (typeof input !== 'object' || Array.isArray(input))
      return wrong(path, 'must be the name of an event, or { event, where }')
    const { event, where, ...others } = input as Readonly<Record<string, unknown>>
    for (const name of Object.keys(others))
      wrong(`${path}.${name}`, `there is no "${name}"; event and where are known`)
    const filters: FilterNode[] = []
    if (event != null) {
      if (typeof event !== 'string') return wrong(`${path}.event`, 'must be the name of an event')
      filters.push(this.#named(event, `${path}.event`))
    }
    const filter = this.#asked.where(where, `${path}.where`)
    if (filter) filters.push(filter)
    return filters.length === 0 ? null : { kind: 'and', filters }
  }

  #named(name: string, path: string): FilterNode {
    const { column, path: inner } = this.column('event')
    const key = [column, ...inner]
      .map((part) => part.replaceAll('\\', '\\\\').replaceAll('.', '\\.'))
      .join('.')
    return this.#asked.where({ [key]: name }, path) as FilterNode
  }

  /** A length that is the same everywhere, in microseconds. */
  span(path: string, fallback: string | null): bigint {
    const interval = readInterval(this.fields[path] ?? fallback, path)
    if (interval.kind !== 'fixed')
      return wrong(path, `'${interval.text}' is a calendar length; use a fixed one, such as '7 days'`)
    return interval.micros
  }

  /** Days, weeks, months in the zone of the question. */
  bucket(path: string, fallback: string | null): BucketSpec {
    const spec = { every: readInterval(this.fields[path] ?? fallback, path), zone: this.zone }
    try {
      assertBucketSpec(spec)
    } catch (error) {
      if (error instanceof TimeProblem) return wrong(path, error.problem)
      throw error
    }
    return spec
  }

  get zone(): string | null {
    return (this.fields['zone'] as string | null | undefined) ?? null
  }

  /** Starts of the buckets of the range, and the end of the last one. */
  borders(spec: BucketSpec): Instant[] {
    return bucketBorders(spec, this.range, { max: Math.min(maxPeriods, this.#context.limits.maxBuckets) })
  }

  whole(path: string, fallback: number, least: number, most: number): number {
    const value = this.fields[path] ?? fallback
    if (typeof value !== 'number' || !Number.isInteger(value))
      return wrong(path, `must be a whole number from ${least} to ${most}`)
    if (value < least) return wrong(path, `is ${value}; it must be a whole number from ${least} to ${most}`)
    if (value > most) throw overLimit(path, value, most)
    return value
  }

  choice<const T extends string>(path: string, known: readonly [T, ...T[]]): T {
    const value = this.fields[path] ?? known[0]
    return known.find((one) => one === value) ?? wrong(path, `must be ${known.join(' or ')}`)
  }

  /** Brings the events together and asks for the answer's rows. */
  async answer<Row>(
    request: {
      readonly range: TimeRange
      readonly where: FilterNode
      readonly flags?: readonly FilterNode[]
      readonly texts?: readonly EventText[]
    },
    use: (events: EventTable) => Promise<readonly Row[]>,
  ): Promise<{ readonly rows: readonly Row[] } & Omit<EventsPlan, 'elapsedMs'>> {
    const { dataset, store, scan, limits } = this.#context
    const { range, where, flags = [], texts = [] } = request
    const asked = { dataset, range, where, flags, texts: [this.user, ...texts] }
    return store.lend(asked, scan, async (events) => {
      const rows = await use(events)
      if (rows.length > limits.maxRows) throw overLimit('the number of rows', rows.length, limits.maxRows)
      return { rows, ...this.ranges(range), parts: events.parts }
    })
  }

  /** What the plan says of time. */
  ranges(read: TimeRange): Pick<EventsPlan, 'range' | 'read'> {
    return { range: showRange(this.range), read: showRange(read) }
  }

  /** A point in time of its own; null when it is not given. */
  since(path: string): Instant {
    const given = this.fields[path]
    if (given == null) return everything.from
    const asked = readEventQuestion(
      { from: given, to: this.range.to, zone: this.zone ?? undefined },
      ['from', 'to', 'zone'],
      this.#context,
    )
    try {
      return asked.range().from
    } catch (error) {
      if (isTidemarkError(error) && error.code === 'TM_QUERY')
        wrong(path, (error as TidemarkError<'TM_QUERY'>).params.problem)
      throw error
    }
  }
}

/** Periods or buckets that one question may have; each is a row or a column of the answer. */
const maxPeriods = 10_000

export function overLimit(what: string, value: number, limit: number): TidemarkError<'TM_LIMIT'> {
  return new TidemarkError('TM_LIMIT', {
    what,
    value: String(value),
    limit: String(limit),
    todo: 'ask for less: a shorter range, longer periods, fewer segments',
  })
}

export function readInterval(input: unknown, path: string): Interval {
  if (typeof input !== 'string') return wrong(path, "must be a length such as '7 days'")
  try {
    return parseInterval(input)
  } catch (error) {
    if (error instanceof TimeProblem) return wrong(path, error.problem)
    throw error
  }
}

/** A table expression `(i integer, s bigint)`: the places and starts of periods. */
export function periodsSql(starts: readonly Instant[]): Sql {
  const values = starts.map((start, i) => raw(`(${i}, ${micros(start)})`))
  return sql`(select i::integer as i, s::bigint as s from (values ${join(values, ', ')}) v(i, s))`
}

/** A constant of 64 bits. */
export function micros(value: bigint): string {
  return `(${value})::bigint`
}

export function share(part: number, whole: number): number | null {
  return whole === 0 ? null : part / whole
}

/** Microseconds as seconds; null stays null. */
export function seconds(value: unknown): number | null {
  return value === null || value === undefined ? null : Number(value) / 1e6
}

export function allOf(...filters: readonly (FilterNode | null)[]): FilterNode {
  return { kind: 'and', filters: filters.filter((filter) => filter !== null) }
}

export function isThere(ref: ColumnRef): FilterNode {
  return { kind: 'not', filter: { kind: 'isNull', ref } }
}
