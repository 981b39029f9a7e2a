import { setTimeout as sleep } from 'node:timers/promises'
import { timestamptzText } from '../../changelog/index.ts'
import { type Connection, type Database, retry, sqlstateOf } from '../../postgres/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import { type Instant, infinityInstant, minusInfinityInstant } from '../../time/index.ts'
import { isTidemarkError, TidemarkError } from '../../util/errors.ts'
import { identifier, raw, sql } from '../../util/sql.ts'
import { chunkSchema, relationName, text } from '../table-ddl.ts'
import { inTransaction, isLockProblem, withMigrationLock } from '../transaction.ts'
import { findBlockers, findCatalogBlockers } from './blockers.ts'
import { catchUp, chunksOf, conversionTriggers, createQueue, queueLength } from './queue.ts'
import { advance, type Conversion, conversionNames, findConversion, insertConversion } from './record.ts'
import {
  copyStatement,
  createShadow,
  createTimeIndex,
  ensureChunks,
  imageSql,
  shadowIndexes,
} from './shadow.ts'
import { describeLockHolders, waitForOlderSnapshots } from './snapshots.ts'
import { readSource, type Source } from './source.ts'
import {
  assertUnchanged,
  equipShadow,
  fenceTrigger,
  lockAllStatement,
  lockWritersStatement,
  partitionsOf,
  swap,
} from './swap.ts'

export interface ConversionProgress {
  readonly relation: string
  readonly phase:
    | 'preparing'
    | 'copying'
    | 'indexing'
    | 'catching up'
    | 'verifying'
    | 'swapping'
    | 'finishing'
  readonly rowsCopied: bigint
  readonly estimatedRows: number
  /** Why the phase goes on, when it waits for somebody. */
  readonly waitsFor: string | null
}

export interface ConvertOptions {
  /** Rows that are copied, or entries that are caught up with, in one transaction. Default 50,000. */
  readonly batchRows?: number
  /** ms, default 200: who waits for a lock blocks everybody behind. */
  readonly lockTimeoutMs?: number
  /** How long writers may be held back at the swap while older snapshots end. ms, default 1,000. */
  readonly settleMs?: number
  /** How long to try for the locks of the beginning and of the swap. ms, default 3,600,000. */
  readonly patienceMs?: number
  /** How long to wait at the end for transactions that began before the swap. ms, default 60,000. */
  readonly finishMs?: number
  /** Reads both tables once and compares them bit by bit before the swap. Default true. */
  readonly verify?: boolean
  /** Drops the old table at the end instead of keeping it as `<table>_before_tidemark`. Default false. */
  readonly dropOld?: boolean
  readonly onProgress?: (progress: ConversionProgress) => void
  readonly signal?: AbortSignal | null
}

export const convertDefaults = Object.freeze({
  batchRows: 50_000,
  lockTimeoutMs: 200,
  settleMs: 1_000,
  patienceMs: 3_600_000,
  finishMs: 60_000,
  verify: true,
  dropOld: false,
}) satisfies Readonly<Partial<ConvertOptions>>

export interface ConversionReport {
  readonly relation: string
  readonly rowsCopied: bigint
  /** How often the swap was tried. 0 when an earlier run had swapped. */
  readonly swapTries: number
  /** ms that writers and readers were kept out at the swap; null when an earlier run had swapped. */
  readonly writersHeldMs: number | null
  readonly readersHeldMs: number | null
  /** The old table, or null when it was dropped. */
  readonly keptAs: string | null
  /** What is left: older transactions still run; the next migration finishes. Null when nothing is. */
  readonly unfinished: string | null
}

/**
 * Turns an existing table with rows into a hypertable, in place, while it is read and written. Can be killed at any
 * instruction and called again; several calls at once exclude each other. See docs/design/conversion.md.
 *
 * Needs a pool of at least two connections to the server itself, not through PgBouncer.
 *
 * @example
 * const report = await convertTable(db, requests, { onProgress: ({ phase, rowsCopied }) => show(phase, rowsCopied) })
 *
 * Errors: TM_MIGRATION with the list of what stands in the way (before anything is begun), TM_BUSY when the locks
 * were not to be had or another process converts, TM_CANCELLED.
 */
export async function convertTable(
  db: Database,
  definition: HypertableDefinition,
  options: ConvertOptions = {},
): Promise<ConversionReport> {
  const lock = { what: `converting ${definition.name}`, waitMs: 2_000, signal: options.signal ?? null }
  return withMigrationLock(db, conversionLock(definition), lock, (connection) =>
    new Run(db, connection, definition, options).run(),
  )
}

/**
 * Takes everything back that a conversion has begun: triggers, queue, copied rows. The source stays as it is.
 * Does nothing when there is none; refuses after the swap (TM_MIGRATION).
 */
export async function cancelConversion(
  db: Database,
  definition: HypertableDefinition,
  options: Pick<ConvertOptions, 'lockTimeoutMs' | 'patienceMs' | 'signal'> = {},
): Promise<boolean> {
  const lock = {
    what: `cancelling the conversion of ${definition.name}`,
    waitMs: 2_000,
    signal: options.signal ?? null,
  }
  return withMigrationLock(db, conversionLock(definition), lock, (connection) =>
    new Run(db, connection, definition, options).cancel(),
  )
}

/** Of `withMigrationLock`: one lock for each table. */
function conversionLock(definition: HypertableDefinition): readonly [number, number] {
  let hash = 0
  for (const character of definition.name) hash = (Math.imul(hash, 31) + character.codePointAt(0)!) | 0
  return [0x74696466, hash]
}

type Settings = Required<Omit<ConvertOptions, 'onProgress' | 'signal'>>

/** One run of a conversion: from where it was left to its end. All of its state is in the catalog. */
class Run {
  readonly #db: Database
  readonly #connection: Connection
  readonly #definition: HypertableDefinition
  readonly #settings: Settings
  readonly #signal: AbortSignal | null
  readonly #onProgress: (progress: ConversionProgress) => void
  #rowsCopied = 0n
  #estimatedRows = 0
  #swapTries = 0
  #writersHeldMs: number | null = null
  #readersHeldMs: number | null = null

  constructor(
    db: Database,
    connection: Connection,
    definition: HypertableDefinition,
    options: ConvertOptions,
  ) {
    const { onProgress, signal, ...given } = options
    this.#db = db
    this.#connection = connection
    this.#definition = definition
    this.#settings = { ...convertDefaults, ...given }
    this.#signal = signal ?? null
    this.#onProgress = onProgress ?? (() => {})
  }

  async run(): Promise<ConversionReport> {
    if (!(await this.#find())) await this.#begin()
    for (;;) {
      this.#assertGoing()
      const conversion = await this.#find()
      if (!conversion) throw new Error('a conversion that was begun is gone')
      this.#rowsCopied = conversion.rowsCopied
      const handler = {
        preparing: () => this.#prepare(conversion),
        copying: () => this.#copy(conversion),
        indexing: () => this.#index(conversion),
        'catching-up': () => this.#catchUpAndSwap(conversion),
        finishing: () => this.#finish(conversion),
        done: () => undefined,
        cancelled: () => undefined,
      }[conversion.state]
      const result = await handler()
      if (conversion.state === 'finishing')
        return {
          relation: this.#definition.name,
          rowsCopied: this.#rowsCopied,
          swapTries: this.#swapTries,
          writersHeldMs: this.#writersHeldMs,
          readersHeldMs: this.#readersHeldMs,
          keptAs: this.#settings.dropOld && !result ? null : `${conversion.schema}.${conversion.oldTable}`,
          unfinished: result ?? null,
        }
    }
  }

  async cancel(): Promise<boolean> {
    const conversion = await this.#find()
    if (!conversion) return false
    await this.#cancel(conversion)
    return true
  }

  #find(): Promise<Conversion | null> {
    return findConversion(this.#connection, this.#definition)
  }

  #assertGoing(): void {
    if (this.#signal?.aborted)
      throw new TidemarkError('TM_CANCELLED', { what: this.#what }, { cause: this.#signal.reason })
  }

  get #what(): string {
    return `converting ${this.#definition.name}`
  }

  #tell(phase: ConversionProgress['phase'], waitsFor: string | null = null): void {
    this.#onProgress({
      relation: this.#definition.name,
      phase,
      rowsCopied: this.#rowsCopied,
      estimatedRows: this.#estimatedRows,
      waitsFor,
    })
  }

  async #source(): Promise<Source> {
    const source = await readSource(this.#connection, this.#definition)
    this.#estimatedRows = source.estimatedRows
    return source
  }

  async #unchangedSource(conversion: Conversion): Promise<Source> {
    await assertUnchanged(this.#connection, conversion, this.#definition)
    return this.#source()
  }

  /** Short locks, tried again for as long as patience lasts. */
  async #patiently<T>(
    what: string,
    phase: ConversionProgress['phase'],
    attempt: () => Promise<T>,
  ): Promise<T> {
    const end = Date.now() + this.#settings.patienceMs
    for (let tries = 1; ; tries += 1) {
      this.#assertGoing()
      try {
        return await attempt()
      } catch (error) {
        if (!isLockProblem(error)) throw error
        const lastProblem = await this.#describeLocks()
        this.#tell(phase, lastProblem)
        if (Date.now() >= end)
          throw new TidemarkError('TM_BUSY', { what, tries, lastProblem }, { cause: error })
      }
      await this.#pause(Math.min(2_000, 50 * 2 ** tries))
    }
  }

  async #describeLocks(): Promise<string> {
    const name = text(relationName(this.#definition))
    const { rows } = await this.#connection.query(sql`select to_regclass(${name}::text)::oid`)
    const oid = rows[0]![0] as number | null
    return oid === null ? 'the table is gone' : describeLockHolders(this.#connection, oid)
  }

  /** A random part of the time ("full jitter"); ends early when the signal aborts. */
  async #pause(mostMs: number): Promise<void> {
    const options = this.#signal ? { signal: this.#signal } : {}
    await sleep(Math.random() * mostMs, undefined, options).catch(() => {})
  }

  #transaction<T>(use: () => Promise<T>): Promise<T> {
    return inTransaction(this.#connection, { lockTimeoutMs: this.#settings.lockTimeoutMs }, use)
  }

  // Nothing is written before everything that could stand in the way was looked at, and the whole way was gone once
  // with an empty table, up to the swap, and rolled back.
  async #begin(): Promise<void> {
    this.#tell('preparing')
    const source = await this.#source()
    const blockers = await findBlockers(this.#connection, this.#definition, source)
    if (blockers.length === 0) blockers.push(...(await this.#rehearse(source)))
    if (blockers.length > 0) throw this.#blocked(blockers)
    try {
      await this.#transaction(() =>
        insertConversion(this.#connection, this.#definition, source.oid, source.shape),
      )
    } catch (error) {
      // Another process began at the same moment; go on with what it began.
      if (!isTidemarkError(error) || error.code !== 'TM_DUPLICATE_KEY') throw error
    }
  }

  #blocked(blockers: readonly string[]): TidemarkError {
    return new TidemarkError('TM_MIGRATION', {
      problem:
        `${this.#definition.name} cannot be converted into a hypertable as it is:\n` +
        blockers.map((problem) => `  - ${problem}`).join('\n'),
      todo: 'nothing has been changed; settle these and migrate again',
    })
  }

  async #rehearse(source: Source): Promise<string[]> {
    const rollback = Symbol('rollback')
    try {
      await this.#patiently(`rehearsing the conversion of ${this.#definition.name}`, 'preparing', () =>
        this.#transaction(async () => {
          const connection = this.#connection
          await connection.execute(lockAllStatement(this.#definition))
          await insertConversion(connection, this.#definition, source.oid, source.shape)
          const row = (await this.#find())!
          const hypertableId = await createShadow(connection, row, this.#definition, source)
          const conversion = { ...row, hypertableId }
          await createQueue(connection, conversion, this.#definition, source)
          await createTimeIndex(connection, conversion, this.#definition)
          for (const index of shadowIndexes(conversion, this.#definition, source))
            await connection.execute(index.statement)
          await swap(connection, conversion, this.#definition, source)
          throw rollback
        }),
      )
    } catch (error) {
      if (error === rollback) return []
      const state = sqlstateOf(error)
      // What PostgreSQL refuses to do to an empty table it would refuse later, too.
      if (state !== null && /^(0A|2B|22|23|42|55000)/.test(state))
        return [`PostgreSQL refuses: ${(error as Error).message}`]
      throw error
    }
    return []
  }

  async #prepare(conversion: Conversion): Promise<void> {
    this.#tell('preparing')
    const connection = this.#connection
    const source = await this.#source()
    if (!source.indexes.some((index) => index.beginsWithTime)) await this.#buildTimeIndex(conversion)
    const { maxChunks } = this.#definition
    const all = { from: minusInfinityInstant, to: infinityInstant }
    const chunks = await chunksOf(
      connection,
      this.#definition,
      relationName(this.#definition),
      all,
      maxChunks + 1,
    )
    if (chunks.length > maxChunks) {
      await this.#cancel(conversion)
      throw new TidemarkError('TM_CHUNK_CAP', {
        table: this.#definition.name,
        needed: chunks.length,
        cap: maxChunks,
      })
    }
    await this.#patiently(`starting the conversion of ${this.#definition.name}`, 'preparing', () =>
      this.#transaction(async () => {
        // First, so that nothing is held while waiting for it.
        await connection.execute(
          sql`lock table ${relationName(this.#definition)} in share row exclusive mode`,
        )
        await createShadow(connection, conversion, this.#definition, source)
        await createQueue(connection, conversion, this.#definition, source)
        await advance(connection, conversion, 'copying')
      }),
    )
  }

  /** Without one each batch would read the whole source. */
  async #buildTimeIndex(conversion: Conversion): Promise<void> {
    const { timeIndex, source } = conversionNames(conversion)
    const { schema, time } = this.#definition
    const { rows } = await this.#connection.query(sql`
      select i.indisvalid
      from pg_index as i
      where i.indexrelid = to_regclass(${text(identifier(schema, timeIndex))}::text)`)
    if (rows[0]?.[0] === true) return
    if (rows[0]) await this.#connection.execute(sql`drop index concurrently ${identifier(schema, timeIndex)}`)
    this.#tell(
      'preparing',
      'an index on the time, which PostgreSQL finishes when every older transaction has ended',
    )
    await this.#connection.execute(
      sql`create index concurrently ${identifier(timeIndex)} on ${source} (${identifier(time)})`,
    )
  }

  async #copy(conversion: Conversion): Promise<void> {
    const source = await this.#unchangedSource(conversion)
    this.#tell('copying')
    for (;;) {
      this.#assertGoing()
      const from = await this.#frontier(conversion)
      if (from === infinityInstant) break
      await this.#retrySerialization(() => this.#copyRange(conversion, source, from))
      this.#tell('copying')
    }
    await this.#transaction(async () => {
      await createTimeIndex(this.#connection, conversion, this.#definition)
      await advance(this.#connection, conversion, 'indexing')
    })
  }

  async #frontier(conversion: Conversion): Promise<Instant> {
    const { rows } = await this.#connection.query(sql`
      select coalesce(max(range_to), '-infinity')
      from tidemark.conversion_range
      where conversion_id = ${conversion.id}::int`)
    return rows[0]![0] as Instant
  }

  /** The rows, and the snapshot in which they were read, in one transaction. */
  async #copyRange(conversion: Conversion, source: Source, from: Instant): Promise<void> {
    const connection = this.#connection
    const definition = this.#definition
    const { source: table } = conversionNames(conversion)
    const time = identifier(definition.time)
    const begin = timestamptzText(from)
    const options = { mode: 'repeatable read', lockTimeoutMs: this.#settings.lockTimeoutMs } as const
    const rowsCopied = await inTransaction(connection, options, async () => {
      // The next range begins with the first row that is one too many; rows of one time stay together.
      const { rows } = await connection.query(sql`
        select ${time}
        from ${table}
        where ${time} >= ${begin}::timestamptz and isfinite(${time})
        order by ${time}
        offset ${this.#settings.batchRows}::int8
        limit 1`)
      let to = (rows[0]?.[0] as Instant | undefined) ?? infinityInstant
      if (to <= from) {
        const next = await connection.query(sql`
          select min(${time}) from ${table} where ${time} > ${begin}::timestamptz and isfinite(${time})`)
        to = (next.rows[0]![0] as Instant | null) ?? infinityInstant
      }
      const last = to === infinityInstant ? to : to - 1n
      await ensureChunks(
        connection,
        conversion,
        definition,
        source,
        await chunksOf(connection, definition, table, { from, to: last }, definition.maxChunks),
      )
      const { rowCount } = await connection.query(copyStatement(conversion, definition, source, from, to))
      await connection.query(sql`
        insert into tidemark.conversion_range (conversion_id, range_from, range_to, snapshot, row_count)
        values (
          ${conversion.id}::int, ${begin}::timestamptz, ${timestamptzText(to)}::timestamptz,
          pg_current_snapshot(), ${rowCount}::int8
        )`)
      const total = await connection.query(sql`
        update tidemark.conversion
        set rows_copied = rows_copied + ${rowCount}::int8
        where id = ${conversion.id}::int and state = 'copying'
        returning rows_copied`)
      if (total.rowCount !== 1) throw await this.#lostIt()
      return total.rows[0]![0] as bigint
    })
    this.#rowsCopied = rowsCopied
  }

  async #lostIt(): Promise<TidemarkError> {
    return new TidemarkError('TM_BUSY', {
      what: this.#what,
      tries: 1,
      lastProblem: 'another process changed the state of the conversion',
    })
  }

  #retrySerialization(attempt: () => Promise<void>): Promise<void> {
    return retry({ what: this.#what, tries: 20, signal: this.#signal, isRetryable: isLockProblem }, attempt)
  }

  #catchUp(connection: Connection, conversion: Conversion, source: Source): Promise<bigint> {
    const options = { mode: 'repeatable read', lockTimeoutMs: this.#settings.lockTimeoutMs } as const
    return this.#explainRows(async () => {
      const { entries } = await catchUp(
        connection,
        conversion,
        this.#definition,
        source,
        this.#settings.batchRows,
        async (attempt) => {
          this.#assertGoing()
          await this.#retrySerialization(() => inTransaction(connection, options, attempt))
        },
      )
      return entries
    })
  }

  /** Rows that fit the source need not fit what was declared: a key that the source does not have, for example. */
  async #explainRows<T>(use: () => Promise<T>): Promise<T> {
    try {
      return await use()
    } catch (error) {
      if (!sqlstateOf(error)?.startsWith('23')) throw error
      throw new TidemarkError(
        'TM_MIGRATION',
        {
          problem: `rows of ${this.#definition.name} that were written during the conversion do not fit: ${(error as Error).message}`,
          todo: 'correct them in the table, which is still the old one, and migrate again: the conversion goes on',
        },
        { cause: error },
      )
    }
  }

  async #index(conversion: Conversion): Promise<void> {
    this.#tell('indexing')
    const source = await this.#unchangedSource(conversion)
    // With what was written since: a duplicate that was copied may be gone by now.
    await this.#catchUp(this.#connection, conversion, source)
    await this.#createIndexes(conversion, source)
    await this.#transaction(async () => {
      await equipShadow(this.#connection, conversion, this.#definition)
      await advance(this.#connection, conversion, 'catching-up')
    })
    await this.#connection.execute(sql`analyze ${conversionNames(conversion).shadow}`)
  }

  async #createIndexes(conversion: Conversion, source: Source): Promise<void> {
    for (const index of shadowIndexes(conversion, this.#definition, source)) {
      const { rows } = await this.#connection.query(sql`
        select to_regclass(${text(identifier(chunkSchema, index.name))}::text) is not null`)
      if (rows[0]![0] === true) continue
      this.#assertGoing()
      await this.#explainRows(() => this.#transaction(() => this.#connection.execute(index.statement)))
    }
  }

  async #catchUpAndSwap(conversion: Conversion): Promise<void> {
    let isVerified = !this.#settings.verify
    const end = Date.now() + this.#settings.patienceMs
    for (let pauseMs = 50; ; pauseMs = Math.min(2_000, pauseMs * 2)) {
      this.#assertGoing()
      this.#tell('catching up')
      const source = await this.#unchangedSource(conversion)
      await this.#createIndexes(conversion, source)
      await this.#catchUpUntilNear(conversion, source)
      if (!isVerified) await this.#verify(conversion, source)
      isVerified = true
      // Without a lock, so that the wait under the lock is short: who is older than the rows just written ends here.
      const waits = await waitForOlderSnapshots(this.#db, {
        settleMs: Math.max(this.#settings.settleMs, pauseMs),
        besides: null,
        signal: this.#signal,
      })
      let reason: string | null = waits[0] ? `${waits[0].description} has an older snapshot` : null
      if (reason === null) {
        await this.#catchUp(this.#connection, conversion, source)
        this.#tell('swapping')
        reason = await this.#trySwap(conversion)
        if (reason === null) return
      }
      this.#tell('swapping', reason)
      if (Date.now() >= end)
        throw new TidemarkError('TM_BUSY', {
          what: `swapping ${this.#definition.name}`,
          tries: this.#swapTries,
          lastProblem: reason,
        })
      await this.#pause(pauseMs)
    }
  }

  async #catchUpUntilNear(conversion: Conversion, source: Source): Promise<void> {
    for (let pass = 1; pass <= 20; pass += 1) {
      const entries = await this.#catchUp(this.#connection, conversion, source)
      if (entries <= nearEntries) return
      this.#tell('catching up')
    }
  }

  /**
   * The order-free sum of row hashes of the source must be that of the shadow plus, with their signs, that of the
   * entries which are still in the queue: all in one snapshot, without a lock, while writers go on.
   */
  async #verify(conversion: Conversion, source: Source): Promise<void> {
    this.#tell('verifying')
    const names = conversionNames(conversion)
    const hash = (alias: string) =>
      sql`hashtextextended(encode(${imageSql(source, alias)}, 'hex'), 0)::numeric`
    const options = {
      mode: 'repeatable read read only',
      lockTimeoutMs: this.#settings.lockTimeoutMs,
    } as const
    const { rows } = await inTransaction(this.#connection, options, () =>
      this.#connection.query(sql`
        select s.n, s.h, d.n + q.n, d.h + q.h
        from
          (select count(*) as n, coalesce(sum(${hash('s')}), 0) as h from ${names.source} as s) as s,
          (select count(*) as n, coalesce(sum(${hash('d')}), 0) as h from ${names.shadow} as d) as d,
          (
            select coalesce(sum(q.tidemark_sign), 0) as n, coalesce(sum(q.tidemark_sign * ${hash('q')}), 0) as h
            from ${names.queue} as q
          ) as q`),
    )
    const [rowCount, rowHash, copiedCount, copiedHash] = rows[0] as [bigint, string, bigint, string]
    if (rowCount === copiedCount && rowHash === copiedHash) return
    throw new TidemarkError('TM_MIGRATION', {
      problem:
        `the copy of ${this.#definition.name} is not equal to it: ${rowCount} rows there, ${copiedCount} here. ` +
        'Writes got past the triggers (ALTER TABLE … DISABLE TRIGGER?)',
      todo: 'cancel the conversion and start again: tidemark migrate --cancel-conversion',
    })
  }

  /** Null when done, else why not. */
  async #trySwap(conversion: Conversion): Promise<string | null> {
    this.#swapTries += 1
    const connection = this.#connection
    const started = performance.now()
    let lockedAll = started
    try {
      const reason = await this.#transaction(async () => {
        const source = await readSource(connection, this.#definition)
        await connection.execute(lockWritersStatement(this.#definition, source))
        const lockedWriters = performance.now()
        // On a connection of its own: it has to be committed, and this one keeps its lock.
        await this.#db.withConnection((other) => this.#catchUp(other, conversion, source))
        const older = await waitForOlderSnapshots(this.#db, {
          settleMs: this.#settings.settleMs,
          besides: conversion.sourceOid,
          signal: this.#signal,
        })
        if (older[0]) throw new NotNow(`${older[0].description} has an older snapshot`)
        await connection.execute(lockAllStatement(this.#definition))
        lockedAll = performance.now()
        const now = await readSource(connection, this.#definition)
        await this.#assertConvertible(conversion, now)
        await swap(connection, conversion, this.#definition, now)
        await advance(connection, conversion, 'finishing')
        return lockedWriters
      })
      this.#writersHeldMs = performance.now() - reason
      this.#readersHeldMs = performance.now() - lockedAll
      return null
    } catch (error) {
      if (error instanceof NotNow) return error.message
      if (isLockProblem(error)) return this.#describeLocks()
      throw error
    }
  }

  async #assertConvertible(conversion: Conversion, source: Source): Promise<void> {
    const blockers = await findCatalogBlockers(this.#connection, this.#definition, source)
    if (blockers.length > 0) {
      throw new TidemarkError('TM_MIGRATION', {
        problem:
          `since its conversion began, something has changed that ${this.#definition.name} cannot be swapped with:\n` +
          blockers.map((problem) => `  - ${problem}`).join('\n'),
        todo: 'settle these and migrate again: the conversion goes on',
      })
    }
    const missing = await this.#connection.query(sql`
      select count(*)::int4 from unnest(
        ${shadowIndexes(conversion, this.#definition, source).map((index) => text(identifier(chunkSchema, index.name)))}::text[]
      ) as name
      where to_regclass(name) is null`)
    if (missing.rows[0]![0] !== 0) throw new NotNow('an index that was created meanwhile')
    if ((await queueLength(this.#connection, conversion)) === 0n) return
    const time = identifier(this.#definition.time)
    const { rows } = await this.#connection.query(sql`
      select count(*)
      from ${relationName(this.#definition)}
      where ${time} is null or ${time} in ('infinity', '-infinity')`)
    if ((rows[0]![0] as bigint) > 0n)
      throw new TidemarkError('TM_MIGRATION', {
        problem: `${rows[0]![0]} rows without a place in time ("${this.#definition.time}" is null or infinite) were written during the conversion`,
        todo: 'correct or delete them and migrate again: the conversion goes on',
      })
    // They came and went: no trace of them is in the source, and none gets into the shadow.
    const { rows: left } = await this.#connection.query(sql`
      select count(*) from ${conversionNames(conversion).queue} where isfinite(${time})`)
    if ((left[0]![0] as bigint) > 0n) throw new NotNow('rows that were written meanwhile')
  }

  /** Null when all is done, else what is left. */
  async #finish(conversion: Conversion): Promise<string | null> {
    this.#tell('finishing')
    const connection = this.#connection
    const table = relationName(this.#definition)
    for (const key of conversion.foreignKeys) {
      const name = identifier(key.name)
      for (const chunk of await partitionsOf(connection, this.#definition)) {
        const { rows } = await connection.query(sql`
          select convalidated from pg_constraint
          where conrelid = ${text(chunk)}::regclass and conname = ${key.name}::name`)
        if (rows[0]?.[0] === false)
          await connection.execute(sql`alter table ${chunk} validate constraint ${name}`)
      }
      const { rows } = await connection.query(sql`
        select count(*)::int4 from pg_constraint
        where conrelid = ${text(table)}::regclass and conname = ${key.name}::name`)
      // Takes those of the chunks over instead of looking at the rows again.
      if (rows[0]![0] === 0)
        await this.#patiently(`the foreign key ${key.name}`, 'finishing', () =>
          this.#transaction(() =>
            connection.execute(sql`alter table ${table} add constraint ${name} ${raw(key.definition)}`),
          ),
        )
    }
    const older = await waitForOlderSnapshots(this.#db, {
      settleMs: this.#settings.finishMs,
      besides: null,
      signal: this.#signal,
    })
    if (older[0]) return `${older[0].description} has a snapshot from before the swap`
    await this.#patiently(`finishing the conversion of ${this.#definition.name}`, 'finishing', () =>
      this.#transaction(async () => {
        await connection.execute(sql`drop trigger if exists ${identifier(fenceTrigger)} on ${table}`)
        if (this.#settings.dropOld)
          await connection.execute(sql`drop table ${identifier(conversion.schema, conversion.oldTable!)}`)
        await connection.query(sql`
          delete from tidemark.conversion_range where conversion_id = ${conversion.id}::int`)
        await advance(connection, conversion, 'done')
      }),
    )
    return null
  }

  async #cancel(conversion: Conversion): Promise<void> {
    if (conversion.state === 'finishing')
      throw new TidemarkError('TM_MIGRATION', {
        problem: `${this.#definition.name} is a hypertable already`,
        todo: `its old rows are in ${conversion.schema}.${conversion.oldTable}, as they were at the swap`,
      })
    const names = conversionNames(conversion)
    const connection = this.#connection
    await this.#patiently(`cancelling the conversion of ${this.#definition.name}`, 'preparing', () =>
      this.#transaction(async () => {
        // By its oid: it may have been renamed, or dropped.
        const { rows } = await connection.query(sql`
          select n.nspname, c.relname
          from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
          where c.oid = ${conversion.sourceOid}::oid`)
        if (rows[0]) {
          const [schema, name] = rows[0] as [string, string]
          const source = identifier(schema, name)
          for (const trigger of Object.values(conversionTriggers))
            await connection.execute(sql`drop trigger if exists ${identifier(trigger)} on ${source}`)
          await connection.execute(sql`drop index if exists ${identifier(schema, names.timeIndex)}`)
        }
        await connection.execute(sql`
          drop function if exists ${names.log}();
          drop table if exists ${names.queue};
          drop table if exists ${names.shadow}`)
        if (conversion.hypertableId !== null) {
          const id = conversion.hypertableId
          for (const name of [`log_change_${id}`, `log_row_${id}`])
            await connection.execute(sql`drop function if exists ${identifier('tidemark', name)}()`)
          await connection.query(sql`delete from tidemark.hypertable where id = ${id}::int`)
        }
        await connection.query(sql`
          delete from tidemark.conversion_range where conversion_id = ${conversion.id}::int`)
        await advance(connection, conversion, 'cancelled')
      }),
    )
  }
}

/** So few entries are caught up with in a moment, also while writers wait. */
const nearEntries = 1_000n

/** The swap has to be tried again later. */
class NotNow extends Error {}
