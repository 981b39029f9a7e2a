import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection, Database } from '../../postgres/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { sql } from '../../util/sql.ts'
import { relationName, text } from '../table-ddl.ts'
import { inTransaction, isLockProblem } from '../transaction.ts'
import { type ConversionProgress, type ConvertOptions, convertDefaults } from './options.ts'
import { type Conversion, findConversion } from './record.ts'
import { describeLockHolders } from './snapshots.ts'
import { readSource, type Source } from './source.ts'
import { assertUnchanged } from './swap.ts'

type Settings = Required<Omit<ConvertOptions, 'onProgress' | 'signal'>>

/** What the phases of one run of a conversion share. What has been done is in the catalog, not here. */
export class ConversionRun {
  readonly db: Database
  /** Holds the lock of the conversion. */
  readonly connection: Connection
  readonly definition: HypertableDefinition
  readonly settings: Settings
  readonly signal: AbortSignal | null
  readonly #onProgress: (progress: ConversionProgress) => void
  #estimatedRows = 0
  rowsCopied = 0n
  swapTries = 0
  writersHeldMs: number | null = null
  readersHeldMs: number | null = null

  constructor(
    db: Database,
    connection: Connection,
    definition: HypertableDefinition,
    options: ConvertOptions,
  ) {
    const { onProgress, signal, ...given } = options
    this.db = db
    this.connection = connection
    this.definition = definition
    this.settings = { ...convertDefaults, ...given }
    this.signal = signal ?? null
    this.#onProgress = onProgress ?? (() => {})
  }

  get what(): string {
    return `converting ${this.definition.name}`
  }

  find(): Promise<Conversion | null> {
    return findConversion(this.connection, this.definition)
  }

  assertGoing(): void {
    if (this.signal?.aborted)
      throw new TidemarkError(
        'TM_CANCELLED',
        { what: this.what, todo: 'what is done stays, and the next migration goes on after it' },
        { cause: this.signal.reason },
      )
  }

  tell(phase: ConversionProgress['phase'], waitsFor: string | null = null): void {
    this.#onProgress({
      relation: this.definition.name,
      phase,
      rowsCopied: this.rowsCopied,
      estimatedRows: this.#estimatedRows,
      waitsFor,
    })
  }

  async readSource(): Promise<Source> {
    const source = await readSource(this.connection, this.definition)
    this.#estimatedRows = source.estimatedRows
    return source
  }

  async unchangedSource(conversion: Conversion): Promise<Source> {
    await assertUnchanged(this.connection, conversion, this.definition)
    return this.readSource()
  }

  /** Short locks, tried again for as long as patience lasts. */
  async patiently<T>(
    what: string,
    phase: ConversionProgress['phase'],
    attempt: () => Promise<T>,
  ): Promise<T> {
    const end = Date.now() + this.settings.patienceMs
    for (let tries = 1; ; tries += 1) {
      this.assertGoing()
      try {
        return await attempt()
      } catch (error) {
        if (!isLockProblem(error)) throw error
        const lastProblem = await this.describeLocks()
        this.tell(phase, lastProblem)
        if (Date.now() >= end)
          throw new TidemarkError('TM_BUSY', { what, tries, lastProblem }, { cause: error })
      }
      await this.pause(Math.min(2_000, 50 * 2 ** tries))
    }
  }

  async describeLocks(): Promise<string> {
    const name = text(relationName(this.definition))
    const { rows } = await this.connection.query(sql`select to_regclass(${name}::text)::oid`)
    const oid = rows[0]![0] as number | null
    return oid === null ? 'the table is gone' : describeLockHolders(this.connection, oid)
  }

  /** A random part of the time ("full jitter"); ends early when the signal aborts. */
  async pause(mostMs: number): Promise<void> {
    const options = this.signal ? { signal: this.signal } : {}
    await sleep(Math.random() * mostMs, undefined, options).catch(() => {})
  }

  transaction<T>(use: () => Promise<T>): Promise<T> {
    return inTransaction(this.connection, { lockTimeoutMs: this.settings.lockTimeoutMs }, use)
  }
}
