import { setTimeout as sleep } from 'node:timers/promises'
import type { HotWriter } from '../hot/index.ts'
import type { Database } from '../postgres/index.ts'
import {
  allTenants,
  type CanonicalRow,
  type StoredDefinition,
  type TenantScope,
  tenantGuard,
} from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { keyTenantOf, tenantOf } from './batch-tenant.ts'
import { Caller } from './caller.ts'
import { cancelledError, untilAborted } from './cancelled.ts'
import { CommitTimes } from './commit-times.ts'
import type {
  IngestBatch,
  IngestReport,
  Pipeline,
  PipelineCommit,
  PipelineState,
  RowEnricher,
  StrayLetter,
} from './contract.ts'
import { insertStrays } from './dead-letters.ts'
import { fingerprintOf } from './fingerprint.ts'
import { GroupWriter } from './group-writer.ts'
import { Lane } from './lane.ts'
import { Room } from './room.ts'
import { type CheckedRows, checkRows } from './row-checker.ts'
import { Spool } from './spool.ts'
import { encodeBatch } from './spool-batch.ts'
import type { SpoolAlarm } from './spool-drain.ts'
import { spoolsOf } from './spool-owner.ts'

export interface PipelineOptions {
  readonly db: Database
  readonly writer: HotWriter
  /** Transactions of one dataset at once; default 2. */
  readonly connections?: number
  /** Transactions of all datasets at once; default 4. Each holds a connection that queries then have not. */
  readonly maxConnections?: number
  /** Rows of a group; default 50,000. A batch that has more is a group of its own. */
  readonly maxGroupRows?: number
  /** Bytes of a group in memory; default 16 MiB. */
  readonly maxGroupBytes?: number
  /** Bytes that may wait to be written; default 64 MiB. */
  readonly maxPendingBytes?: number
  /** How long a caller waits for room; default 2 s. */
  readonly maxWaitMs?: number
  /** How long `close` waits for what is to be written; then those whose transaction was not begun are refused. Default 10 s. */
  readonly closeTimeoutMs?: number
  /** The steps of enrichment of a dataset; null: it has none. They see each row before it is checked. */
  readonly enricherOf?: (definition: StoredDefinition) => Promise<RowEnricher> | null
  /** Without it nothing can be acknowledged before it is written. */
  readonly spool?: SpoolPlace | null
  /** Told of every transaction that was committed; throws nothing. */
  readonly onCommit?: (commit: PipelineCommit) => void
}

/** Where rows wait on disk that were acknowledged before they were written. */
export interface SpoolPlace {
  readonly dir: string
  readonly maxBytes: number
  /** What is declared by a name; null: nothing. */
  readonly definitionOf: (dataset: string) => StoredDefinition | null
  /** What stops it for good. */
  readonly raise: (alarm: SpoolAlarm) => Promise<void>
}

export const pipelineDefaults = Object.freeze({
  connections: 2,
  maxConnections: 4,
  maxGroupRows: 50_000,
  maxGroupBytes: 16 * 1024 * 1024,
  maxPendingBytes: 64 * 1024 * 1024,
  maxWaitMs: 2000,
  closeTimeoutMs: 10_000,
  enricherOf: () => null,
  spool: null,
  onCommit: () => {},
} satisfies Omit<Required<PipelineOptions>, 'db' | 'writer'>)

/**
 * @example
 * const pipeline = createPipeline({ db, writer })
 * const { accepted } = await pipeline.ingest({ definition: cpu, rows, onConflict: 'error', … })
 */
export function createPipeline(options: PipelineOptions): Pipeline {
  return new GroupCommit(options)
}

/**
 * Group commit: while a transaction of a dataset is under way the next callers gather, and go together when a connection is free.
 * Alone, a caller goes at once; the more there are, the larger the groups.
 */
class GroupCommit implements Pipeline {
  readonly #options: Required<PipelineOptions>
  readonly #writer: GroupWriter
  readonly #commits = new CommitTimes()
  readonly #lanes = new Map<string, Lane>()
  readonly #room: Room
  /** Batches under way that have a key, by dataset, tenant and key. */
  readonly #keyed = new Map<string, Promise<unknown>>()
  readonly #underWay = new Set<Promise<unknown>>()
  #active = 0
  #pendingRows = 0
  #isClosed = false
  #opening: Promise<Spool> | null = null
  #spool: Spool | null = null

  constructor(options: PipelineOptions) {
    this.#options = { ...pipelineDefaults, ...options }
    this.#writer = new GroupWriter(options.db, options.writer, (commit) => {
      this.#commits.add(commit)
      this.#options.onCommit(commit)
    })
    this.#room = new Room({
      maxBytes: this.#options.maxPendingBytes,
      maxWaitMs: this.#options.maxWaitMs,
    })
  }

  get state(): PipelineState {
    return {
      pendingRows: this.#pendingRows,
      pendingBytes: this.#room.usedBytes,
      spoolBytes: this.#spool?.bytes ?? 0,
      spoolErrors: this.#spool?.errors ?? [],
      commits: this.#commits.counts,
    }
  }

  async reserve(bytes: number, signal: AbortSignal | null): Promise<() => void> {
    this.#assertOpen()
    const release = await this.#room.take(bytes, signal)
    if (!this.#isClosed) return release
    release()
    throw closedError()
  }

  async ingest(batch: IngestBatch): Promise<IngestReport> {
    this.#assertOpen()
    assertBatch(batch)
    const work = this.#ingest(batch)
    this.#underWay.add(work)
    try {
      return await work
    } finally {
      this.#underWay.delete(work)
    }
  }

  async keepStrays(source: string, letters: readonly StrayLetter[], scope?: TenantScope): Promise<void> {
    this.#assertOpen()
    if (letters.length === 0) return
    await this.#options.db.transaction({ mode: 'read committed' }, (connection) =>
      insertStrays(connection, source, tenantOf(scope), letters),
    )
  }

  async openSpool(): Promise<void> {
    this.#assertOpen()
    const { spool } = this.#options
    // who has nothing there needs no folder of its own
    if (spool === null || (await spoolsOf(spool.dir)).length === 0) return
    await this.#openSpool()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([this.#closeLanes(), this.#closeSpool()])
  }

  async #closeSpool(): Promise<void> {
    // one that did not open has told its callers
    await this.#opening?.catch(() => {})
    await this.#spool?.close(this.#options.closeTimeoutMs)
  }

  #openSpool(): Promise<Spool> {
    const { spool, connections, maxGroupRows, db } = this.#options
    if (spool === null) throw noSpool()
    if (this.#opening !== null) return this.#opening
    const opening = Spool.open({ ...spool, db, writer: this.#writer, maxGroupRows, connections })
    this.#opening = opening
    opening.then(
      (opened) => {
        this.#spool = opened
      },
      () => {
        this.#opening = null
      },
    )
    return opening
  }

  async #closeLanes(): Promise<void> {
    const timer = new AbortController()
    const isLate = sleep(this.#options.closeTimeoutMs, true, { signal: timer.signal, ref: false }).catch(
      () => false,
    )
    while (this.#underWay.size > 0)
      if (await Promise.race([isLate, Promise.allSettled(this.#underWay).then(() => false)])) {
        for (const lane of this.#lanes.values())
          for (const caller of lane.clear()) caller.reject(closedError())
        return
      }
    timer.abort()
  }

  async #ingest(given: IngestBatch): Promise<IngestReport> {
    const { definition, rows, isAtomic, scope = allTenants } = given
    const guard = tenantGuard(definition, scope)
    const enricher = await this.#options.enricherOf(definition)
    const checked = await checkRows(definition, rows, isAtomic, enricher, guard)
    const digest = given.idempotencyKey === null ? (given.sentDigest ?? null) : null
    const fingerprint =
      digest !== null || given.idempotencyKey !== null ? fingerprintOf(given, checked) : null
    const key =
      digest === null ? given.idempotencyKey : `${digest} ${Buffer.from(fingerprint!).toString('hex')}`
    const batch: IngestBatch = digest === null ? given : { ...given, idempotencyKey: key }
    if (batch.acknowledge === 'queued') return this.#queue(batch, checked, fingerprint)
    const bytes = bytesOf(checked.rows)
    const release = batch.isReserved === true ? null : await this.#room.take(bytes, batch.signal)
    try {
      const caller = new Caller(batch, checked, fingerprint, bytes)
      return await (key === null
        ? this.#write(caller)
        : this.#inTurn(JSON.stringify([definition.name, keyTenantOf(scope), key]), batch.signal, () =>
            this.#write(caller),
          ))
    } finally {
      release?.()
    }
  }

  /** Answered when it is on disk; the database is not asked. */
  async #queue(
    batch: IngestBatch,
    checked: CheckedRows,
    fingerprint: Uint8Array | null,
  ): Promise<IngestReport> {
    const spool = await this.#openSpool()
    const content = encodeBatch(batch, checked, fingerprint)
    const release = batch.isReserved === true ? null : await this.#room.take(content.length, batch.signal)
    try {
      if (batch.signal?.aborted) throw cancelledError(batch.signal)
      if (checked.rows.length + checked.dead.length > 0) await spool.add(batch.definition.name, content)
    } finally {
      release?.()
    }
    const none = { inserted: 0, updated: 0, ignored: 0 }
    const report = new Caller(batch, checked, null, 0).report(none, 0)
    return Object.freeze({ ...report, accepted: checked.rows.length, isQueued: true })
  }

  /** One after the other for each key: the second finds what the first has stored. */
  async #inTurn<T>(key: string, signal: AbortSignal | null, work: () => Promise<T>): Promise<T> {
    for (let before = this.#keyed.get(key); before; before = this.#keyed.get(key))
      await untilAborted(before, signal)
    const own = work()
    const ended = own.then(
      () => {},
      () => {},
    )
    this.#keyed.set(key, ended)
    try {
      return await own
    } finally {
      this.#keyed.delete(key)
    }
  }

  async #write(caller: Caller): Promise<IngestReport> {
    const { signal, batch } = caller
    if (signal?.aborted) throw cancelledError(signal)
    const lane = this.#laneOf(batch.definition.name)
    const rows = caller.rows.length
    const cancel = (): void => {
      if (lane.remove(caller)) caller.reject(cancelledError(signal!))
    }
    signal?.addEventListener('abort', cancel)
    this.#pendingRows += rows
    lane.add(caller)
    this.#start()
    try {
      return await caller.done
    } finally {
      this.#pendingRows -= rows
      signal?.removeEventListener('abort', cancel)
    }
  }

  #laneOf(dataset: string): Lane {
    let lane = this.#lanes.get(dataset)
    if (lane === undefined) {
      lane = new Lane()
      this.#lanes.set(dataset, lane)
    }
    return lane
  }

  /** Begins what connections are free for; the dataset that was served last comes last. */
  #start(): void {
    const { connections, maxConnections } = this.#options
    for (const [name, lane] of [...this.#lanes]) {
      if (lane.isEmpty || lane.active >= connections) continue
      if (this.#active >= maxConnections) return
      this.#lanes.delete(name)
      this.#lanes.set(name, lane)
      while (!lane.isEmpty && lane.active < connections && this.#active < maxConnections)
        void this.#commit(lane)
    }
  }

  async #commit(lane: Lane): Promise<void> {
    lane.active += 1
    this.#active += 1
    // never throws: each caller has its answer
    await this.#writer.write(lane.take(this.#options))
    lane.active -= 1
    this.#active -= 1
    this.#start()
  }

  #assertOpen(): void {
    if (this.#isClosed) throw closedError()
  }
}

function closedError(): TidemarkError {
  return new TidemarkError('TM_OVERLOADED', {
    problem: 'the process is shutting down and takes no more rows',
    limit: '0 bytes',
    retryAfterSeconds: 1,
  })
}

const keyForm = /^[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?$/

function assertBatch({
  definition,
  idempotencyKey,
  onConflict,
  acknowledge,
  inTransaction,
}: IngestBatch): void {
  if (idempotencyKey !== null && !keyForm.test(idempotencyKey))
    throw new TidemarkError('TM_QUERY', {
      path: 'idempotencyKey',
      problem: 'must be 1 to 200 printable ASCII characters, without a space at its ends',
    })
  if (onConflict === 'update' && definition.primaryKey === null)
    throw new TidemarkError('TM_QUERY', {
      path: definition.name,
      problem: 'has no primary key, so there is nothing to update by; declare one, or use onConflict error',
    })
  if (acknowledge === 'queued' && inTransaction !== undefined)
    throw new TidemarkError('TM_QUERY', {
      path: 'ack',
      problem: "'queued' is answered before the transaction is begun; use 'durable'",
    })
}

function noSpool(): TidemarkError {
  return new TidemarkError('TM_CONFIG', {
    path: 'ack',
    problem: "'queued' needs a spool, and this pipeline has none; use 'durable'",
  })
}

/** Memory of converted rows: 16 bytes for a value, and two for each character of a text. */
function bytesOf(rows: readonly CanonicalRow[]): number {
  let bytes = 0
  for (const row of rows) {
    bytes += row.length * 16
    for (const value of row) {
      if (typeof value === 'string') bytes += value.length * 2
      else if (Array.isArray(value)) for (const item of value) bytes += 16 + (item?.length ?? 0) * 2
    }
  }
  return bytes
}
