import type { Answer, WhereInput } from '../query/index.ts'
import type {
  ColumnNames,
  ColumnTypeOf,
  KeyOf,
  Row,
  StoredDefinition,
  TenantColumn,
  TidemarkConfig,
  UpdateRow,
} from '../schema/index.ts'
import { TidemarkClientError } from './errors.ts'
import type { Reply, RequestSpec } from './http.ts'
import type { CallOptions, ClientRow, Named } from './types.ts'
import { decodeRows, encodeQuery, encodeRow } from './values.ts'

/** What `client.records` is about: a declaration, or what is declared by that name. */
export type RecordsOf<C extends TidemarkConfig, T> = T extends string ? Named<C, T> : T

type WithoutMicros<D, T> = {
  readonly [K in keyof T]: K extends ColumnNames<D>
    ? ColumnTypeOf<D, K> extends 'timestamptz'
      ? Exclude<T[K], bigint>
      : T[K]
    : T[K]
}
/** The key's columns; the tenant may be left out by a caller who has one. A row has them, too. */
export type RecordKey<D> = [KeyOf<D>] extends [never]
  ? Readonly<Record<string, unknown>>
  : string extends TenantColumn<D>
    ? WithoutMicros<D, KeyOf<D>>
    : WithoutMicros<
        D,
        Omit<KeyOf<D>, TenantColumn<D>> & Partial<Pick<KeyOf<D>, TenantColumn<D> & keyof KeyOf<D>>>
      >

export interface ListOptions<D, Fields extends ColumnNames<D> = ColumnNames<D>> extends CallOptions {
  readonly where?: WhereInput<D>
  /** Hypertables: the first instant, and the end, which is not in it. */
  readonly from?: Date | string
  readonly to?: Date | string
  /** Columns, `-` for descending; nulls are last. Then by the key. */
  readonly sort?: readonly (ColumnNames<D> | `-${ColumnNames<D>}`)[]
  /** Default: every column. */
  readonly fields?: readonly Fields[]
  /** Rows of a page, 1 to 1,000. Default 100. */
  readonly limit?: number
  readonly cursor?: string | null
  /** Also how many rows match on all pages. */
  readonly count?: boolean
}

export interface Page<R> {
  readonly rows: readonly R[]
  /** Goes on behind the last row; null: there are no more. */
  readonly cursor: string | null
  /** Null where it was not asked for. */
  readonly count: number | null
}

export interface WriteOptions extends CallOptions {
  /**
   * Which version of the row this is for. Default: the one that a row was read with, where one stands for the key; null: whatever
   * it is, the last write wins.
   */
  readonly version?: string | null
}

export interface BulkFailure {
  /** Place in the list, from 0. */
  readonly index: number
  readonly status: number
  readonly code: string
  readonly detail: string
  readonly params: unknown
}

/** Rows of a create or upsert, changes of a patch, keys of a delete. */
export type BulkItems<D> =
  | { readonly op: 'create' | 'upsert'; readonly rows: readonly ClientRow<D>[] }
  | {
      readonly op: 'patch'
      readonly rows: readonly {
        readonly key: RecordKey<D>
        readonly set: WithoutMicros<D, UpdateRow<D>>
        readonly version?: string
      }[]
    }
  | {
      readonly op: 'delete'
      readonly rows: readonly { readonly key: RecordKey<D>; readonly version?: string }[]
    }

export interface BulkOptions extends CallOptions {
  /** All or none. Default false. */
  readonly atomic?: boolean
  /** Whether the rows come back. Default 'none'. */
  readonly return?: 'none' | 'rows'
}

export interface BulkReport<R> {
  readonly created: number
  readonly updated: number
  readonly deleted: number
  readonly failed: readonly BulkFailure[]
  /** In the order of what was given, null for what failed; empty where they were not asked for. */
  readonly rows: readonly (R | null)[]
}

interface Shape {
  readonly name: string
  readonly key: readonly string[]
  readonly columns: Answer['columns']
}

interface Door {
  ask(spec: RequestSpec): Promise<Reply>
  readonly maxAttempts: number
}

/** Versions of rows that were read, for as long as somebody has the row. */
const versions = new WeakMap<object, string>()

/** Nothing has been done yet when the server itself says that it may be tried again. */
const refusedForNow = ({ retryable, status }: TidemarkClientError): boolean =>
  retryable && status !== null && status !== 504
const mayAskAgain = ({ retryable, status }: TidemarkClientError): boolean => retryable && status !== 504

/** The rows of one table by their key; made by `client.records`. */
export class Records<D> {
  readonly #door: Door
  readonly #name: string
  #shape: Promise<Shape> | null

  /** @internal */
  constructor(door: Door, table: string | StoredDefinition) {
    this.#door = door
    this.#name = typeof table === 'string' ? table : table.name
    this.#shape = typeof table === 'string' ? null : Promise.resolve(shapeOf(table))
  }

  /** The version that a row was read with; undefined for what is no such row. */
  versionOf(row: object): string | undefined {
    return versions.get(row)
  }

  /**
   * One page.
   *
   * @throws TidemarkClientError the server's, TM_NO_ANSWER, TM_CLOSED
   */
  async list<Fields extends ColumnNames<D> = ColumnNames<D>>(
    options: ListOptions<D, Fields> = {},
  ): Promise<Page<Pick<Row<D>, Fields & keyof Row<D>>>> {
    const { columns } = await this.#described(options.signal)
    const { body } = await this.#read(
      `records?${parametersOf(options as ListOptions<unknown>)}`,
      options.signal,
    )
    const page = body as { rows: object[]; cursor: string | null; versions?: string[]; count?: number }
    decode(columns, page.rows)
    page.rows.forEach((row, i) => {
      const version = page.versions?.[i]
      if (version !== undefined) versions.set(row, version)
    })
    return { rows: page.rows as never, cursor: page.cursor, count: page.count ?? null }
  }

  /**
   * Page after page.
   *
   * @example
   * for await (const { rows } of keywords.pages({ where: { active: true } })) for (const row of rows) …
   */
  async *pages<Fields extends ColumnNames<D> = ColumnNames<D>>(
    options: ListOptions<D, Fields> = {},
  ): AsyncGenerator<Page<Pick<Row<D>, Fields & keyof Row<D>>>, void, undefined> {
    for (let cursor = options.cursor ?? null; ; ) {
      const page = await this.list<Fields>({ ...options, cursor })
      yield page
      cursor = page.cursor
      if (cursor === null) return
    }
  }

  /** Null where there is none of that key. */
  async get(key: RecordKey<D>, options: CallOptions = {}): Promise<Row<D> | null> {
    try {
      return await this.#rowOf(await this.#read(await this.#path(key, options.signal), options.signal))
    } catch (error) {
      if (error instanceof TidemarkClientError && error.code === 'TM_NOT_FOUND') return null
      throw error
    }
  }

  /**
   * A new row, with its defaults.
   *
   * @throws TidemarkClientError TM_DUPLICATE_KEY, TM_ROW, …
   */
  async create(row: ClientRow<D>, options: CallOptions = {}): Promise<Row<D>> {
    return this.#rowOf(await this.#write('POST', 'records', encodeRow(row, 0), {}, options.signal))
  }

  /**
   * New values of some columns; the others stay, null is null. A row that was read is changed only while it is that version.
   *
   * @throws TidemarkClientError TM_VERSION, TM_NOT_FOUND, TM_ROW, …
   */
  async update(
    key: RecordKey<D> | Row<D>,
    set: WithoutMicros<D, UpdateRow<D>>,
    options: WriteOptions = {},
  ): Promise<Row<D>> {
    const path = await this.#path(key as object, options.signal)
    const body = encodeRow(set, 0)
    return this.#rowOf(
      await this.#write('PATCH', path, body, ifMatch(key as object, options), options.signal),
    )
  }

  /**
   * The whole row, new or in place of the one of its key; what is left out gets its default.
   *
   * @throws TidemarkClientError TM_VERSION, TM_ROW, …
   */
  async replace(
    row: ClientRow<D> | Row<D>,
    options: WriteOptions & {
      /** Only where there is none of its key. Default false. */
      readonly isNew?: boolean
    } = {},
  ): Promise<Row<D>> {
    const path = await this.#path(row as object, options.signal)
    const headers = options.isNew === true ? { 'if-none-match': '*' } : ifMatch(row as object, options)
    return this.#rowOf(await this.#write('PUT', path, encodeRow(row as object, 0), headers, options.signal))
  }

  /** @throws TidemarkClientError TM_VERSION, TM_NOT_FOUND */
  async delete(key: RecordKey<D> | Row<D>, options: WriteOptions = {}): Promise<void> {
    const path = await this.#path(key as object, options.signal)
    await this.#write('DELETE', path, '', ifMatch(key as object, options), options.signal)
  }

  /**
   * Many at once, at most 10,000. Those that can be done are, and `failed` says which are not.
   *
   * @example
   * const { failed } = await keywords.bulk({ op: 'create', rows: phrases.map((phrase) => ({ phrase })) })
   */
  async bulk(items: BulkItems<D>, options: BulkOptions = {}): Promise<BulkReport<Row<D>>> {
    const { columns } = await this.#described(options.signal)
    const { signal, ...flags } = options
    const { body } = await this.#write('POST', 'bulk', encodeQuery({ ...items, ...flags }), {}, signal)
    const report = body as Omit<BulkReport<Row<D>>, 'rows'> & {
      rows?: (object | null)[]
      versions?: string[]
    }
    const rows = report.rows ?? []
    decode(
      columns,
      rows.filter((row) => row !== null),
    )
    rows.forEach((row, i) => {
      if (row !== null) versions.set(row, report.versions![i]!)
    })
    const { created, updated, deleted, failed } = report
    return { created, updated, deleted, failed, rows: rows as never }
  }

  async #rowOf({ body, headers }: Reply): Promise<Row<D>> {
    const { columns } = await this.#described(undefined)
    decode(columns, [body as object])
    const tag = /^"(.*)"$/.exec(headers.get('etag') ?? '')?.[1]
    if (tag !== undefined) versions.set(body as object, tag)
    return body as Row<D>
  }

  /** The columns and the key: asked once, where only a name is known. */
  #described(signal: AbortSignal | undefined): Promise<Shape> {
    this.#shape ??= this.#read('', signal).then(
      ({ body }) => shapeOf(body as Parameters<typeof shapeOf>[0]),
      (error) => {
        this.#shape = null
        throw error
      },
    )
    return this.#shape
  }

  async #path(key: object, signal: AbortSignal | undefined): Promise<string> {
    const { key: names, name } = await this.#described(signal)
    const given = key as Readonly<Record<string, unknown>>
    const parts = names.filter((column) => given[column] !== undefined).map((column) => partOf(given[column]))
    if (parts.length === 0)
      throw new TidemarkClientError('TM_VALUE', `a key of ${name} is made of ${names.join(', ')}`)
    return `records/${parts.join(',')}`
  }

  #read(path: string, signal: AbortSignal | undefined): Promise<Reply> {
    return this.#door.ask({
      method: 'GET',
      path: this.#url(path),
      contentType: '',
      body: '',
      headers: {},
      maxAttempts: this.#door.maxAttempts,
      signal,
      mayRetry: mayAskAgain,
    })
  }

  #write(
    method: 'POST' | 'PUT' | 'PATCH' | 'DELETE',
    path: string,
    body: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<Reply> {
    return this.#door.ask({
      method,
      path: this.#url(path),
      contentType: 'application/json',
      body,
      headers,
      maxAttempts: this.#door.maxAttempts,
      signal,
      mayRetry: refusedForNow,
    })
  }

  #url(path: string): string {
    return `/api/v1/datasets/${encodeURIComponent(this.#name)}${path === '' ? '' : `/${path}`}`
  }
}

function shapeOf({
  name,
  primaryKey,
  columns,
}: {
  readonly name: string
  readonly primaryKey: readonly string[] | null
  readonly columns: Readonly<Record<string, { readonly type: string }>> | Shape['columns']
}): Shape {
  return {
    name,
    key: primaryKey ?? [],
    columns: (Array.isArray(columns)
      ? columns
      : Object.entries(columns).map(([column, { type }]) => ({ name: column, type }))) as Shape['columns'],
  }
}

/** Rows may have some of the columns only, all the same ones. */
function decode(columns: Shape['columns'], rows: readonly object[]): void {
  const [first] = rows
  if (first === undefined) return
  decodeRows(
    rows,
    columns.filter(({ name }) => Object.hasOwn(first, name)),
  )
}

function ifMatch(key: object, { version }: WriteOptions): Record<string, string> {
  const meant = version === undefined ? versions.get(key) : version
  return meant === undefined || meant === null ? {} : { 'if-match': `"${meant}"` }
}

/** A part of a key in a path: what proxies and browsers would change in one is base64url behind "~". */
function partOf(value: unknown): string {
  const text = value instanceof Date ? value.toISOString() : String(value)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are meant
  if (!/^$|^\.+$|^~|[/\\\u0000-\u001f\u007f]/.test(text)) return encodeURIComponent(text)
  const bytes = String.fromCharCode(...new TextEncoder().encode(text))
  return `~${btoa(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')}`
}

function parametersOf({ where, sort, fields, from, to, limit, cursor, count }: ListOptions<unknown>): string {
  const parameters = new URLSearchParams({ versions: 'true' })
  const set = (name: string, value: unknown): void => {
    if (value !== undefined && value !== null) parameters.append(name, String(value))
  }
  if (where !== undefined) set('where', encodeQuery(where as object))
  for (const name of sort ?? []) set('sort', name)
  for (const name of fields ?? []) set('fields', name)
  set('from', from instanceof Date ? from.toISOString() : from)
  set('to', to instanceof Date ? to.toISOString() : to)
  set('limit', limit)
  set('cursor', cursor)
  if (count === true) set('count', true)
  return parameters.toString()
}
