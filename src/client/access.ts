import type { Reply, RequestSpec } from './http.ts'
import type { CallOptions } from './types.ts'

export type AccessScope = 'ingest' | 'query' | 'admin'

/** Who asks, and what he may. */
export interface Principal {
  readonly kind: 'key' | 'token' | 'session' | 'anonymous'
  readonly id: string
  readonly name: string | null
  /** Null with `allTenants`, and for whoever has none. */
  readonly tenant: string | null
  readonly allTenants: boolean
  readonly scopes: readonly AccessScope[]
  /** Null: every one. */
  readonly datasets: readonly string[] | null
  readonly expiresAt: string | null
}

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
  readonly before?: string
  /** 1 to 1,000. Default 100. */
  readonly limit?: number
}

/** A query that took longer than `server.slowQuery`. */
export interface SlowQueryEntry {
  readonly at: string
  /** `query`, or the kind of a question about events. */
  readonly kind: string
  readonly dataset: string
  readonly ms: number
  /** `ok`, or the code of the error. */
  readonly outcome: string
  readonly rows: number | null
  /** Its shape, with `?` for values, unless `server.logValues` says otherwise. */
  readonly query: unknown
  /** Parts and reasons; null where it failed. */
  readonly plan: unknown
  readonly request: string | null
  readonly principal: string | null
}

export interface SlowQueries {
  /** Null: none is slow. */
  readonly thresholdMs: number | null
  /** The newest first, at most 100, of one process. */
  readonly queries: readonly SlowQueryEntry[]
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

/** What the routes below `/api/v1` are asked through. */
export interface AccessDoor {
  ask(spec: RequestSpec): Promise<Reply>
  /** Of requests that change nothing. */
  readonly maxAttempts: number
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
  readonly #door: AccessDoor

  /** @internal */
  constructor(door: AccessDoor) {
    this.#door = door
  }

  /** Who the server takes the caller for. */
  me(options: CallOptions = {}): Promise<Principal> {
    return this.#read('me', options)
  }

  /** The newest first; `all`: with those that were revoked. */
  async keys(options: CallOptions & { readonly all?: boolean } = {}): Promise<readonly ApiKeyEntry[]> {
    const { all, ...call } = options
    return (await this.#read<{ keys: ApiKeyEntry[] }>(`keys${all === true ? '?all=true' : ''}`, call)).keys
  }

  /** Is sent once: an answer that was lost leaves a key that nobody has the secret of. */
  createKey(wanted: NewApiKey, options: CallOptions = {}): Promise<IssuedApiKey> {
    return this.#act('POST', 'keys', wanted, options)
  }

  /** A new secret; the one before goes on for `overlap`, `0` ends it now. Default: 24 hours. */
  rotateKey(
    id: string,
    rotation: { readonly overlap?: string } = {},
    options: CallOptions = {},
  ): Promise<IssuedApiKey> {
    return this.#act('POST', `keys/${encodeURIComponent(id)}/rotate`, rotation, options)
  }

  /** Ends a key for good. */
  revokeKey(id: string, options: CallOptions = {}): Promise<ApiKeyEntry> {
    return this.#act('DELETE', `keys/${encodeURIComponent(id)}`, null, options)
  }

  /** One page. */
  audit(query: AuditQuery = {}): Promise<AuditPage> {
    const { signal, ...asked } = query
    const parameters = new URLSearchParams()
    for (const [name, value] of Object.entries(asked))
      if (value !== undefined) parameters.set(name, String(value))
    const text = parameters.toString()
    return this.#read(`audit${text === '' ? '' : `?${text}`}`, signal === undefined ? {} : { signal })
  }

  /** For a principal of all tenants. */
  slowQueries(options: CallOptions = {}): Promise<SlowQueries> {
    return this.#read('slow-queries', options)
  }

  /** Of the caller's tenant. */
  async reports(options: CallOptions = {}): Promise<readonly ReportEntry[]> {
    return (await this.#read<{ reports: ReportEntry[] }>('reports', options)).reports
  }

  /** Asks a report now, and keeps the answer. */
  runReport(name: string, options: CallOptions = {}): Promise<ReportRunEntry> {
    return this.#act('POST', `reports/${encodeURIComponent(name)}/run`, null, options)
  }

  async #read<T>(path: string, { signal }: CallOptions): Promise<T> {
    const { body } = await this.#door.ask({
      method: 'GET',
      path: `/api/v1/${path}`,
      contentType: 'application/json',
      body: '',
      headers: {},
      maxAttempts: this.#door.maxAttempts,
      signal,
      mayRetry: ({ retryable, status }) => retryable && status !== 504,
    })
    return body as T
  }

  /** Once: what it did before its answer was lost is not done again. */
  async #act<T>(
    method: 'POST' | 'DELETE',
    path: string,
    body: object | null,
    { signal }: CallOptions,
  ): Promise<T> {
    const reply = await this.#door.ask({
      method,
      path: `/api/v1/${path}`,
      contentType: 'application/json',
      body: body === null ? '' : JSON.stringify(body),
      headers: {},
      maxAttempts: 1,
      signal,
      mayRetry: () => false,
    })
    return reply.body as T
  }
}
