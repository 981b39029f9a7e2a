import {
  approximateMicros,
  boundMicros,
  type Interval,
  intervalFromMicros,
  microsPerDay,
  parseInterval,
  TimeProblem,
} from '../time/index.ts'
import type { ColumnDefinition, EventColumns, IndexDefinition } from './definition.ts'
import type { Columns, Hypertable, NamesOf, QualifiedNameOf, TimeNames } from './infer.ts'
import { boundedName } from './names.ts'
import { checkKeys, type ProblemList } from './problems.ts'
import { isKnownColumn, readBoolean, readColumnList, readRelation, startProblems } from './relation.ts'
import type { TableOptions } from './table.ts'

export interface HypertableOptions<
  C extends Columns,
  Time extends string,
  Key extends string,
  Tenant extends string = string,
> extends TableOptions<C, Key, Tenant> {
  /** The timestamptz column, NOT NULL and finite, by which the table is cut into chunks. */
  readonly time: Time & TimeNames<NoInfer<C>>
  /**
   * Length of a chunk, fixed or calendar: `'1 day'`, `'1 month'`. Default `'7 days'`. The newest chunk with its indexes
   * should fit into a quarter of memory; short chunks mean many partitions (see `maxChunks`).
   */
  readonly chunk?: string
  /**
   * Sort order of frozen files after the tenant. The columns before the time are what makes a series, and what last
   * points are asked by. Default: the time alone. The time is put at the end when it is not in the list.
   */
  readonly orderBy?: readonly NamesOf<NoInfer<C>>[]
  /** Move chunks that are wholly older than `after` into the lake. Default: never. */
  readonly freeze?: { readonly after: string }
  /** Drop chunks that are wholly older. Default: never. */
  readonly retain?: string
  /**
   * What becomes of a row that is older than `retain`, when its chunk has been dropped. `'refuse'`: TM_EXPIRED, and a dead letter of
   * an import. `'merge'`: the row is not stored, but counts in every continuous aggregate (docs/guide/late-data.md). Default
   * `'refuse'`.
   */
  readonly late?: 'refuse' | 'merge'
  /**
   * Events that are sent twice are written once: a row is passed over when one with the same id (text, uuid or int8) was written
   * through the pipeline (HTTP, `tm.ingest`) within the window, which ends between once and twice `within` later. Each id
   * costs some 100 bytes meanwhile. Default: no ids are kept.
   */
  readonly dedupe?: { readonly by: NamesOf<NoInfer<C>>; readonly within: string }
  /**
   * Which columns mean what in a table of events, for product analytics (docs/guide/product-analytics.md): text, uuid, bool or whole
   * numbers. Where `user` is null, the user is who `anonymous` says. Default: each question names its columns.
   */
  readonly events?: EventOptions<NamesOf<NoInfer<C>>>
  /** Attached partitions at most, 1..2000. Default 200; thousands exhaust PostgreSQL's lock table. */
  readonly maxChunks?: number
  /**
   * Width of a cell of the change log, fixed: what one write marks as changed. Default: about the chunk's length / 24,
   * at least a minute, at most a day. Finer: less to recompute after a late row, more entries.
   */
  readonly changeCell?: string
  /** Whether there is an index on the time when no declared one and no primary key leads with it. Default true. */
  readonly timeIndex?: boolean
}

export interface EventOptions<Name extends string = string> {
  readonly user: Name
  readonly event: Name
  readonly anonymous?: Name
  readonly session?: Name
  readonly page?: Name
}

const hypertableOptions = [
  'columns',
  'time',
  'primaryKey',
  'indexes',
  'timeIndex',
  'tenant',
  'appendOnly',
  'chunk',
  'orderBy',
  'freeze',
  'retain',
  'late',
  'dedupe',
  'events',
  'maxChunks',
  'changeCell',
  'comment',
] as const

/** Defaults of a hypertable's options, as they are written. */
export const hypertableDefaults = Object.freeze({
  chunk: '7 days',
  late: 'refuse',
  maxChunks: 200,
  timeIndex: true,
  appendOnly: false,
} satisfies Partial<HypertableOptions<Columns, string, string>>)

const mostMaxChunks = 2000
const minuteMicros = 60_000_000n
const secondMicros = 1_000_000n

/**
 * Declares a hypertable: a table that is partitioned by time.
 *
 * @example
 * import { hypertable, t } from 'tidemark/schema'
 * const cpu = hypertable('metrics.cpu', {
 *   columns: { time: t.timestamptz(), host: t.text(), usage: t.float8() },
 *   time: 'time', orderBy: ['host', 'time'], chunk: '1 day', freeze: { after: '7 days' }, retain: '1 year',
 * })
 * @throws TidemarkError TM_DECLARATION that lists everything that is wrong, each with its path.
 */
export function hypertable<
  const Name extends string,
  const C extends Columns,
  const Time extends string,
  const Key extends string = never,
  const Tenant extends string = never,
>(
  name: Name,
  options: HypertableOptions<C, Time, Key, Tenant>,
): Hypertable<QualifiedNameOf<Name>, C, Time, Key, Tenant> {
  const problems = startProblems('hypertable', name)
  if (!checkKeys(problems, '', options, hypertableOptions)) problems.assertEmpty('TM_DECLARATION')
  const input = options as unknown as Readonly<Record<string, unknown>>
  const relation = readRelation(problems, name, input)
  const { columns, primaryKey } = relation

  const time = readTime(problems, input['time'], columns)
  if (time !== null) {
    if (primaryKey !== null && !primaryKey.includes(time)) {
      problems.add('.primaryKey', `must hold the time column "${time}": PostgreSQL keeps keys per partition`)
    }
    for (const index of relation.indexes) {
      if (index.unique && !index.columns.some((c) => c.column === time)) {
        problems.add('.indexes', `the unique index "${index.name}" must hold the time column "${time}"`)
      }
    }
  }
  const chunk = readInterval(problems, '.chunk', input['chunk'] ?? hypertableDefaults.chunk)
  const freeze = readFreeze(problems, input['freeze'])
  const retain =
    input['retain'] === undefined || input['retain'] === null
      ? null
      : readInterval(problems, '.retain', input['retain'])
  const changeCell =
    input['changeCell'] === undefined ? null : readInterval(problems, '.changeCell', input['changeCell'])
  if (chunk !== null && boundMicros(chunk).least < minuteMicros) {
    problems.add('.chunk', `'${chunk.text}' is shorter than a minute`)
  }
  if (chunk !== null && retain !== null && approximateMicros(chunk) > approximateMicros(retain)) {
    problems.add(
      '.retain',
      `'${retain.text}' is shorter than a chunk ('${chunk.text}'); only whole chunks are dropped`,
    )
  }
  if (freeze !== null && retain !== null && approximateMicros(freeze.after) >= approximateMicros(retain)) {
    problems.add(
      '.freeze.after',
      `'${freeze.after.text}' is not before retain ('${retain.text}'); nothing would ever be frozen`,
    )
  }
  if (changeCell !== null) {
    if (changeCell.kind !== 'fixed')
      problems.add('.changeCell', `'${changeCell.text}' is a calendar length; use a fixed one`)
    else if (changeCell.micros < secondMicros)
      problems.add('.changeCell', `'${changeCell.text}' is shorter than a second`)
    else if (chunk !== null && changeCell.micros > boundMicros(chunk).least) {
      problems.add('.changeCell', `'${changeCell.text}' is longer than a chunk ('${chunk.text}')`)
    }
  }
  const maxChunks = input['maxChunks'] ?? hypertableDefaults.maxChunks
  if (
    typeof maxChunks !== 'number' ||
    !Number.isInteger(maxChunks) ||
    maxChunks < 1 ||
    maxChunks > mostMaxChunks
  ) {
    problems.add('.maxChunks', `${String(maxChunks)} is not a whole number from 1 to ${mostMaxChunks}`)
  }
  const late = input['late'] ?? hypertableDefaults.late
  if (late !== 'refuse' && late !== 'merge')
    problems.add('.late', `${JSON.stringify(late)} is neither 'refuse' nor 'merge'`)
  const dedupe = readDedupe(problems, input['dedupe'], columns)
  const events = readEvents(problems, input['events'], columns)
  const orderBy = readOrderBy(problems, input['orderBy'], time, columns)
  const wantsTimeIndex = readBoolean(problems, '.timeIndex', input['timeIndex'], hypertableDefaults.timeIndex)
  const indexes = [...relation.indexes]
  if (time !== null && wantsTimeIndex && !leadsWith(time, primaryKey, indexes)) {
    const name = boundedName(`${relation.table}_${time}_idx`)
    if (indexes.some((index) => index.name === name)) {
      problems.add(
        '.indexes',
        `the name "${name}" is that of the index on the time; choose another, or timeIndex: false`,
      )
    }
    indexes.push(
      Object.freeze({
        name,
        columns: Object.freeze([Object.freeze({ column: time, direction: 'desc' as const })]),
        unique: false,
        method: 'btree' as const,
        where: null,
      }),
    )
  }
  problems.assertEmpty('TM_DECLARATION')
  return Object.freeze({
    kind: 'hypertable',
    ...relation,
    indexes: Object.freeze(indexes),
    time,
    chunk,
    orderBy,
    freeze,
    retain,
    late,
    dedupe,
    events,
    maxChunks,
    changeCell: changeCell ?? defaultChangeCell(chunk as Interval),
  }) as Hypertable<QualifiedNameOf<Name>, C, Time, Key, Tenant>
}

function readTime(
  problems: ProblemList,
  input: unknown,
  columns: Readonly<Record<string, ColumnDefinition>>,
): string | null {
  if (input === undefined) {
    problems.add('.time', 'is missing; name the timestamptz column by which the table is cut into chunks')
    return null
  }
  if (!isKnownColumn(problems, '.time', input, columns)) return null
  const column = columns[input] as ColumnDefinition
  if (column.type !== 'timestamptz')
    problems.add(
      '.time',
      `column "${input}" is ${column.type}; it must be timestamptz` +
        (column.type === 'date' ? ', where a day is kept as its midnight' : ''),
    )
  if (column.nullable)
    problems.add('.time', `column "${input}" is nullable; a row without a time has no chunk`)
  return input
}

function readInterval(problems: ProblemList, path: string, input: unknown): Interval | null {
  try {
    return parseInterval(input as string)
  } catch (error) {
    if (!(error instanceof TimeProblem)) throw error
    problems.add(path, error.problem)
    return null
  }
}

function readFreeze(problems: ProblemList, input: unknown): { readonly after: Interval } | null {
  if (input === undefined || input === null) return null
  if (!checkKeys(problems, '.freeze', input, ['after'])) return null
  const after = readInterval(problems, '.freeze.after', input['after'])
  return after === null ? null : Object.freeze({ after })
}

const idTypes = ['text', 'uuid', 'int8']

function readDedupe(
  problems: ProblemList,
  input: unknown,
  columns: Readonly<Record<string, ColumnDefinition>>,
): { readonly by: string; readonly within: Interval } | null {
  if (input === undefined || input === null) return null
  if (!checkKeys(problems, '.dedupe', input, ['by', 'within'])) return null
  const { by } = input
  const isColumn = isKnownColumn(problems, '.dedupe.by', by, columns)
  if (isColumn && !idTypes.includes(columns[by]!.type))
    problems.add('.dedupe.by', `column "${by}" is ${columns[by]!.type}; an event id is text, uuid or int8`)
  const within = readInterval(problems, '.dedupe.within', input['within'])
  if (within === null || !isColumn) return null
  if (boundMicros(within).least < minuteMicros)
    problems.add('.dedupe.within', `'${within.text}' is shorter than a minute`)
  return Object.freeze({ by, within })
}

const eventTypes = ['text', 'uuid', 'bool', 'int2', 'int4', 'int8']
const eventRoles = ['user', 'anonymous', 'event', 'session', 'page'] as const
const neededRoles: readonly string[] = ['user', 'event']

function readEvents(
  problems: ProblemList,
  input: unknown,
  columns: Readonly<Record<string, ColumnDefinition>>,
): EventColumns | null {
  if (input === undefined || input === null) return null
  if (!checkKeys(problems, '.events', input, eventRoles)) return null
  const found: Record<(typeof eventRoles)[number], string | null> = {
    user: null,
    anonymous: null,
    event: null,
    session: null,
    page: null,
  }
  for (const role of eventRoles) {
    const name = input[role]
    if (name === undefined && !neededRoles.includes(role)) continue
    if (!isKnownColumn(problems, `.events.${role}`, name, columns)) continue
    const { type } = columns[name] as ColumnDefinition
    if (!eventTypes.includes(type))
      problems.add(`.events.${role}`, `column "${name}" is ${type}; it must be ${eventTypes.join(', ')}`)
    found[role] = name
  }
  const { user, event } = found
  return user === null || event === null ? null : Object.freeze({ ...found, user, event })
}

function readOrderBy(
  problems: ProblemList,
  input: unknown,
  time: string | null,
  columns: Readonly<Record<string, ColumnDefinition>>,
): readonly string[] {
  if (input === undefined) return Object.freeze(time === null ? [] : [time])
  const names = readColumnList(problems, '.orderBy', input, columns)
  for (const name of names) {
    const { type } = columns[name] as ColumnDefinition
    if (type === 'jsonb' || type === 'text[]')
      problems.add('.orderBy', `column "${name}" is ${type}, which has no order`)
  }
  if (time === null || names.includes(time)) return names
  return Object.freeze([...names, time])
}

function leadsWith(
  time: string,
  primaryKey: readonly string[] | null,
  indexes: readonly IndexDefinition[],
): boolean {
  if (primaryKey?.[0] === time) return true
  return indexes.some((i) => i.columns[0]?.column === time && i.method === 'btree' && i.where === null)
}

/** Divisors of a day, so that cells line up with the buckets that people ask for. */
const cellMinutes = [1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 480, 720, 1440] as const

function defaultChangeCell(chunk: Interval): Interval {
  const wanted = approximateMicros(chunk) / 24n
  let micros = minuteMicros
  for (const minutes of cellMinutes) {
    const candidate = BigInt(minutes) * minuteMicros
    if (candidate <= wanted && candidate <= microsPerDay) micros = candidate
  }
  return intervalFromMicros(micros)
}
