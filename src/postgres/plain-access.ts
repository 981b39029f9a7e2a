import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import { TidemarkError } from '../util/errors.ts'
import { cancelledError, translateError } from './translate-error.ts'

export interface PlainAccessOptions {
  readonly connectionString: string
  /** For messages; without the password. */
  readonly target: string
  /** Connections at most, besides those of the engine; made when first used. */
  readonly max: number
  /** From PostgreSQL's text of a timestamptz, whatever the session's zone, to the form of an answer. */
  readonly formatTimestamp: (text: string) => string
}

/** A statement that somebody has written. */
export interface PlainStatement {
  readonly text: string
  readonly parameters: readonly unknown[]
  /** Run before it in its transaction, for settings. */
  readonly opening: string
  readonly timeoutMs: number
  readonly maxRows: number
  readonly maxBytes: number
  readonly signal: AbortSignal | null
}

export interface PlainRows {
  /** As PostgreSQL names them; several may have one name. */
  readonly columns: readonly string[]
  readonly rows: readonly (readonly unknown[])[]
}

/** SQL as text, and Kysely, over a few connections of their own. */
export interface PlainAccess<DB> {
  readonly kysely: Kysely<DB>
  /**
   * In a transaction of its own, which is taken back when it fails, also by a limit.
   *
   * @throws TidemarkError TM_LIMIT with more rows or bytes than it may have; TM_TIMEOUT, TM_CANCELLED, TM_DATABASE, …
   */
  run(statement: PlainStatement): Promise<PlainRows>
  close(): Promise<void>
}

/** Types whose text pg would turn into something that loses digits, by OID. */
const oid = { int8: 20, date: 1082, timestamptz: 1184 }

/**
 * Values have the form that answers have: timestamptz as ISO text in UTC with every digit, int8 as bigint, numeric as decimal text,
 * date as `YYYY-MM-DD`.
 *
 * @example
 * const access = createPlainAccess<Database<typeof config>>({ connectionString, target, max: 4, formatTimestamp })
 * await access.kysely.selectFrom('metrics.cpu').selectAll().limit(10).execute()
 * await access.close()
 */
export function createPlainAccess<DB>(options: PlainAccessOptions): PlainAccess<DB> {
  const { connectionString, target, max, formatTimestamp } = options
  const types = new pg.TypeOverrides()
  types.setTypeParser(oid.int8, BigInt)
  types.setTypeParser(oid.date, (text: string) => text)
  types.setTypeParser(oid.timestamptz, formatTimestamp)
  const pool = new pg.Pool({ connectionString, max, types, allowExitOnIdle: true })
  // What the server ends is told to whoever waits for an answer; as an event of its own, which nobody hears, it would end the process.
  pool.on('connect', (client) => client.on('error', () => {}))
  pool.on('error', () => {})
  const kysely = new Kysely<DB>({ dialect: new PostgresDialect({ pool }) })
  return {
    kysely,
    async run(statement) {
      const { signal, timeoutMs } = statement
      if (signal?.aborted) throw cancelledError(signal, 'the statement')
      const explained = (error: unknown): TidemarkError =>
        translateError(error, { target, statementTimeoutMs: timeoutMs })
      const client = await pool.connect().catch((error: unknown) => {
        throw explained(error)
      })
      let pid: number | null = null
      try {
        await client.query('begin')
        await client.query(statement.opening)
        const { rows: backend } = await client.query<{ pid: number }>(
          `select pg_backend_pid() as pid, set_config('statement_timeout', '${timeoutMs}', true)`,
        )
        pid = (backend[0] as { pid: number }).pid
        const rows = await collect(client, statement)
        await client.query('commit')
        client.release()
        return rows
      } catch (error) {
        // The server takes the transaction back when the connection ends; but what computes and sends nothing does not notice.
        client.release(true)
        if (pid !== null && error instanceof TidemarkError)
          await pool.query('select pg_cancel_backend($1)', [pid]).catch(() => null)
        throw explained(error)
      }
    },
    async close() {
      await kysely.destroy()
      // Kysely ends it only when it has used it
      if (!pool.ending) await pool.end()
    },
  }
}

function collect(client: pg.PoolClient, statement: PlainStatement): Promise<PlainRows> {
  const { text, parameters, maxRows, maxBytes, signal } = statement
  return new Promise((resolve, reject) => {
    const rows: unknown[][] = []
    let bytes = 0
    let isOver = false
    const fail = (error: unknown): void => {
      isOver = true
      signal?.removeEventListener('abort', stop)
      reject(error as Error)
    }
    const stop = (): void => fail(cancelledError(signal as AbortSignal, 'the statement'))
    if (signal?.aborted) return stop()
    signal?.addEventListener('abort', stop)
    // With parameters or without as one statement: several would be one transaction, and which rows are meant nobody could tell.
    const config = { text, values: [...parameters], rowMode: 'array', queryMode: 'extended' }
    const query = new pg.Query<unknown[]>(config)
    query.on('row', (row) => {
      // what still comes until the connection has ended
      if (isOver) return
      bytes += roughBytes(row)
      if (rows.length === maxRows) fail(tooManyRows(maxRows))
      else if (bytes > maxBytes) fail(tooManyBytes(maxBytes))
      else rows.push(row)
    })
    query.on('error', fail)
    query.on('end', (result) => {
      if (isOver) return
      signal?.removeEventListener('abort', stop)
      resolve({ columns: result.fields.map(({ name }) => name), rows })
    })
    client.query(query)
  })
}

/** In memory, about. */
function roughBytes(value: unknown): number {
  if (typeof value === 'string') return 16 + value.length
  if (typeof value !== 'object' || value === null) return 8
  if (ArrayBuffer.isView(value)) return 16 + value.byteLength
  let bytes = 16
  for (const inner of Object.values(value)) bytes += 8 + roughBytes(inner)
  return bytes
}

function tooManyRows(maxRows: number): TidemarkError {
  return new TidemarkError('TM_LIMIT', {
    what: 'the number of rows of the statement',
    value: 'more',
    limit: String(maxRows),
    todo: 'add a limit to it, or allow more: maxRows of the call (tidemark sql --max-rows), or limits.maxRows',
  })
}

function tooManyBytes(maxBytes: number): TidemarkError {
  return new TidemarkError('TM_LIMIT', {
    what: 'the size of the rows of the statement',
    value: 'more',
    limit: `${maxBytes} bytes`,
    todo: 'ask for fewer rows or columns, or raise limits.maxAnswerBytes',
  })
}
