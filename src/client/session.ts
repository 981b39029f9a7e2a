import type { Call } from './call.ts'
import type { CallOptions } from './types.ts'

/** Who is asking: docs/guide/access.md. */
export interface Me {
  readonly kind: 'key' | 'token' | 'session' | 'anonymous'
  readonly id: string
  readonly name: string | null
  /** Null with `allTenants`, and for whoever has none. */
  readonly tenant: string | null
  readonly allTenants: boolean
  readonly scopes: readonly ('ingest' | 'query' | 'admin')[]
  /** Null: every one. */
  readonly datasets: readonly string[] | null
  /** ISO 8601; null: never. */
  readonly expiresAt: string | null
}

export interface ColumnInfo {
  readonly name: string
  /** PostgreSQL's: `timestamptz`, `float8`, `jsonb`, … */
  readonly type: string
  readonly nullable: boolean
  readonly hasDefault: boolean
  readonly comment: string | null
}

export interface DatasetInfo {
  readonly name: string
  readonly kind: 'table' | 'hypertable' | 'aggregate'
  /** Its time column; null where it has none. */
  readonly time: string | null
  readonly primaryKey: readonly string[] | null
  readonly comment: string | null
  readonly columns: readonly ColumnInfo[]
  /** Of a continuous aggregate: what it is computed from and what it keeps. Null for tables. */
  readonly aggregate: AggregateInfo | null
}

export interface AggregateInfo {
  /** What it was declared over. */
  readonly from: string
  /** Length of its buckets. */
  readonly bucket: string
  readonly zone: string | null
  readonly keys: readonly string[]
  readonly dimensions: readonly string[]
  /** Its outputs by name, each as in a query. */
  readonly select: Readonly<Record<string, unknown>>
}

/** Signing a browser in and out; an HttpOnly cookie stands for the key from then on. */
export class Session {
  readonly #call: Call

  constructor(call: Call) {
    this.#call = call
  }

  /** @throws TidemarkClientError TM_UNAUTHORIZED without a credential that is good */
  async me(options: CallOptions = {}): Promise<Me> {
    return (await this.#call({ path: '/api/v1/me', signal: options.signal })) as Me
  }

  /**
   * Of a server of the same origin, in browsers.
   *
   * @example
   * await createClient({ url: location.origin }).session.signIn('tm_4fJw0aQz81Tb_…')
   *
   * @throws TidemarkClientError TM_UNAUTHORIZED
   */
  async signIn(keyOrToken: string, options: CallOptions = {}): Promise<{ readonly expiresAt: string }> {
    return (await this.#call({
      method: 'POST',
      path: '/api/v1/session',
      headers: { authorization: `Bearer ${keyOrToken}` },
      signal: options.signal,
    })) as { expiresAt: string }
  }

  async signOut(options: CallOptions = {}): Promise<void> {
    await this.#call({ method: 'DELETE', path: '/api/v1/session', signal: options.signal })
  }
}

export async function listDatasets(call: Call, options: CallOptions): Promise<DatasetInfo[]> {
  return (await call({ path: '/api/v1/datasets', signal: options.signal })) as DatasetInfo[]
}
