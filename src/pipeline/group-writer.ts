import type { HotWriter, WrittenCounts } from '../hot/index.ts'
import type { Database } from '../postgres/index.ts'
import type { CanonicalRow } from '../schema/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { keyTenantOf } from './batch-tenant.ts'
import type { Caller } from './caller.ts'
import type { PipelineCommit } from './contract.ts'
import { insertDeadRows } from './dead-letters.ts'
import { type EventIds, eventIdsOf } from './event-id.ts'
import { findSeen, SeenMeanwhile, storeSeen } from './event-ids.ts'
import { findBatches, KeyTaken, storeBatches } from './idempotency.ts'
import { findRefusals, isRefusal } from './refusals.ts'
import { storePosition } from './spool-position.ts'

/** Transactions of one group that found something new: keys, event ids, rows that are refused. */
const maxRounds = 100
/** How often a caller's transaction is looked for, of which it is not known whether it was committed. */
const maxUnknown = 3

/** Counts of a group that do not say whose they are: nothing of it is written. */
export class WhoseUnknown extends Error {}

/** What a transaction writes for one caller. */
interface Share {
  readonly caller: Caller
  readonly rows: readonly CanonicalRow[]
  /** Rows with the event id of another row of the transaction. */
  readonly twins: number
}

/**
 * Writes groups of batches, each group in one transaction. What the database refuses is found by halves: of the callers first,
 * then of the guilty one's rows. Each try is a transaction of its own, so nothing is written twice.
 */
export class GroupWriter {
  readonly #db: Database
  readonly #writer: HotWriter
  readonly #onCommit: (commit: PipelineCommit) => void

  /** @param onCommit told of every transaction that was committed, before its callers are; throws nothing. */
  constructor(db: Database, writer: HotWriter, onCommit: (commit: PipelineCommit) => void = () => {}) {
    this.#db = db
    this.#writer = writer
    this.#onCommit = onCommit
  }

  /** Of one dataset and one rule; more than one only with 'error'. All of them are settled then. Never throws. */
  async write(callers: readonly Caller[]): Promise<void> {
    try {
      await this.#write(callers)
    } catch (error) {
      for (const caller of callers) if (!caller.isSettled) caller.reject(error)
    }
  }

  async #write(given: readonly Caller[]): Promise<void> {
    let callers = await this.#answerKnown(given)
    for (let round = 1; callers.length > 0; round += 1) {
      await this.#passOverSeen(callers)
      try {
        return await this.#commit(callers)
      } catch (error) {
        if (round === maxRounds) throw busy(callers, round, error)
        // written by others since it was looked for: looked for again
        if (error instanceof SeenMeanwhile) continue
        if (error instanceof KeyTaken) {
          callers = await this.#answerKnown(callers)
          continue
        }
        // what comes out of a spool is found and halved by who reads it, in its order
        const isSpooled = callers[0]!.mark !== null
        if (isSpooled && (callers.length > 1 || !isRefusal(error))) throw error
        if (isTidemarkError(error) && error.code === 'TM_COMMIT_UNKNOWN') return this.#find(callers, error)
        const isMixed = error instanceof WhoseUnknown
        if (!isMixed && !isRefusal(error)) throw error
        if (callers.length > 1) {
          const middle = callers.length >> 1
          await this.write(callers.slice(0, middle))
          return this.write(callers.slice(middle))
        }
        // its rows may be those of another transaction with its key
        callers = await this.#answerKnown(callers)
        if (callers[0]) await this.#refuse(callers[0], error as TidemarkError)
        // of each dropped chunk there is one, however many there are: the rows of one are gone now
        if (isTidemarkError(error) && error.code === 'TM_EXPIRED') round -= 1
      }
    }
  }

  /** Answers those whose key is stored; the others come back. */
  async #answerKnown(callers: readonly Caller[]): Promise<readonly Caller[]> {
    const keys = callers.flatMap(({ batch: { idempotencyKey: key, scope } }) =>
      key === null ? [] : [{ tenant: keyTenantOf(scope), key }],
    )
    if (keys.length === 0) return callers
    const dataset = callers[0]!.batch.definition.name
    const known = await findBatches(this.#db, dataset, keys)
    return callers.filter((caller) => {
      const { idempotencyKey: key, scope } = caller.batch
      const stored = key === null ? undefined : known({ tenant: keyTenantOf(scope), key })
      if (stored === undefined) return true
      if (Buffer.compare(stored.fingerprint, caller.fingerprint!) === 0)
        caller.resolve(Object.freeze({ ...stored.report, isReplayed: true }))
      else if (caller.mark !== null && callers.length > 1) throw new WhoseUnknown()
      else caller.reject(new TidemarkError('TM_IDEMPOTENCY', { table: dataset, key: key! }))
      return false
    })
  }

  async #passOverSeen(callers: readonly Caller[]): Promise<void> {
    const { definition } = callers[0]!.batch
    const known = eventIdsOf(definition)
    if (known === null) return
    const ids = callers.flatMap(({ rows }) => rows.flatMap((row) => known.of(row) ?? []))
    if (ids.length === 0) return
    const seen = await findSeen(this.#db, definition.name, ids)
    if (seen.size === 0) return
    for (const caller of callers)
      caller.passOver((row) => {
        const id = known.of(row)
        return id !== null && seen.has(id)
      })
  }

  async #commit(callers: readonly Caller[]): Promise<void> {
    const { definition, onConflict } = callers[0]!.batch
    const { shares, ids } = share(callers, eventIdsOf(definition))
    const reports = (written: WrittenCounts) =>
      shares.map(({ caller, rows, twins }) => {
        const own = callers.length === 1 ? written : { inserted: rows.length, updated: 0, ignored: 0 }
        return { caller, report: caller.report(own, twins) }
      })
    const dead = callers.flatMap((caller) => caller.dead ?? [])
    const own = callers.filter(({ batch }) => batch.inTransaction !== undefined)
    const isKeyed = callers.some(({ batch }) => batch.idempotencyKey !== null)
    const mark = callers.at(-1)!.mark
    const mayMerge = definition.kind === 'hypertable' && definition.late === 'merge'
    const hasMore =
      dead.length > 0 || ids.length > 0 || isKeyed || mayMerge || own.length > 0 || mark !== null
    const all = shares.length === 1 ? shares[0]!.rows : shares.flatMap(({ rows }) => rows)
    const startedMs = performance.now()
    const written = await this.#writer.insertBatch({
      definition,
      rows: all,
      onConflict,
      // what others wait for, too, is not given up by one of them
      signal: callers.length === 1 ? callers[0]!.signal : null,
      inTransaction: hasMore
        ? async (connection, written) => {
            if (callers.length > 1 && (written.merged ?? 0) > 0) throw new WhoseUnknown()
            if (ids.length > 0) await storeSeen(connection, definition.name, ids)
            if (isKeyed)
              await storeBatches(
                connection,
                definition.name,
                reports(written).flatMap(({ caller, report }) => {
                  const { idempotencyKey: key, scope } = caller.batch
                  const tenant = keyTenantOf(scope)
                  return key === null ? [] : [{ tenant, key, fingerprint: caller.fingerprint!, report }]
                }),
              )
            await insertDeadRows(connection, dead)
            for (const caller of own) await caller.batch.inTransaction!(connection, caller.rejected)
            if (mark !== null) await storePosition(connection, mark.lane, mark.sequence)
          }
        : null,
    })
    const ms = performance.now() - startedMs
    this.#onCommit({ dataset: definition.name, batches: callers.length, rows: all.length, ms })
    for (const { caller, report } of reports(written)) caller.resolve(report)
  }

  /**
   * The connection was lost while committing. Those with a key write again, each for itself: when the first transaction was
   * committed they find their key, also when the server is only just doing it, because the insert of the key waits.
   */
  async #find(callers: readonly Caller[], error: TidemarkError): Promise<void> {
    for (const caller of callers) {
      caller.unknown += 1
      if (caller.batch.idempotencyKey === null || caller.unknown > maxUnknown) caller.reject(error)
      else {
        // "cancelled" would say that nothing was written
        caller.signal = null
        await this.write([caller])
      }
    }
  }

  async #refuse(caller: Caller, error: TidemarkError): Promise<void> {
    const { definition, onConflict, isAtomic } = caller.batch
    if (isAtomic) throw error
    const { rows, signal } = caller
    const refusals = await findRefusals({
      db: this.#db,
      writer: this.#writer,
      definition,
      onConflict,
      rows,
      error,
      signal,
    })
    if (refusals.length === 0) throw error
    caller.refuse(refusals)
  }
}

/** Rows of all callers; of rows with one event id only the first. */
function share(
  callers: readonly Caller[],
  known: EventIds | null,
): { readonly shares: readonly Share[]; readonly ids: readonly string[] } {
  if (known === null)
    return { shares: callers.map((caller) => ({ caller, rows: caller.rows, twins: 0 })), ids: [] }
  const ids = new Set<string>()
  const shares = callers.map((caller) => {
    const rows = caller.rows.filter((row) => {
      const id = known.of(row)
      if (id === null) return true
      if (ids.has(id)) return false
      ids.add(id)
      return true
    })
    return { caller, rows, twins: caller.rows.length - rows.length }
  })
  return { shares, ids: [...ids] }
}

function busy(callers: readonly Caller[], tries: number, error: unknown): TidemarkError {
  const what = `writing ${callers[0]!.batch.definition.name}`
  const lastProblem = error instanceof Error ? error.message : String(error)
  return new TidemarkError('TM_BUSY', { what, tries, lastProblem }, { cause: error })
}
