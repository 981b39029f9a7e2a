import type { ResultType } from '../aggregate/index.ts'
import { formatInstant, type Instant, type TimeRange } from '../time/index.ts'
import type { QueryLimits } from './limits.ts'
import type { QueryNode } from './nodes.ts'
import { errorBoundOf, type OutputColumn, outputColumns } from './references.ts'
import { everything } from './tier.ts'

/** A value as people see it: timestamptz ISO text in UTC, int8 bigint, numeric decimal text, jsonb parsed JSON. */
export type OutputValue = unknown
export type OutputRow = Readonly<Record<string, OutputValue>>

/** One reading of one stretch of time. */
export interface PlanPart {
  /** Which place answered. */
  readonly source: string
  /** ISO; null: open. */
  readonly from: string | null
  readonly to: string | null
  /** Rows that were read, where the source can tell. */
  readonly rows: number | null
  readonly bytes: number | null
  /** Files whose rows were read, and files that were answered from their summaries; where rows lie in files. */
  readonly files?: number
  readonly summaries?: number
  /** Partial answers that came back: cells of an aggregate query, rows of the others. */
  readonly cells: number
  readonly ms: number
  readonly why: string
}

/** A continuous aggregate over what was asked. */
export interface ConsideredAggregate {
  readonly name: string
  /** Whether a part of the answer was read from it. */
  readonly used: boolean
  /** In words: what of the range it could not answer, or why it was not used at all. */
  readonly why: string
}

/** An output that is null or missing in older buckets, because the rows are gone and the aggregate did not keep it, or does no more. */
export interface PartialOutput {
  readonly output: string
  /** ISO. */
  readonly before: string
}

/** Where an answer comes from, how fresh and how exact it is, and what it took. Plain JSON. */
export interface AnswerPlan {
  /** The one snapshot that every part was read in. */
  readonly snapshot: string
  readonly takenAt: string
  /** As it was read, relative times resolved; null ends are open. */
  readonly range: { readonly from: string | null; readonly to: string | null }
  readonly parts: readonly PlanPart[]
  /** Aggregate queries of a hypertable that has continuous aggregates: each of them. */
  readonly aggregates?: readonly ConsideredAggregate[]
  /** Queries of a continuous aggregate, where it is so. */
  readonly partial?: readonly PartialOutput[]
  readonly freshness: {
    /** Every row that was committed before this moment is in the answer. */
    readonly asOf: string
    /** How long ago that was when the answer was complete. */
    readonly lagMs: number
  }
  /** For each output that is not exact: its bound in words. */
  readonly errorBounds: Readonly<Record<string, string>>
  readonly ms: {
    readonly plan: number
    readonly read: number
    readonly merge: number
    readonly total: number
  }
  readonly limits: {
    /** Of the query; null: none was asked. */
    readonly rows: number | null
    readonly maxCells: number
    readonly maxRows: number
  }
  /** Over HTTP, where a layer of the cache was asked for: everything else is as it was when the answer was computed. */
  readonly cache?: {
    readonly layer: string
    readonly outcome: 'hit' | 'stale' | 'miss'
    readonly ageMs: number
  }
}

export interface Answer<Row = OutputRow> {
  readonly rows: readonly Row[]
  readonly columns: readonly OutputColumn[]
  /** Rows queries: goes on after the last row; null at the end, and for other queries. */
  readonly cursor: string | null
  readonly plan: AnswerPlan
}

/** From the inner form of a value to the one that people see. */
function toOutput(type: ResultType, value: unknown): OutputValue {
  return type === 'timestamptz' && typeof value === 'bigint' ? formatInstant(value) : (value ?? null)
}

/** Rows of values to row objects. Copies of one object have their shape from the start, which halves the time. */
function toOutputRows(columns: readonly OutputColumn[], rows: readonly (readonly unknown[])[]): OutputRow[] {
  const names = columns.map(({ name }) => name)
  const shows = columns.map(({ type }) => (type === 'timestamptz' ? rememberLast(type) : null))
  // parsed: what fromEntries makes is no model that V8 copies quickly
  const template = JSON.parse(
    JSON.stringify(Object.fromEntries(names.map((name) => [name, null]))),
  ) as Record<string, OutputValue>
  return rows.map((values) => {
    const row = { ...template }
    for (let i = 0; i < names.length; i++) {
      const show = shows[i]
      row[names[i] as string] = show ? show(values[i]) : (values[i] ?? null)
    }
    return row
  })
}

/** Rows in order of time often share it with the row before. */
function rememberLast(type: ResultType): (value: unknown) => OutputValue {
  let last: unknown = null
  let shown: OutputValue = null
  return (value) => {
    if (value !== last) {
      last = value
      shown = toOutput(type, value)
    }
    return shown
  }
}

function showEnd(instant: Instant): string | null {
  return instant === everything.from || instant === everything.to ? null : formatInstant(instant)
}

export function showRange(range: TimeRange | null): { from: string | null; to: string | null } {
  return range === null ? { from: null, to: null } : { from: showEnd(range.from), to: showEnd(range.to) }
}

/** Measured time of the stages, in milliseconds. */
export interface Stopwatch {
  plan: number
  read: number
  merge: number
}

/** To the microsecond: enough for people, short in JSON. */
export function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

function errorBoundsOf(node: QueryNode): Readonly<Record<string, string>> {
  if (node.kind !== 'aggregate') return {}
  const bounds: Record<string, string> = {}
  for (const { name, aggregate } of node.select) {
    const bound = errorBoundOf(node.dataset, aggregate)
    if (bound !== null) bounds[name] = bound
  }
  return bounds
}

export interface AnswerParts {
  readonly node: QueryNode
  readonly rows: readonly (readonly unknown[])[]
  readonly cursor: string | null
  readonly range: TimeRange | null
  readonly parts: readonly PlanPart[]
  readonly aggregates: readonly ConsideredAggregate[]
  readonly partial: readonly PartialOutput[]
  readonly snapshot: { readonly id: string; readonly takenAt: Instant }
  readonly now: Instant
  readonly stages: Stopwatch
  readonly startedMs: number
  readonly limits: QueryLimits
}

export function createAnswer(from: AnswerParts): Answer {
  const columns = outputColumns(from.node)
  const rows = toOutputRows(columns, from.rows)
  const asOf = formatInstant(from.snapshot.takenAt)
  const { plan, read, merge } = from.stages
  return {
    rows,
    columns,
    cursor: from.cursor,
    plan: {
      snapshot: from.snapshot.id,
      takenAt: asOf,
      range: showRange(from.range),
      parts: from.parts,
      ...(from.aggregates.length > 0 ? { aggregates: from.aggregates } : {}),
      ...(from.partial.length > 0 ? { partial: from.partial } : {}),
      freshness: { asOf, lagMs: Math.max(0, Number(from.now - from.snapshot.takenAt) / 1000) },
      errorBounds: errorBoundsOf(from.node),
      ms: {
        plan: roundMs(plan),
        read: roundMs(read),
        merge: roundMs(merge),
        total: roundMs(performance.now() - from.startedMs),
      },
      limits: { rows: from.node.limit, maxCells: from.limits.maxCells, maxRows: from.limits.maxRows },
    },
  }
}
