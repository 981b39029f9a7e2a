import type {
  ConsideredAggregate,
  EventPart,
  EventStore,
  QueryLimits,
  ReadUniques,
  ScanContext,
  WhereInput,
} from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Clock, RangePoint } from '../time/index.ts'

/** What every question about events has. */
export interface EventsInput<D = HypertableDefinition> {
  readonly from: RangePoint
  /** Not part of the range. Default: now. */
  readonly to?: RangePoint
  /** Whose days, weeks and months. Default UTC. */
  readonly zone?: string
  /** Only events for which it is true. */
  readonly where?: WhereInput<D>
  /** Columns that mean something else than the declaration's `events` says, or where it says nothing. */
  readonly user?: string
  readonly anonymous?: string
  readonly event?: string
  readonly session?: string
  readonly page?: string
}

/** Events of a name, or with a condition, or both. */
export interface EventMatch<D = HypertableDefinition> {
  readonly event?: string
  readonly where?: WhereInput<D>
}

export interface FunnelInput<D = HypertableDefinition> extends EventsInput<D> {
  /** 1 to 20. A text is the name of an event. */
  readonly steps: readonly (string | EventMatch<D>)[]
  /** From the first step to the last one at most; a fixed length: `'7 days'`. */
  readonly within: string
  /** A column, or a path inside of a jsonb column: a funnel for each of its values at the first step. */
  readonly by?: string
  /** `'ordered'` (default): other events may lie between. `'strict'`: each step is the very next event of the user. */
  readonly order?: 'ordered' | 'strict'
}

export interface FunnelRow {
  /** Only with `by`. */
  readonly segment?: string | null
  /** From 1 on. */
  readonly step: number
  readonly users: number
  /** Share of the users of the first step, of the step before; null: there are none. */
  readonly ofFirst: number | null
  readonly ofPrevious: number | null
  /** From the first step to this one, of those who came here (the one in the middle, 95 of 100); null: nobody, or the first step. */
  readonly medianSeconds: number | null
  readonly p95Seconds: number | null
}

export interface RetentionInput<D = HypertableDefinition> extends EventsInput<D> {
  /** What puts a user into a cohort, the first time it happens in the range. Default: any event. */
  readonly cohort?: EventMatch<D>
  /** What counts as coming back. Default: any event. */
  readonly returning?: EventMatch<D>
  /** `'1 day'`, `'1 week'`, `'1 month'`, … in `zone`. */
  readonly period: string
  /** Columns of the matrix, the cohort's own period among them: 1 to 366. Default 12. */
  readonly periods?: number
  /** `'bounded'` (default): came back in this very period. `'unbounded'`: in it or in a later one of the matrix. */
  readonly kind?: 'bounded' | 'unbounded'
}

export interface RetentionRow {
  /** Start of the period. */
  readonly cohort: string
  readonly users: number
  /** Users who came back, by periods after the cohort's own; null: the period has not begun. */
  readonly returned: readonly (number | null)[]
  /** The same as shares of `users`. */
  readonly shares: readonly (number | null)[]
}

export interface SessionsInput<D = HypertableDefinition> extends EventsInput<D> {
  /** Without a session column: a user's session ends when no event follows for longer. Default `'30 minutes'`. */
  readonly timeout?: string
  /** One row for each, by the first event of a session. Default: one row for the whole range. */
  readonly bucket?: string
}

export interface SessionsRow {
  readonly bucket?: string
  readonly sessions: number
  readonly users: number
  /** From the first event of a session to the last; null: no session. */
  readonly meanSeconds: number | null
  readonly medianSeconds: number | null
  readonly eventsPerSession: number | null
  /** Share of the sessions with one event. */
  readonly bounceShare: number | null
}

export interface TopPagesInput<D = HypertableDefinition> extends EventsInput<D> {
  /** What is a view of a page. Default: every event with a page. */
  readonly views?: EventMatch<D>
  readonly timeout?: string
  /** 1 to 10,000. Default 20. */
  readonly top?: number
}

export interface TopPagesRow {
  readonly page: string
  readonly views: number
  readonly users: number
  /** Sessions that began, or ended, here. */
  readonly entrances: number
  readonly exits: number
  /** Share of the entrances that stayed the only view of their session; null: no entrance. */
  readonly bounceShare: number | null
  /** Until the next view of the session; null: none followed. */
  readonly meanSeconds: number | null
}

export interface PathsInput<D = HypertableDefinition> extends EventsInput<D> {
  /** What a path leads over. Default: pages where a page column is declared, otherwise names of events. */
  readonly of?: 'page' | 'event'
  /** The first time in a session that the path is here it begins, or ends. Default: it begins where the session does. */
  readonly start?: string
  readonly end?: string
  /** Places of a path at most: 2 to 20. Default 5. */
  readonly depth?: number
  /** Places of each step that are named; 1 to 100. Default 10. */
  readonly top?: number
  readonly timeout?: string
}

export interface PathsRow {
  /** From 1 on, along the path (with `end`: counted back from it). */
  readonly step: number
  /** Null: all places that are not among the top ones. */
  readonly from: string | null
  readonly to: string | null
  readonly users: number
  readonly sessions: number
}

export interface ActiveUsersInput<D = HypertableDefinition> extends EventsInput<D> {
  /** Default `'1 day'`. */
  readonly bucket?: string
  /** Each ends where the bucket does. Default `['1 day', '7 days', '30 days']`. */
  readonly windows?: readonly string[]
  /**
   * `'exact'` (default): every user is counted, from the events. `'uniques'`: with sketches, which continuous aggregates keep; exact up to
   * 512 users, beyond a standard error of 1.63 %.
   */
  readonly method?: 'exact' | 'uniques'
}

export interface ActiveUsersRow {
  readonly bucket: string
  /** Different users of each window, in the order of `windows`. */
  readonly users: readonly number[]
  /** Users of the first window as a share of those of the last one; null: nobody. */
  readonly stickiness: number | null
}

export interface LifecycleInput<D = HypertableDefinition> extends EventsInput<D> {
  readonly period: string
  /** Events before it are not looked at: who was here only before then is new. Default: all are. */
  readonly since?: RangePoint
}

export interface LifecycleRow {
  readonly period: string
  /** Never seen before. */
  readonly new: number
  /** Seen in the period before, too. */
  readonly returning: number
  /** Seen before, but not in the period before. */
  readonly resurrecting: number
  /** Seen in the period before, not in this one. */
  readonly dormant: number
}

/** What one source gave: PostgreSQL (`hot`), files (`cold`) or a continuous aggregate, by its name. */
export interface EventsPlanPart extends Omit<EventPart, 'source' | 'rows'> {
  readonly source: string
  /** Events that were read; of an aggregate its cells. Null: the source does not tell, or not to this tenant. */
  readonly rows: number | null
}

export interface EventsPlan {
  /** As it was asked, relative times resolved; ISO. */
  readonly range: { readonly from: string | null; readonly to: string | null }
  /** Where events were looked at, which may be more: before it, or after it; null: open. */
  readonly read: { readonly from: string | null; readonly to: string | null }
  readonly parts: readonly EventsPlanPart[]
  readonly elapsedMs: number
  /** Active users: how they were counted, and how far from the truth that may be; null: it is the truth. */
  readonly method?: 'exact' | 'uniques'
  readonly errorBound?: string | null
  /** With `method: 'uniques'`: each continuous aggregate over the events, whether it answered, and why or why not. */
  readonly aggregates?: readonly ConsideredAggregate[]
}

export interface EventsAnswer<Row> {
  readonly rows: readonly Row[]
  readonly plan: EventsPlan
}

/** Each kind of question, what it takes and what its rows are. */
export interface ProductQuestions<D = HypertableDefinition> {
  readonly funnel: { readonly input: FunnelInput<D>; readonly row: FunnelRow }
  readonly retention: { readonly input: RetentionInput<D>; readonly row: RetentionRow }
  readonly sessions: { readonly input: SessionsInput<D>; readonly row: SessionsRow }
  readonly topPages: { readonly input: TopPagesInput<D>; readonly row: TopPagesRow }
  readonly paths: { readonly input: PathsInput<D>; readonly row: PathsRow }
  readonly activeUsers: { readonly input: ActiveUsersInput<D>; readonly row: ActiveUsersRow }
  readonly lifecycle: { readonly input: LifecycleInput<D>; readonly row: LifecycleRow }
}

export type ProductKind = keyof ProductQuestions

/** What a question is answered with. */
export interface ProductContext {
  readonly dataset: HypertableDefinition
  readonly clock: Clock
  readonly limits: QueryLimits
  readonly store: EventStore
  /** Sketches of different values, through the planner. */
  readonly uniques: ReadUniques
  readonly scan: ScanContext
}
