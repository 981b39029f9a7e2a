import type { ColumnType, HypertableDefinition } from '../schema/index.ts'
import type { Clock, Instant, TimeRange } from '../time/index.ts'
import type { Sql } from '../util/sql.ts'
import type { QueryLimits } from './limits.ts'
import type { ColumnRef, FilterNode } from './nodes.ts'
import { type Fields, parseTimeRange, parseWhere, startContext } from './parse-context.ts'
import { fail, plainObject, show, suggest } from './problem.ts'
import { parseRef, typeOfGroup } from './references.ts'
import { everything, type ScanContext } from './tier.ts'

/**
 * The port between questions that need events one by one, in the order of each user (src/product), and the places where events are.
 * An event is narrowed to what a question looks at before it leaves its place.
 */
export interface EventRequest {
  readonly dataset: HypertableDefinition
  readonly range: TimeRange
  /** Only events for which it is true; null: all. */
  readonly where: FilterNode | null
  /** Conditions that are told apart: the bit `2 ** i` of an event's `m` is set when the i-th is true. At most 30. */
  readonly flags: readonly FilterNode[]
  /** Columns as text: the first of `refs` that is not null. The name is that of a column of the made table. */
  readonly texts: readonly EventText[]
}

export interface EventText {
  readonly name: string
  readonly refs: readonly ColumnRef[]
}

/** Time, flags, texts in the order of the request. */
export type EventRow = readonly [t: Instant, m: number, ...texts: (string | null)[]]

/** What one source gave. */
export interface EventPart {
  readonly source: 'hot' | 'cold'
  readonly rows: number
  /** Of the lake that were opened; 0 in PostgreSQL, null where they hold rows of other tenants, too. */
  readonly files: number | null
}

/** All events of a request in one place, for as long as they are lent. */
export interface EventTable {
  /**
   * Runs one statement of DuckDB over the table `events`: `t` bigint microseconds, `m` integer, and a varchar for each text. Rows
   * as arrays: integers of 64 bits bigint, smaller ones and doubles number.
   */
  ask(statement: Sql): Promise<readonly (readonly unknown[])[]>
  readonly parts: readonly EventPart[]
}

/** Every event of a hypertable, wherever it is, as one snapshot sees them. */
export interface EventStore {
  /**
   * @throws TidemarkError TM_LIMIT when PostgreSQL has more rows of the request than may be brought over, or memory does not suffice;
   * TM_LAKE, TM_CANCELLED, TM_TIMEOUT.
   */
  lend<T>(request: EventRequest, context: ScanContext, use: (events: EventTable) => Promise<T>): Promise<T>
}

/** Types of which a user, a name or a segment may be: their texts are the same wherever they are made. */
const textTypes: readonly ColumnType[] = ['text', 'uuid', 'bool', 'int2', 'int4', 'int8']

/** Reads the parts of a question about events; each part that is wrong is TM_QUERY with its path. */
export interface EventQuestion {
  readonly now: Instant
  readonly fields: Fields
  /** From `from` to `to` (default: now), dates in `zone`; `from` may be left out only with `openFrom`. */
  range(openFrom?: boolean): TimeRange
  /** Null for nothing. */
  where(input: unknown, path: string): FilterNode | null
  /** A column, or a path inside of a jsonb column, whose values are names. */
  name(input: unknown, path: string): ColumnRef
}

/** @param known Parts that the question may have. */
export function readEventQuestion(
  input: unknown,
  known: readonly string[],
  context: { readonly dataset: HypertableDefinition; readonly clock: Clock; readonly limits: QueryLimits },
): EventQuestion {
  const fields = plainObject(input, 'query', 'a question such as { from: "-30 days" }')
  for (const [key, value] of Object.entries(fields))
    if (value !== undefined && !known.includes(key))
      fail(key, `there is no "${key}" in this question${suggest(key, known)}`)
  const { dataset } = context
  const started = startContext(context, dataset)
  return {
    fields,
    now: started.clock.now(),
    range(openFrom = false) {
      if (fields['from'] == null && !openFrom)
        fail('from', "is missing; say since when, for example '-30 days'")
      const asked = { from: fields['from'], to: fields['to'] ?? 'now', zone: fields['zone'] }
      const range = parseTimeRange(asked, started) ?? everything
      if (range.to >= everything.to) fail('to', 'a question about events needs an end')
      return range
    },
    where: (given, path) => parseWhere(given, path, started),
    name(given, path) {
      if (typeof given !== 'string') return fail(path, `${show(given)} is not the name of a column`)
      const ref = parseRef(dataset, given, path)
      const type = typeOfGroup(dataset, ref)
      if (!textTypes.includes(type as ColumnType))
        fail(
          path,
          `"${given}" is ${type}; a column of ${textTypes.join(', ')} or a path inside of jsonb is needed`,
        )
      return ref
    },
  }
}
