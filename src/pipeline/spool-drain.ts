import { rm } from 'node:fs/promises'
import type { Database } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { keyTenantOf } from './batch-tenant.ts'
import type { Caller } from './caller.ts'
import { insertDeadRows } from './dead-letters.ts'
import { type GroupWriter, WhoseUnknown } from './group-writer.ts'
import { mayJoin } from './lane.ts'
import { isRefusal } from './refusals.ts'
import { decodeBatch, type SpooledBatch, spooledCaller } from './spool-batch.ts'
import { SpoolDamage, type SpoolLog } from './spool-log.ts'
import { PositionMoved, readPosition, type SpoolLane, storePosition } from './spool-position.ts'

export interface SpoolAlarm {
  readonly kind: 'spool'
  readonly dataset: string
  readonly fingerprint: string
  readonly detail: unknown
}

export interface DrainOptions {
  readonly db: Database
  readonly writer: GroupWriter
  readonly spool: string
  readonly dataset: string
  readonly dir: string
  readonly log: SpoolLog
  readonly maxGroupRows: number
  /** Null: it is not declared. */
  readonly definitionOf: (dataset: string) => StoredDefinition | null
  readonly raise: (alarm: SpoolAlarm) => Promise<void>
  /** Runs it when a connection may be used for it. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>
  readonly isTight: () => boolean
  /** Whether an older spool has nothing of the dataset any more: what came first is written first. */
  readonly isFirst: () => boolean
}

/** A record in memory. */
interface Waiting {
  readonly sequence: number
  readonly bytes: number
  readonly batch: SpooledBatch
}

/** Bytes of records that are read ahead of a transaction. */
const readBytes = 4 * 1024 * 1024
const readRecords = 10_000
const [leastPauseMs, mostPauseMs] = [100, 10_000]
/** Between two looks whether an older spool is done. */
const turnMs = 50

/** Writes the records of one dataset in one spool, in their order, and moves the position on in the transaction of their rows. */
export class SpoolDrain {
  readonly #options: DrainOptions
  readonly #lane: SpoolLane
  #waiting: Waiting[] = []
  #isPlaced = false
  #isStopped = false
  #wake: () => void = () => {}
  #error: string | null = null
  /** Damage that an alarm was raised for. */
  #raised: number | null = null
  readonly ended: Promise<void>

  constructor(options: DrainOptions) {
    this.#options = options
    this.#lane = { spool: options.spool, dataset: options.dataset, stored: 0, rate: null }
    this.ended = this.#run()
  }

  get options(): DrainOptions {
    return this.#options
  }

  get isDone(): boolean {
    return this.#isPlaced && this.#lane.stored >= this.#options.log.lastSequence
  }

  /** Why it stands still; null: it does not. */
  get error(): string | null {
    return this.#error
  }

  /** Bytes a second lately. */
  get rate(): number {
    return this.#error === null ? (this.#lane.rate ?? 0) : 0
  }

  wake(): void {
    this.#wake()
  }

  stop(): void {
    this.#isStopped = true
    this.#wake()
  }

  /** Of a lane that is done with. */
  async remove(): Promise<void> {
    await this.#options.log.close()
    await rm(this.#options.dir, { recursive: true, force: true })
  }

  async #run(): Promise<void> {
    let failures = 0
    while (!this.#isStopped)
      try {
        if (!(await this.#step())) await this.#pause(null)
        failures = 0
        this.#error = null
      } catch (error) {
        this.#error = error instanceof Error ? error.message : String(error)
        // what was read may be another's by now
        this.#isPlaced = this.#isPlaced && !(error instanceof PositionMoved)
        await this.#raise(error)
        await this.#pause(Math.min(mostPauseMs, leastPauseMs * 2 ** failures))
        failures += 1
      }
  }

  /** Until there is more, or for so long. */
  async #pause(ms: number | null): Promise<void> {
    if (this.#isStopped) return
    await new Promise<void>((go) => {
      const timer = ms === null ? null : setTimeout(go, ms)
      this.#wake = () => {
        // what has failed is tried again in its time, however much comes meanwhile
        if (ms !== null && !this.#isStopped) return
        if (timer !== null) clearTimeout(timer)
        go()
      }
      // came between the last look and this one
      if (ms === null && !this.isDone) go()
    })
    this.#wake = () => {}
  }

  /** False: there is nothing to do. */
  async #step(): Promise<boolean> {
    const { db, log, inTurn, isTight } = this.#options
    if (!this.#isPlaced) {
      this.#lane.stored = Math.max(this.#lane.stored, await readPosition(db, this.#lane))
      await log.skipTo(this.#lane.stored)
      this.#waiting = this.#waiting.filter(({ sequence }) => sequence > this.#lane.stored)
      this.#isPlaced = true
      await log.release(this.#lane.stored, isTight)
    }
    if (!this.isDone && !this.#options.isFirst()) {
      await this.#pause(turnMs)
      return true
    }
    if (this.#waiting.length === 0) {
      const records = await log.read({ bytes: readBytes, records: readRecords })
      this.#waiting = records.map(({ sequence, bytes, content }) => ({
        sequence,
        bytes,
        batch: decodeBatch(content),
      }))
    }
    if (this.#waiting.length === 0) {
      // at the end were bytes that somebody has said to go on without
      const passed = log.readSequence
      if (passed <= this.#lane.stored) return false
      await this.#storedUpTo(passed)
      await log.release(passed, isTight)
      return true
    }
    await inTurn(async () => {
      const startedAt = performance.now()
      // of the last group some may be written, when it failed in the middle
      this.#waiting = this.#waiting.filter(({ sequence }) => sequence > this.#lane.stored)
      const group = this.#group()
      if (group.length === 0) return
      await this.#write(group)
      const bytes = group.reduce((sum, one) => sum + one.bytes, 0)
      const rate = (bytes * 1000) / Math.max(1, performance.now() - startedAt)
      this.#lane.rate = this.#lane.rate === null ? rate : this.#lane.rate * 0.8 + rate * 0.2
    })
    await log.release(this.#lane.stored, isTight)
    return true
  }

  /** Those at the head that may share a transaction. */
  #group(): readonly Waiting[] {
    const keys = new Set<string>()
    let rows = 0
    let count = 0
    for (const { batch } of this.#waiting) {
      const key = batch.idempotencyKey && JSON.stringify([keyTenantOf(batch.scope), batch.idempotencyKey])
      rows += batch.rows.length
      if (count > 0) {
        const first = this.#waiting[0]!.batch
        const definition = this.#definition()
        const joins = [first, batch].every(({ onConflict }) => mayJoin({ batch: { definition, onConflict } }))
        if (!joins || rows > this.#options.maxGroupRows || (key !== null && keys.has(key))) break
      }
      if (key !== null) keys.add(key)
      count += 1
    }
    return this.#waiting.slice(0, count)
  }

  #definition(): StoredDefinition {
    const { dataset, definitionOf } = this.#options
    const definition = definitionOf(dataset)
    if (definition !== null) return definition
    throw new TidemarkError('TM_SPOOL', {
      what: `spool ${this.#options.dir}`,
      problem: `it has rows for ${dataset}, which is not declared any more`,
      todo: 'declare it again until they are written',
    })
  }

  async #callers(group: readonly Waiting[]): Promise<readonly Caller[]> {
    const definition = this.#definition()
    const callers: Caller[] = []
    for (const { batch, bytes, sequence } of group)
      callers.push(await spooledCaller(definition, batch, bytes, { lane: this.#lane, sequence }))
    return callers
  }

  /** All of them, or as many as come before the first that cannot be written now. @throws what it was that stopped it. */
  async #write(group: readonly Waiting[]): Promise<void> {
    const callers = await this.#callers(group)
    if (callers.some(({ batch, isRefused }) => batch.isAtomic && isRefused))
      return this.#halve(
        group,
        'the declaration has changed since the batch came, and some of its rows fit no longer',
      )
    await this.#options.writer.write(callers)
    const results = await Promise.allSettled(callers.map(({ done }) => done))
    const failed = results.find((result) => result.status === 'rejected')
    if (failed === undefined) {
      // the transaction has moved on to the last that it wrote: behind it are those that were known by their key
      const written = results.findLastIndex(
        (result) => result.status === 'fulfilled' && !result.value.isReplayed,
      )
      if (written >= 0) this.#lane.stored = group[written]!.sequence
      const last = group.at(-1)!.sequence
      if (this.#lane.stored < last) await this.#storedUpTo(last)
      return
    }
    const error = failed.reason as unknown
    if (error instanceof PositionMoved || isCommitUnknown(error)) {
      // waits for a transaction that is not over: it is committed, or rolled back
      const stored = await this.#settledPosition()
      const moved = stored !== this.#lane.stored
      this.#lane.stored = stored
      if (!moved && error instanceof PositionMoved) throw error
      const rest = group.filter(({ sequence }) => sequence > stored)
      if (rest.length > 0) await this.#write(rest)
      return
    }
    const isOfRows = error instanceof WhoseUnknown || isRefusal(error) || isOtherKey(error)
    if (!isOfRows) throw error
    await this.#halve(group, error instanceof Error ? error.message : String(error))
  }

  /** What does not go together goes in halves; alone, it cannot be written at all. */
  async #halve(group: readonly Waiting[], message: string): Promise<void> {
    if (group.length === 1) return this.#bury(group[0]!, message)
    const middle = group.length >> 1
    await this.#write(group.slice(0, middle))
    await this.#write(group.slice(middle))
  }

  /** Of a batch that nothing can be written of: it was acknowledged, so all of it is kept. */
  async #bury(one: Waiting, message: string): Promise<void> {
    const [caller] = await this.#callers([one])
    caller!.refuseAll('refused', message)
    await this.#options.db.transaction({ mode: 'read committed' }, async (connection) => {
      await insertDeadRows(connection, caller!.dead)
      await storePosition(connection, this.#lane, one.sequence)
    })
    this.#lane.stored = one.sequence
  }

  async #storedUpTo(sequence: number): Promise<void> {
    await this.#options.db.transaction({ mode: 'read committed' }, (connection) =>
      storePosition(connection, this.#lane, sequence),
    )
    this.#lane.stored = sequence
  }

  /** Moving on to where it is waits for whoever is moving it. */
  async #settledPosition(): Promise<number> {
    const { db } = this.#options
    const from = this.#lane.stored
    try {
      await db.transaction({ mode: 'read committed' }, (connection) =>
        storePosition(connection, this.#lane, from),
      )
    } catch (error) {
      if (!(error instanceof PositionMoved)) throw error
    }
    return readPosition(db, this.#lane)
  }

  async #raise(error: unknown): Promise<void> {
    if (!(error instanceof SpoolDamage) || this.#raised === error.sequence) return
    const { spool, dataset, raise } = this.#options
    try {
      const fingerprint = `${spool} ${error.sequence}`
      await raise({ kind: 'spool', dataset, fingerprint, detail: { problem: error.message } })
      this.#raised = error.sequence
    } catch (problem) {
      // raised again with the next try; `error` says it meanwhile
      if (!isTidemarkError(problem)) throw problem
    }
  }
}

function isCommitUnknown(error: unknown): boolean {
  return isTidemarkError(error) && error.code === 'TM_COMMIT_UNKNOWN'
}

function isOtherKey(error: unknown): boolean {
  return isTidemarkError(error) && error.code === 'TM_IDEMPOTENCY'
}
