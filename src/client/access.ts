import { type Call, searchText } from './call.ts'
import type { SlowQuery } from './overview-types.ts'
import type { CallOptions } from './types.ts'

export type AccessScope = 'ingest' | 'query' | 'admin'

/** An API key; never its secret. Times are ISO 8601. */
export interface ApiKeyEntry {
  readonly id: string
  readonly name: string
  readonly scopes: readonly AccessScope[]
  /** Null with `allTenants`. */
  readonly tenant: string | null
  readonly allTenants: boolean
  /** Null: every one. */
  readonly datasets: readonly string[] | null
  readonly createdAt: string
  readonly createdBy: string
  /** Null: never. */
  readonly expiresAt: string | null
  /** Within a minute. */
  readonly lastUsedAt: string | null
  readonly revokedAt: string | null
  /** Until when the secret before the newest goes on; null: there is none. */
  readonly overlapUntil: string | null
}

export interface NewApiKey {
  /** What people call it: 1 to 100 characters. */
  readonly name: string
  readonly scopes: readonly AccessScope[]
  /** Whose rows. Default: the caller's own tenant. */
  readonly tenant?: string
  readonly allTenants?: boolean
  /** Default: every one. */
  readonly datasets?: readonly string[]
  /** A time, or how long from now: `90 days`. Default: never. */
  readonly expires?: string
}

export interface IssuedApiKey {
  readonly key: ApiKeyEntry
  /** What its user sends. It is told this once. */
  readonly secret: string
}

/** What an administrator did. */
export interface AuditLogEntry {
  readonly id: string
  readonly at: string
  readonly actorKind: string
  readonly actor: string
  /** Of the actor; null: of no single tenant. */
  readonly tenant: string | null
  /** `key.create`, or the method and path of a route. */
  readonly act: string
  readonly subject: string | null
  readonly outcome: 'done' | 'refused' | 'failed'
  readonly detail: Readonly<Record<string, unknown>> | null
  readonly requestId: string | null
  readonly address: string | null
}

export interface AuditPage {
  /** The newest first. */
  readonly entries: readonly AuditLogEntry[]
  /** `before` of the next page; null: there is none. */
  readonly next: string | null
}

export interface AuditQuery extends CallOptions {
  /** Of this kind alone: `key.create`. */
  readonly act?: string
  /** Of this key, subject or user alone. */
  readonly actor?: string
  /** Done to this alone: the id of a key. */
  readonly subject?: string
  readonly outcome?: AuditLogEntry['outcome']
  readonly before?: string
  /** 1 to 1,000. Default 100. */
  readonly limit?: number
}

/** Queries that took longer than `server.slowQuery`. */
export interface SlowQueries {
  /** Null: none is slow. */
  readonly thresholdMs: number | null
  /** The newest first, at most 100, of one process. */
  readonly queries: readonly SlowQuery[]
}

/** A saved query; the times are those of its schedule. */
export interface ReportEntry {
  readonly name: string
  readonly tenant: string | null
  readonly title: string
  readonly dataset: string
  /** Null: it is asked by hand alone. */
  readonly schedule: {
    readonly every: string
    readonly zone?: string | null
    readonly delay?: string | null
  } | null
  readonly nextAt: string | null
  /** In a row. */
  readonly failures: number
  readonly lastError: string | null
}

export interface ReportRunEntry {
  readonly id: string
  /** What "now" was for its range. */
  readonly asOf: string
  readonly askedAt: string
  readonly elapsedMs: number
  readonly rows: number
}

/**
 * Keys, what was done with them, slow queries and reports: what those who run the place look at. Made by `client.access`.
 *
 * @example
 * const { key, secret } = await client.access.createKey({ name: 'collector', scopes: ['ingest'], expires: '90 days' })
 * for (const { id, lastUsedAt } of await client.access.keys()) console.log(id, lastUsedAt)
 *
 * @throws TidemarkClientError the server's, TM_NO_ANSWER, TM_CLOSED: each of its methods
 */
export class Access {
  readonly #call: Call

  /** @internal */
  constructor(call: Call) {
    this.#call = call
  }

  /** The newest first; `all`: with those that were revoked. */
  async keys({
    all,
    signal,
  }: CallOptions & { readonly all?: boolean } = {}): Promise<readonly ApiKeyEntry[]> {
    const path = `/api/v1/keys${all === true ? '?all=true' : ''}`
    return ((await this.#call({ path, signal })) as { keys: ApiKeyEntry[] }).keys
  }

  /** Is sent once: an answer that was lost leaves a key that nobody has the secret of. */
  async createKey(wanted: NewApiKey, { signal }: CallOptions = {}): Promise<IssuedApiKey> {
    return (await this.#call({ method: 'POST', path: '/api/v1/keys', body: wanted, signal })) as IssuedApiKey
  }

  /** A new secret; the one before goes on for `overlap`, `0` ends it now. Default: 24 hours. */
  async rotateKey(
    id: string,
    rotation: { readonly overlap?: string } = {},
    { signal }: CallOptions = {},
  ): Promise<IssuedApiKey> {
    const path = `/api/v1/keys/${encodeURIComponent(id)}/rotate`
    return (await this.#call({ method: 'POST', path, body: rotation, signal })) as IssuedApiKey
  }

  /** Ends a key for good. */
  async revokeKey(id: string, { signal }: CallOptions = {}): Promise<ApiKeyEntry> {
    const path = `/api/v1/keys/${encodeURIComponent(id)}`
    return (await this.#call({ method: 'DELETE', path, signal })) as ApiKeyEntry
  }

  /** One page. */
  async audit({ signal, ...query }: AuditQuery = {}): Promise<AuditPage> {
    const path = `/api/v1/audit${searchText(query)}`
    return (await this.#call({ path, signal })) as AuditPage
  }

  /** For a principal of all tenants. */
  async slowQueries({ signal }: CallOptions = {}): Promise<SlowQueries> {
    return (await this.#call({ path: '/api/v1/slow-queries', signal })) as SlowQueries
  }

  /** Of the caller's tenant. */
  async reports({ signal }: CallOptions = {}): Promise<readonly ReportEntry[]> {
    return ((await this.#call({ path: '/api/v1/reports', signal })) as { reports: ReportEntry[] }).reports
  }

  /** Asks a report now, and keeps the answer. */
  async runReport(name: string, { signal }: CallOptions = {}): Promise<ReportRunEntry> {
    const path = `/api/v1/reports/${encodeURIComponent(name)}/run`
    return (await this.#call({ method: 'POST', path, signal })) as ReportRunEntry
  }
}
