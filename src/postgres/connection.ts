import type pg from 'pg'
import { TidemarkError } from '../util/errors.ts'
import { printSqlInline, type Sql } from '../util/sql.ts'
import { Batch, BatchItem, batchItem, rowPieces } from './batch.ts'
import type { Connection, QueryAnswer, QueryOptions, RowPieces } from './contract.ts'
import { CopyIn, CopyOut } from './copy-statements.ts'
import { MessageTap, type TransactionStatus } from './message-tap.ts'
import {
  type ConnectionSettings,
  describeTarget,
  makeClient,
  type PgClient,
  sendCancel,
} from './pg-client.ts'
import { PreparedStatements } from './prepared-statements.ts'
import { Script, type Statement } from './statement.ts'
import {
  cancelledError,
  connectFailure,
  isServerError,
  isStaleStatement,
  translateError,
} from './translate-error.ts'

/** One connection to the server, with statements in the order of their calls. */
export class ServerConnection implements Connection {
  readonly processId: number
  readonly target: string
  /** ms of our own statement_timeout in the open transaction, for the error. */
  statementTimeoutMs: number | null = null
  /** A signal that holds for every statement, for as long as it is set. */
  ambientSignal: AbortSignal | null = null
  readonly #client: PgClient
  readonly #tap: MessageTap
  readonly #settings: ConnectionSettings
  readonly #prepared = new PreparedStatements()
  /**
   * Whether the server process is this connection's own, so that what it has prepared is there the next time. A pooler in between
   * gives clients numbers of its own. Null: nobody has asked yet.
   */
  #hasOwnProcess: boolean | null = null
  #running: Statement | null = null
  #tail: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #lost: Error | null = null
  #wasCancelled = false

  private constructor(client: PgClient, settings: ConnectionSettings, target: string) {
    this.#client = client
    this.#settings = settings
    this.target = target
    this.processId = client.processID
    this.#tap = new MessageTap(client.connection.stream)
    client.on('error', (error) => this.#lose(error))
    client.on('end', () => this.#lose(new Error('the connection was closed')))
  }

  static async open(settings: ConnectionSettings): Promise<ServerConnection> {
    const client = makeClient(settings)
    const target = describeTarget(client)
    // An error after the failed connect would otherwise end the process.
    client.on('error', ignoreLateError)
    try {
      await client.connect()
    } catch (error) {
      client.end().catch(ignoreLateError)
      throw connectFailure(error as Error, { target })
    }
    const connection = new ServerConnection(client, settings, target)
    client.removeListener('error', ignoreLateError)
    return connection
  }

  /** After the last statement: only `I` is clean. */
  get status(): TransactionStatus {
    return this.#tap.status
  }

  /** Whether another user may have it: nothing runs, no transaction is open, no cancel request may still be under way. */
  get isClean(): boolean {
    return !this.#lost && !this.#wasCancelled && this.isQuiet && this.status === 'I'
  }

  /** Nothing runs and nothing waits. */
  get isQuiet(): boolean {
    return this.#waiting === 0
  }

  get isLost(): boolean {
    return this.#lost !== null
  }

  async query(statement: Sql, options: QueryOptions = {}): Promise<QueryAnswer> {
    const item = batchItem(statement, options.name === undefined ? {} : { name: options.name })
    await this.runBatch([item], options)
    return item.answer
  }

  /** All of them in one round trip; the first that fails ends the batch. */
  async runBatch(items: readonly BatchItem[], options: QueryOptions = {}): Promise<void> {
    if (this.#hasOwnProcess !== null || !items.some(({ isRepeated }) => isRepeated))
      return this.#run(new Batch(items, this.#hasOwnProcess ? this.#prepared : null), options)
    const process = new BatchItem('select pg_catalog.pg_backend_pid()')
    await this.#run(new Batch([...items, process]), options)
    this.#hasOwnProcess = process.answer.rows[0]?.[0] === this.processId
  }

  cursor(statement: Sql, options: QueryOptions = {}): RowPieces {
    return rowPieces(statement, (item) => this.runBatch([item], options))
  }

  /** BEGIN and `items` in one round trip. To be repeated whatever happens to it, so only for what reads. */
  async beginReading(
    clauses: string,
    items: readonly BatchItem[],
    options: QueryOptions = {},
  ): Promise<void> {
    const begin = (): Promise<void> => this.runBatch([new BatchItem(`begin ${clauses}`), ...items], options)
    try {
      await this.#repeatable(begin)
    } catch (error) {
      // the failed batch has forgotten what was kept
      if (!isStaleStatement(error) || this.#lost) throw error
      await this.execute('rollback')
      for (const item of items) item.reset()
      await this.#repeatable(begin)
    }
  }

  async execute(script: string | Sql): Promise<void> {
    await this.executeTagged(script)
  }

  /** As execute; gives the last command tag (`COMMIT`, or `ROLLBACK` where a COMMIT met a failed transaction). */
  async executeTagged(script: string | Sql): Promise<string> {
    const run = new Script(typeof script === 'string' ? script : printSqlInline(script))
    await this.#run(run, {})
    return run.tag
  }

  /** A script that changes nothing by itself (BEGIN), so that it may be repeated whatever happens to it. */
  begin(script: string): Promise<void> {
    return this.#repeatable(() => this.execute(script))
  }

  async #repeatable(run: () => Promise<void>): Promise<void> {
    try {
      await run()
    } catch (error) {
      if (error instanceof TidemarkError && error.code === 'TM_COMMIT_UNKNOWN')
        throw connectFailure(error.cause as Error, this)
      throw error
    }
  }

  async copyFrom(
    statement: Sql,
    source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
    options: QueryOptions = {},
  ): Promise<number> {
    const run = new CopyIn(printSqlInline(statement))
    const settled = this.#run(run, options, () => run.fail('cancelled'))
    settled.catch(() => {})
    await run.ready
    let sourceProblem: { readonly error: unknown } | null = null
    try {
      if (run.isOpen) {
        for await (const chunk of source) {
          if (!run.isOpen) break
          await run.write(chunk)
        }
      }
      run.finish()
    } catch (error) {
      sourceProblem = { error }
      run.fail('the source of the rows failed')
    }
    try {
      await settled
    } catch (error) {
      // The server's refusal is then only the echo of our own CopyFail.
      if (!sourceProblem || this.isLost) throw error
    }
    if (sourceProblem) throw sourceProblem.error
    return run.rowCount
  }

  async *copyTo(statement: Sql, options: QueryOptions = {}): AsyncGenerator<Uint8Array, void, undefined> {
    const run = new CopyOut(printSqlInline(statement))
    const settled = this.#run(run, options)
    let isSettled = false
    const end = settled.then(
      () => {
        isSettled = true
      },
      () => {
        isSettled = true
      },
    )
    try {
      for (;;) {
        const chunk = run.take()
        if (chunk) yield chunk
        else if (isSettled) break
        else await Promise.race([run.waitForMore(), end])
      }
      await settled
    } finally {
      if (!isSettled) {
        run.drop()
        await this.#cancel(run)
        await end
      }
    }
  }

  /** Closes the socket; the server rolls back what was open. */
  destroy(): void {
    this.#client.connection.stream.destroy()
    this.#lose(new Error('the connection was closed'))
  }

  /** Closes the socket; a statement that still runs is stopped, which the server would not notice otherwise. */
  async abandon(): Promise<void> {
    const running = this.#running
    if (running && !this.#lost) {
      if (running instanceof CopyIn) running.fail('the connection was given back')
      const problem = 'the connection was given back while this statement ran; await it before that'
      running.handleError(new TidemarkError('TM_DATABASE', { sqlstate: '08003', problem }))
      await this.#cancel(running)
    }
    this.destroy()
  }

  /** Says good-bye. */
  async end(): Promise<void> {
    await this.#client.end()
  }

  ref(): void {
    this.#client.connection.stream.ref()
  }

  unref(): void {
    this.#client.connection.stream.unref()
  }

  #run(statement: Statement, options: QueryOptions, onAbort?: () => void): Promise<void> {
    const previous = this.#tail
    this.#waiting += 1
    const run = previous
      .then(() => this.#runNow(statement, eitherSignal(options.signal, this.ambientSignal), onAbort))
      .finally(() => {
        this.#waiting -= 1
      })
    this.#tail = run.catch(() => {})
    return run
  }

  async #runNow(statement: Statement, signal: AbortSignal | null, onAbort?: () => void): Promise<void> {
    if (signal?.aborted || this.#lost) {
      const problem = signal?.aborted
        ? cancelledError(signal, 'the statement')
        : connectFailure(this.#lost!, this)
      statement.settle(problem)
      throw problem
    }
    if (statement.text.includes('\0'))
      throw new TidemarkError('TM_DATABASE', {
        sqlstate: '22021',
        problem: 'the text of a statement has a NUL character, which PostgreSQL does not take',
      })
    // Outside a transaction each statement commits by itself.
    const commitsItself = this.status === 'I'
    let cancelling: Promise<void> | null = null
    const abort = () => {
      onAbort?.()
      cancelling = this.#cancel(statement)
    }
    signal?.addEventListener('abort', abort, { once: true })
    this.#running = statement
    this.#tap.statement = statement
    try {
      this.#client.query(statement as unknown as pg.Submittable)
      await statement.done
    } catch (error) {
      // A lost answer is not a lost statement: it may have been committed, also when it was to be cancelled.
      if (commitsItself && this.#lost && !isServerError(error) && !(error instanceof TidemarkError))
        throw new TidemarkError('TM_COMMIT_UNKNOWN', { target: this.target }, { cause: error })
      if (cancelling && signal) {
        const isEcho = !isServerError(error) || error.code === '57014'
        if (isEcho) throw cancelledError(signal, 'the statement', error)
      }
      throw translateError(error, { target: this.target, statementTimeoutMs: this.statementTimeoutMs })
    } finally {
      signal?.removeEventListener('abort', abort)
      this.#running = null
      this.#tap.statement = null
      await cancelling
    }
  }

  /**
   * Asks the server over a second connection to stop the statement, again and again until it has: a request that
   * overtakes its statement finds nothing to stop. One may also come late and hit the next statement, so a connection
   * that was cancelled is never used by anyone else.
   */
  async #cancel(statement: Statement): Promise<void> {
    this.#wasCancelled = true
    let isDone = false
    const done = statement.done
      .catch(() => {})
      .then(() => {
        isDone = true
      })
    const limit = setTimeout(() => this.destroy(), this.#settings.cancelTimeoutMs)
    try {
      for (let waitMs = 20; !isDone; waitMs = Math.min(waitMs * 2, 500)) {
        await sendCancel(this.#client, this.#settings)
        let timer: NodeJS.Timeout | undefined
        const pause = new Promise<void>((resolve) => {
          timer = setTimeout(resolve, waitMs)
        })
        await Promise.race([done, pause])
        clearTimeout(timer)
      }
    } catch {
      // The server cannot be told: closing the socket is the only way left to stop waiting for it.
      this.destroy()
    } finally {
      clearTimeout(limit)
    }
  }

  #lose(error: Error): void {
    this.#lost ??= error
    this.#running?.settle(this.#lost)
  }
}

function ignoreLateError(): void {}

function eitherSignal(
  one: AbortSignal | null | undefined,
  other: AbortSignal | null | undefined,
): AbortSignal | null {
  if (!one || !other || one === other) return one ?? other ?? null
  return AbortSignal.any([one, other])
}
