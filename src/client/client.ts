import type { EventsAnswer, ProductKind, ProductQuestions } from '../product/index.ts'
import type { Answer, CheckedQuery, QueryInput, QueryRow } from '../query/index.ts'
import type { StoredDefinition, TidemarkConfig } from '../schema/index.ts'
import { Access } from './access.ts'
import { BoardsClient } from './boards.ts'
import { type Batch, Buffer, type BufferLimits } from './buffer.ts'
import type { CallSpec } from './call.ts'
import { TidemarkClientError } from './errors.ts'
import { createTransport, type Fetch, type Reply, type RequestSpec, type Transport } from './http.ts'
import { LiveConnection, type LiveSocketClass, type LiveSubscription, type SubscribeOptions } from './live.ts'
import type { CheckedLive, LiveInput } from './live-types.ts'
import { Operations } from './operations.ts'
import { Records, type RecordsOf } from './records.ts'
import { type DatasetInfo, listDatasets, Session } from './session.ts'
import type { CallOptions, ClientRow, Named, QueryableName, StoredName } from './types.ts'
import { decodeAnswer, encodeQuery, encodeRow } from './values.ts'

export interface ClientOptions {
  /** Of the server, without a path: `https://tidemark.example.org`. */
  readonly url: string
  /** Sent as a bearer token. */
  readonly apiKey?: string
  /** Rows of a batch at most. Default 1,000. */
  readonly maxBatchRows?: number
  /** Characters of a batch at most, before gzip. Default 1,000,000. */
  readonly maxBatchLength?: number
  /** How long a row waits for others, in milliseconds. Default 1,000. */
  readonly maxDelayMs?: number
  /** Rows that are not written yet. Default 100,000. */
  readonly maxBufferedRows?: number
  /** Their characters. Default 64,000,000. */
  readonly maxBufferedLength?: number
  /** What `insert` does at these two: waits until there is room (default), or rejects with TM_FULL and takes nothing. */
  readonly whenFull?: 'wait' | 'reject'
  /** Batches that are sent at the same time. Default 2. */
  readonly concurrency?: number
  /** How often a batch is sent at most, 1 to 100; ten tries take about a minute and a half when all fail. Default 10. */
  readonly maxAttempts?: number
  /** How long one request may take, in milliseconds. Default 60,000. */
  readonly timeoutMs?: number
  /** Told of rows that could not be written. Without it the next `flush` or `close` rejects with the first such error. */
  readonly onError?: (failure: WriteFailure) => void
  /** Default: the one of the platform. */
  readonly fetch?: Fetch
  /** For `subscribe`. Default: the one of the platform; Node has one from 22 on, before that the package `ws` has. */
  readonly WebSocket?: LiveSocketClass
}

/** Rows that were taken by `insert` and are not in the database. */
export interface WriteFailure {
  readonly table: string
  readonly error: TidemarkClientError
  /** As they were sent: values in the form of JSON. */
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

export type ConflictRule = 'error' | 'ignore' | 'update'

export interface InsertOptions {
  /** Rows whose key exists: refused (default), left as they are, or overwritten. */
  readonly onConflict?: ConflictRule
}

/** A row that the server did not take; docs/reference/import.md lists the reasons. */
export interface RejectedRow {
  /** Its place in the batch. */
  readonly index: number
  readonly column: string | null
  readonly value: string | null
  readonly reason: string
  readonly message: string
}

/** What a write did; docs/reference/http.md. */
export interface WriteReport {
  /** Rows that are stored, now or before. */
  readonly accepted: number
  readonly inserted: number
  /** Overwritten (`onConflict: 'update'`). */
  readonly updated: number
  /** Their key existed (`onConflict: 'ignore'`). */
  readonly ignored: number
  /** Older than the retention, and counted in continuous aggregates only. */
  readonly merged: number
  /** Their event id was seen. */
  readonly duplicates: number
  readonly rejected: { readonly count: number; readonly rows: readonly RejectedRow[] }
  /** Left out by the server's steps of enrichment, by reason: `{ bot: 3 }`. */
  readonly dropped: { readonly count: number; readonly reasons: Readonly<Record<string, number>> }
  /** An earlier try had written them, whose answer was lost. */
  readonly replayed: boolean
}

const limits = {
  maxBatchRows: 1_000,
  maxBatchLength: 1_000_000,
  maxDelayMs: 1_000,
  maxBufferedRows: 100_000,
  maxBufferedLength: 64_000_000,
  concurrency: 2,
} satisfies BufferLimits
const defaults: {
  readonly whenFull: 'wait' | 'reject'
  readonly maxAttempts: number
  readonly timeoutMs: number
} = {
  whenFull: 'wait',
  maxAttempts: 10,
  timeoutMs: 60_000,
}

/** Errors that one row can be to blame for, so that the others may pass without it. */
const rowCodes: ReadonlySet<string> = new Set([
  'TM_ROW',
  'TM_DUPLICATE_KEY',
  'TM_CONSTRAINT',
  'TM_EXPIRED',
  'TM_BODY_TOO_LARGE',
])
/** Requests that looking for such rows may take, for each batch; what is left then is given up together. */
const maxSplits = 64
const maxQueryAttempts = 3
/** One request's answer is shorter than the database's own time limit; a query that was too slow once is so again. */
const retryQuery = ({ retryable, status }: TidemarkClientError): boolean => retryable && status !== 504

/**
 * Writes and asks over HTTP, from Node and from browsers. `Config` is the type of the configuration: nothing of it, nor of
 * the server, is loaded.
 *
 * @example
 * import { createClient } from 'tidemark/client'
 * import type config from '../tidemark.config'
 *
 * const client = createClient<typeof config>({ url: 'http://127.0.0.1:4680' })
 * await client.insert('metrics.requests', [{ time: new Date(), model: 'small', latency_ms: 12.5 }])
 * await client.close()
 */
export function createClient<Config extends TidemarkConfig = TidemarkConfig>(
  options: ClientOptions,
): Client<Config> {
  return new Client<Config>(options)
}

export class Client<Config extends TidemarkConfig = TidemarkConfig> {
  readonly #options: ClientOptions & typeof defaults
  readonly #transport: Transport
  readonly #buffer: Buffer
  readonly #live: LiveConnection
  readonly #stop = new AbortController()
  /** For what is asked beside rows and queries. */
  readonly #door: { ask(spec: RequestSpec): Promise<Reply>; readonly maxAttempts: number }
  #isClosed = false
  /** What the next flush tells, where nobody listens to onError. */
  #failed: { readonly error: TidemarkClientError; rows: number } | null = null

  constructor(options: ClientOptions) {
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
    const all = { ...limits, ...defaults, ...given } as ClientOptions & BufferLimits & typeof defaults
    checkOptions(all)
    this.#options = all
    this.#transport = createTransport({
      url: all.url,
      apiKey: all.apiKey,
      timeoutMs: all.timeoutMs,
      fetch: all.fetch ?? ((url, init) => fetch(url, init)),
      random: Math.random,
    })
    this.#buffer = new Buffer(all, (batch) => this.#write(batch))
    this.#live = new LiveConnection({ url: all.url, apiKey: all.apiKey, WebSocket: all.WebSocket })
    this.#door = {
      ask: (spec) => {
        this.#assertOpen()
        return this.#transport.ask({ ...spec, signal: this.#signal(spec.signal) })
      },
      maxAttempts: Math.min(maxQueryAttempts, all.maxAttempts),
    }
  }

  /** Rows that were taken and are not written yet. */
  get buffered(): number {
    return this.#buffer.rows
  }

  /**
   * Takes rows, which go to the server in batches a little later: **taken is not stored**. `flush` waits until they are,
   * `insertNow` stores them at once. When the buffer is full it waits, or rejects (`whenFull`).
   *
   * @throws TidemarkClientError TM_VALUE, TM_FULL, TM_CLOSED
   */
  async insert<Name extends StoredName<Config>>(
    table: Name,
    rows: readonly ClientRow<Named<Config, Name>>[],
    options: InsertOptions = {},
  ): Promise<void> {
    this.#assertOpen()
    const lines = rows.map(encodeRow)
    const lane = laneOf(table, options.onConflict ?? 'error')
    if (this.#options.whenFull === 'reject') this.#buffer.addNow(lane, lines)
    else await this.#buffer.add(lane, lines, () => this.#stop.signal.throwIfAborted())
  }

  /**
   * Writes rows in one request and resolves after they are committed, all or none. A repetition after a lost answer carries
   * the same idempotency key.
   *
   * @throws TidemarkClientError the server's, TM_NO_ANSWER, TM_VALUE, TM_CLOSED
   */
  async insertNow<Name extends StoredName<Config>>(
    table: Name,
    rows: readonly ClientRow<Named<Config, Name>>[],
    options: InsertOptions & CallOptions = {},
  ): Promise<WriteReport> {
    this.#assertOpen()
    const lines = rows.map(encodeRow)
    return this.#post(laneOf(table, options.onConflict ?? 'error', true), lines, this.#signal(options.signal))
  }

  /**
   * Asks as `tm.query` does; aggregates are written as JSON, `{ fn: 'count' }`, or with the builders of `tidemark`.
   *
   * @example
   * const { rows } = await client.query('metrics.requests', {
   *   from: '-1 day', bucket: '1 hour', by: ['model'], select: { n: { fn: 'count' } },
   * })
   *
   * @throws TidemarkClientError the server's, TM_NO_ANSWER, TM_CLOSED
   */
  async query<Name extends QueryableName<Config>, const Q extends QueryInput<Named<Config, Name>>>(
    dataset: Name,
    query: Q & CheckedQuery<Named<Config, Name>, Q>,
    options: CallOptions & {
      /** Of the server. Default: `limits.queryTimeout` of the configuration. */
      readonly timeoutMs?: number
      /** An answer that is kept in this layer may be given, unless something has changed since. Default: it is computed. */
      readonly cache?: 'dashboard' | 'lists' | 'reports'
    } = {},
  ): Promise<Answer<QueryRow<Named<Config, Name>, Q>>> {
    this.#assertOpen()
    const { timeoutMs, cache } = options
    const answer = await this.#transport.send({
      path: '/api/v1/query',
      contentType: 'application/json',
      body: encodeQuery({
        ...query,
        dataset,
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        ...(cache === undefined ? {} : { cache }),
      }),
      headers: {},
      maxAttempts: Math.min(maxQueryAttempts, this.#options.maxAttempts),
      signal: this.#signal(options.signal),
      mayRetry: retryQuery,
    })
    return decodeAnswer(answer as Answer) as Answer<QueryRow<Named<Config, Name>, Q>>
  }

  /**
   * Asks a question about events, as `tm.product` does: `'funnel'`, `'retention'`, `'activeUsers'`, …; docs/guide/product-analytics.md.
   *
   * @example
   * const { rows } = await client.product('funnel', 'web.events', {
   *   from: '-30 days', steps: ['visit', 'signup'], within: '7 days',
   * }, { cache: 'dashboard' })
   *
   * @throws TidemarkClientError the server's, TM_NO_ANSWER, TM_CLOSED
   */
  async product<K extends ProductKind, Name extends StoredName<Config>>(
    kind: K,
    dataset: Name,
    question: ProductQuestions<Named<Config, Name>>[K]['input'],
    options: CallOptions & {
      /** As of `query`. */
      readonly timeoutMs?: number
      readonly cache?: 'dashboard' | 'lists' | 'reports'
    } = {},
  ): Promise<EventsAnswer<ProductQuestions[K]['row']>> {
    this.#assertOpen()
    const { signal, ...more } = options
    const route = kind.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    const answer = await this.#transport.send({
      path: `/api/v1/datasets/${encodeURIComponent(dataset)}/${route}`,
      contentType: 'application/json',
      body: encodeQuery({ ...question, ...more }),
      headers: {},
      maxAttempts: Math.min(maxQueryAttempts, this.#options.maxAttempts),
      signal: this.#signal(signal),
      mayRetry: retryQuery,
    })
    return answer as EventsAnswer<ProductQuestions[K]['row']>
  }

  /**
   * A query as one statement of SQL that gives the same rows, of what is in PostgreSQL; times that are relative are of now.
   *
   * @throws TidemarkClientError TM_NO_SQL for what has no such form, TM_QUERY, …
   */
  async sqlOf<Name extends QueryableName<Config>, const Q extends QueryInput<Named<Config, Name>>>(
    dataset: Name,
    query: Q & CheckedQuery<Named<Config, Name>, Q>,
    { signal }: CallOptions = {},
  ): Promise<string> {
    this.#assertOpen()
    const { sql } = (await this.#transport.send({
      path: '/api/v1/query/sql',
      contentType: 'application/json',
      body: encodeQuery({ ...query, dataset }),
      headers: {},
      maxAttempts: Math.min(maxQueryAttempts, this.#options.maxAttempts),
      signal: this.#signal(signal),
      mayRetry: retryQuery,
    })) as { readonly sql: string }
    return sql
  }

  /**
   * Asks, and stays up to date: `onChange` is given the whole answer, and again after each change. After a lost connection it goes on
   * by itself, with what has changed since. All subscriptions of a client share one WebSocket.
   *
   * @example
   * const live = client.subscribe('metrics.requests',
   *   { from: '-1 hour', bucket: '1 minute', by: ['model'], select: { n: { fn: 'count' } } },
   *   { onChange: ({ rows }) => draw(rows), onState: (state, error) => show(state, error) })
   * live.close()
   *
   * @throws TidemarkClientError TM_CLOSED, TM_CONFIG where there is no WebSocket; errors of the server come to `onState`
   */
  subscribe<Name extends QueryableName<Config>, const Q extends LiveInput<Named<Config, Name>>>(
    dataset: Name,
    query: Q & CheckedLive<Named<Config, Name>, Q>,
    options: SubscribeOptions<QueryRow<Named<Config, Name>, Q>>,
  ): LiveSubscription {
    this.#assertOpen()
    return this.#live.subscribe(dataset, query, options as SubscribeOptions<never>)
  }

  /**
   * The rows of one table or hypertable by their primary key. With the declaration instead of its name nothing has to be asked of
   * the server first.
   *
   * @example
   * const keywords = client.records('app.keywords')
   * const keyword = await keywords.get({ id: 17 })
   * if (keyword) await keywords.update(keyword, { active: false }) // TM_VERSION when somebody was quicker
   */
  records<const T extends StoredName<Config> | StoredDefinition>(table: T): Records<RecordsOf<Config, T>> {
    return new Records(this.#door, table)
  }

  /** Keys, the audit log, slow queries and reports. */
  get access(): Access {
    return new Access((spec) => this.#ask(spec))
  }

  /**
   * Boards, links to them, and what somebody with a link sees; docs/guide/boards.md.
   *
   * @example
   * const { path } = await client.boards.share(board.id, { expires: '30 days' })
   */
  get boards(): BoardsClient {
    return new BoardsClient((spec) => this.#ask(spec))
  }

  /** Signing a browser in and out, and who is asking. */
  get session(): Session {
    return new Session((spec) => this.#ask(spec))
  }

  /**
   * Everything that can be queried with this credential, with its columns.
   *
   * @throws TidemarkClientError the server's, TM_NO_ANSWER, TM_CLOSED
   */
  datasets(options: CallOptions = {}): Promise<DatasetInfo[]> {
    return listDatasets((spec) => this.#ask(spec), options)
  }

  /** One request of the parts that are no rows and no queries. */
  #ask(spec: CallSpec): Promise<unknown> {
    this.#assertOpen()
    const isRead = (spec.method ?? 'GET') === 'GET'
    return this.#transport.send({
      ...spec,
      method: spec.method ?? 'GET',
      contentType: 'application/json',
      body: spec.body === undefined ? '' : JSON.stringify(spec.body),
      headers: spec.headers ?? {},
      // an act that may have been done is not done again
      maxAttempts: isRead ? Math.min(maxQueryAttempts, this.#options.maxAttempts) : 1,
      signal: this.#signal(spec.signal),
      mayRetry: retryQuery,
    })
  }

  /**
   * How the store is, and acts of those who run it; docs/reference/http.md.
   *
   * @example
   * const { findings } = await client.operations.overview()
   */
  get operations(): Operations {
    return new Operations({
      send: (spec) => {
        this.#assertOpen()
        return this.#transport.send({ ...spec, signal: this.#signal(spec.signal) })
      },
      maxAttempts: Math.min(maxQueryAttempts, this.#options.maxAttempts),
    })
  }

  /**
   * Resolves when every row that was taken before is committed.
   *
   * @throws TidemarkClientError the first error of rows that could not be written since the last call, without `onError`
   */
  async flush(): Promise<void> {
    await this.#buffer.drain()
    const failed = this.#failed
    this.#failed = null
    if (!failed) return
    const { code, message, ...details } = failed.error
    throw new TidemarkClientError(
      code,
      `${failed.rows} rows were not written, the first because: ${message}`,
      {
        status: details.status ?? undefined,
        retryable: details.retryable,
        params: details.params,
        requestId: details.requestId ?? undefined,
        cause: failed.error,
      },
    )
  }

  /**
   * Takes nothing more, writes what it has, and stops. What is not written after `timeoutMs` (default 30,000) is given up
   * and told like any other failure. Call it when the process is asked to end.
   *
   * @throws as `flush`
   */
  async close(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#isClosed = true
    this.#live.close()
    const timer = setTimeout(
      () =>
        this.#stop.abort(
          new TidemarkClientError('TM_CLOSED', 'the client was closed before these rows could be written', {
            retryable: true,
          }),
        ),
      options.timeoutMs ?? 30_000,
    )
    try {
      await this.flush()
    } finally {
      clearTimeout(timer)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new TidemarkClientError('TM_CLOSED', 'the client is closed')
  }

  #signal(signal: AbortSignal | undefined): AbortSignal {
    return signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal
  }

  #post(lane: string, lines: readonly string[], signal: AbortSignal): Promise<WriteReport> {
    return this.#transport.send({
      path: lane,
      contentType: 'application/x-ndjson',
      body: lines.join('\n'),
      headers: { 'idempotency-key': newKey() },
      maxAttempts: this.#options.maxAttempts,
      signal,
      // a commit whose answer the server itself lost is cleared up by the key
      mayRetry: ({ retryable, code }) => retryable || code === 'TM_COMMIT_UNKNOWN',
    }) as Promise<WriteReport>
  }

  async #write(batch: Batch): Promise<void> {
    const open = [batch.lines]
    for (let requests = 1; open.length > 0; requests++) {
      const lines = open.pop() as readonly string[]
      try {
        const { rejected } = await this.#post(batch.lane, lines, this.#stop.signal)
        if (rejected?.count > 0) this.#tellRejected(batch, lines, rejected)
      } catch (caught) {
        const error = toClientError(caught)
        if (lines.length === 1 || requests > maxSplits || !rowCodes.has(error.code)) {
          this.#tell(batch, lines, error)
          continue
        }
        const guilty = (error.params as { readonly row?: unknown } | null)?.row
        if (error.code === 'TM_ROW' && typeof guilty === 'number' && guilty < lines.length) {
          this.#tell(batch, [lines[guilty] as string], error)
          open.push(lines.filter((_, i) => i !== guilty))
        } else {
          const half = Math.ceil(lines.length / 2)
          open.push(lines.slice(half), lines.slice(0, half))
        }
      }
    }
  }

  /** The server took the others, and says which it did not. */
  #tellRejected(batch: Batch, lines: readonly string[], rejected: WriteReport['rejected']): void {
    const listed = rejected.rows.map(({ index }) => lines[index]).filter((line) => line !== undefined)
    const first = rejected.rows[0]
    this.#tell(
      batch,
      listed,
      new TidemarkClientError(
        'TM_REJECTED',
        `the server rejected ${rejected.count} of ${lines.length} rows and keeps them as dead letters` +
          (first ? `; the first, column "${first.column}": ${first.message}` : ''),
        { status: 207, params: rejected },
      ),
      rejected.count,
    )
  }

  #tell(batch: Batch, lines: readonly string[], error: TidemarkClientError, count = lines.length): void {
    try {
      if (this.#options.onError) {
        this.#options.onError({
          table: tableOf(batch.lane),
          error,
          rows: lines.map((line) => JSON.parse(line) as Record<string, unknown>),
        })
        return
      }
    } catch (thrown) {
      error = toClientError(thrown)
    }
    if (this.#failed) this.#failed.rows += count
    else this.#failed = { error, rows: count }
  }
}

/** The route: where rows go, and how. */
function laneOf(table: string, onConflict: ConflictRule, isAtomic = false): string {
  return `/api/v1/datasets/${encodeURIComponent(table)}/rows?onConflict=${onConflict}${isAtomic ? '&atomic=true' : ''}`
}

function tableOf(lane: string): string {
  return decodeURIComponent(lane.split('/')[4] as string)
}

/** Not `crypto.randomUUID`, which pages without https do not have. */
function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('')
}

function toClientError(error: unknown): TidemarkClientError {
  if (error instanceof TidemarkClientError) return error
  return new TidemarkClientError('TM_UNEXPECTED', String((error as Error)?.message ?? error), {
    cause: error,
  })
}

function checkOptions(options: ClientOptions): void {
  const refuse = (name: string, problem: string): never => {
    throw new TidemarkClientError('TM_CONFIG', `${name}: ${problem}`)
  }
  if (!URL.canParse(options.url))
    refuse('url', `"${options.url}" is no absolute URL, e.g. "http://127.0.0.1:4680"`)
  for (const name of [
    'maxBatchRows',
    'maxBatchLength',
    'maxBufferedRows',
    'maxBufferedLength',
    'concurrency',
    'maxAttempts',
    'timeoutMs',
  ] as const) {
    const value = options[name] as number
    if (!Number.isInteger(value) || value < 1) refuse(name, `${value} is not a whole number from 1 on`)
  }
  if (!((options.maxDelayMs as number) >= 0)) refuse('maxDelayMs', `${options.maxDelayMs} is not 0 or more`)
  if ((options.maxAttempts as number) > 100) refuse('maxAttempts', `${options.maxAttempts} is more than 100`)
  if (options.whenFull !== 'wait' && options.whenFull !== 'reject') {
    refuse('whenFull', `"${String(options.whenFull)}" is not one of wait, reject`)
  }
}
