import type { ChangeFeed } from '../feed/index.ts'
import type { Answer } from '../query/index.ts'
import type { QueryableDefinition, TenantScope } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import type { TidemarkError } from '../util/errors.ts'

/** The engine as somebody may use it: what he subscribes to is answered by it, and nothing else is asked. */
export interface LiveEngine {
  readonly scope: TenantScope
  queryable(name: string): QueryableDefinition
  queryUnknown(name: string, query: unknown, options: { readonly signal: AbortSignal }): Promise<Answer>
  now(): Instant
}

/** Who subscribes. */
export interface LiveCaller {
  readonly engine: LiveEngine
  /** Whose subscriptions are counted together: a key, a user. */
  readonly principal: string
  /** Names of the datasets that he may use; null: every one. Who may use others shares no computation with him. */
  readonly datasets: ReadonlySet<string> | null
}

export interface LiveOptions {
  readonly feed: ChangeFeed
  /** Subscriptions of this process at most. Default 10,000. */
  readonly maxSubscriptions: number
  /** Of one principal. Default 1,000. */
  readonly maxPerPrincipal: number
  /** Different questions that are kept up to date at once. Default 5,000; each is asked again after a write that touches it. */
  readonly maxQuestions: number
  /** Rows of one live answer. Default 10,000. */
  readonly maxRows: number
  /** Memory of all live answers together, as JSON. Default 256 MiB. */
  readonly maxBytes: number
  /** Part of `maxSubscriptions`, `maxQuestions` and `maxBytes` that one tenant may hold. Default 0.25. */
  readonly tenantShare: number
  /** From the end of one computation of a question to the beginning of the next. ms, default 200; longer where it takes longer. */
  readonly restMs: number
  /** Computations at once, of all questions. Default 4. */
  readonly concurrency: number
  /** How long a reader may take for what was sent to him, when there is more. ms, default 30,000; then his subscription ends. */
  readonly maxStallMs: number
  /** How long a question is kept up to date after its last reader has gone: he may come back. ms, default 30,000. */
  readonly lingerMs: number
  /** A question is asked anew after this long in any case: for what no entry of the change log tells of. ms, default 300,000. */
  readonly resyncMs: number
  /** What becomes of an error that has no code. */
  readonly explain: (error: unknown) => TidemarkError
}

/** Where a subscription's messages go, never before `subscribe` has returned. Nothing is sent before the one before was taken (`Subscription.taken`). */
export interface LiveSink {
  /** `body` is the inside of a JSON object, without its braces: `"type":"answer","resume":"…",…`. */
  send(body: string, resume: string): void
  /** The last thing that it is told. */
  end(error: TidemarkError): void
}

export interface Subscription {
  /** What was sent last has arrived; more may be sent. */
  taken(): void
  /** No more is wanted. */
  close(): void
}

export interface LiveCounts {
  readonly subscriptions: number
  readonly questions: number
  readonly bytes: number
  /** Questions that are being asked, or are to be asked again. */
  readonly pending: number
  /** Since the process began. */
  readonly computations: number
  /** Of them those that asked for the touched buckets alone. */
  readonly partial: number
  readonly messages: number
  /** Subscriptions that were ended because their reader was too slow. */
  readonly dropped: number
}
