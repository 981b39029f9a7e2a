import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { type DrainOptions, SpoolDrain } from './spool-drain.ts'
import { SpoolLog } from './spool-log.ts'
import { damagedName, SpoolOwner, spoolsOf, syncFolder } from './spool-owner.ts'
import { forgetPositions } from './spool-position.ts'
import { headerBytes, maxContentBytes } from './spool-record.ts'

export interface SpoolOptions
  extends Pick<DrainOptions, 'db' | 'writer' | 'maxGroupRows' | 'definitionOf' | 'raise'> {
  readonly dir: string
  readonly maxBytes: number
  /** Datasets that are written at once. */
  readonly connections: number
}

const mostSegmentBytes = 64 * 1024 * 1024
/** Between two looks for spools of processes that have died. */
const adoptEveryMs = 10_000

/**
 * Rows that were acknowledged and wait on disk to be written, with those that processes have left behind which died. Bounded; what
 * comes faster than it drains is refused.
 */
export class Spool {
  readonly #options: SpoolOptions
  readonly #owner: SpoolOwner
  readonly #id = spoolName()
  readonly #lanes = new Map<string, Promise<SpoolDrain>>()
  /** Those of `#lanes` that are open. */
  readonly #drains = new Set<SpoolDrain>()
  readonly #segmentBytes: number
  readonly #underWay = new Set<Promise<void>>()
  readonly #timer: NodeJS.Timeout
  readonly #queue: (() => void)[] = []
  #writing = 0
  #addingBytes = 0
  #adopting: Promise<void> | null = null
  #isClosed = false
  /** Why the last look for left spools failed. */
  #adoptError: string | null = null

  private constructor(options: SpoolOptions, owner: SpoolOwner) {
    this.#options = options
    this.#owner = owner
    this.#segmentBytes = Math.min(mostSegmentBytes, Math.max(1, options.maxBytes >> 3))
    if (options.maxBytes >= mostSegmentBytes * 8) this.#segmentBytes = mostSegmentBytes
    this.#timer = setInterval(() => void this.#adopt(), adoptEveryMs).unref()
  }

  /** Takes over what processes have left that have died, and begins to write it. */
  static async open(options: SpoolOptions): Promise<Spool> {
    const spool = new Spool(options, await SpoolOwner.claim(options.dir))
    await spool.#adopt()
    return spool
  }

  /** On disk. */
  get bytes(): number {
    let bytes = 0
    for (const { options } of this.#drains) bytes += options.log.bytes
    return bytes
  }

  /** What stands still, and why. */
  get errors(): readonly string[] {
    const errors = [...this.#drains].flatMap(({ error }) => error ?? [])
    return this.#adoptError === null ? errors : [this.#adoptError, ...errors]
  }

  /**
   * Resolves when it is on disk.
   *
   * @throws TidemarkError TM_OVERLOADED, TM_LIMIT, TM_SPOOL
   */
  async add(dataset: string, content: Uint8Array): Promise<void> {
    const bytes = content.length + headerBytes
    this.#assertRoom(bytes)
    this.#addingBytes += bytes
    const work = this.#add(dataset, content)
    this.#underWay.add(work)
    try {
      await work
    } finally {
      this.#addingBytes -= bytes
      this.#underWay.delete(work)
    }
  }

  /** Writes what it has, for so long; the rest is for the next process. */
  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#timer)
    const end = performance.now() + timeoutMs
    await Promise.allSettled(this.#underWay)
    await this.#adopting
    while (
      performance.now() < end &&
      [...this.#drains].some((drain) => !drain.isDone && drain.error === null)
    )
      await sleep(10)
    for (const drain of this.#drains) drain.stop()
    // a transaction that hangs ends with its connection; should it be committed, whoever takes over finds its position
    const ended = Promise.allSettled([...this.#drains].map((drain) => drain.ended))
    await Promise.race([ended, sleep(Math.max(1000, end - performance.now()), null, { ref: false })])
    for (const drain of this.#drains) {
      if (drain.isDone) await this.#forget(drain)
      else await drain.options.log.close()
    }
    await this.#owner.release()
  }

  #assertRoom(bytes: number): void {
    const { maxBytes } = this.#options
    if (this.#isClosed)
      throw new TidemarkError('TM_OVERLOADED', {
        problem: 'the process is shutting down and takes no more rows',
        limit: '0 bytes',
        retryAfterSeconds: 1,
      })
    const limit = Math.min(maxBytes, maxContentBytes)
    if (bytes > limit)
      throw new TidemarkError('TM_LIMIT', {
        what: 'the batch',
        value: `${bytes} bytes`,
        limit: `${limit} bytes of the spool`,
        todo: 'send smaller batches, or raise ingest.spool.max',
      })
    const used = this.bytes + this.#addingBytes
    if (used + bytes <= maxBytes) return
    let rate = 0
    for (const drain of this.#drains) if (!drain.isDone) rate += drain.rate
    // room comes back by whole files
    const seconds = rate > 0 ? Math.ceil((used + bytes - maxBytes + this.#segmentBytes) / rate) : 60
    throw new TidemarkError('TM_OVERLOADED', {
      problem: `${used} bytes wait in the spool, and there is no room for ${bytes} more`,
      limit: `ingest.spool.max, ${maxBytes} bytes`,
      retryAfterSeconds: Math.min(60, Math.max(1, seconds)),
    })
  }

  async #add(dataset: string, content: Uint8Array): Promise<void> {
    const drain = await this.#laneOf(this.#id, dataset, SpoolLog.create)
    await drain.options.log.append(content)
    drain.wake()
  }

  async #laneOf(spool: string, dataset: string, open: typeof SpoolLog.create): Promise<SpoolDrain> {
    const key = `${spool} ${dataset}`
    let lane = this.#lanes.get(key)
    if (lane === undefined) {
      lane = this.#begin(spool, dataset, open)
      this.#lanes.set(key, lane)
      lane.catch(() => this.#lanes.delete(key))
    }
    return lane
  }

  async #begin(spool: string, dataset: string, open: typeof SpoolLog.create): Promise<SpoolDrain> {
    const dir = join(this.#owner.dir, spool, folderOf(dataset))
    const log = await open({
      dir,
      segmentBytes: this.#segmentBytes,
      damagedDir: join(this.#options.dir, damagedName),
    })
    const { db, writer, maxGroupRows, definitionOf, raise } = this.#options
    const drain = new SpoolDrain({
      ...{ db, writer, maxGroupRows, definitionOf, raise, spool, dataset, dir, log },
      inTurn: (work) => this.#inTurn(work),
      isFirst: () =>
        ![...this.#drains].some((d) => d.options.dataset === dataset && d.options.spool < spool && !d.isDone),
      isTight: () => this.bytes > this.#options.maxBytes / 2,
    })
    this.#drains.add(drain)
    return drain
  }

  /** One look at a time; a failure is told by `errors`, and the next look comes. */
  #adopt(): Promise<void> {
    this.#adopting ??= this.#look()
      .then(
        () => {
          this.#adoptError = null
        },
        (error: unknown) => {
          this.#adoptError = `looking for spools in ${this.#options.dir}: ${error instanceof Error ? error.message : String(error)}`
        },
      )
      .finally(() => {
        this.#adopting = null
      })
    return this.#adopting
  }

  async #look(): Promise<void> {
    for (const drain of [...this.#drains])
      if (drain.options.spool !== this.#id && drain.isDone) {
        drain.stop()
        await drain.ended
        await this.#forget(drain)
      }
    if (this.#isClosed) return
    await this.#owner.adopt()
    let problem: unknown = null
    // also those that a failure has left without a drain
    for (const spool of await spoolsOf(this.#owner.dir)) {
      if (spool === this.#id) continue
      const lanes = await spoolsOf(join(this.#owner.dir, spool))
      for (const folder of lanes)
        await this.#laneOf(spool, datasetOf(folder), SpoolLog.open).catch((error: unknown) => {
          problem ??= error
        })
      if (lanes.length === 0) await this.#forgetSpool(spool)
    }
    if (problem !== null) throw problem
  }

  async #forget(drain: SpoolDrain): Promise<void> {
    const { spool, dataset } = drain.options
    await drain.remove()
    this.#drains.delete(drain)
    this.#lanes.delete(`${spool} ${dataset}`)
    const isLast = ![...this.#drains].some(({ options }) => options.spool === spool)
    if (isLast) await this.#forgetSpool(spool)
  }

  async #forgetSpool(spool: string): Promise<void> {
    await rm(join(this.#owner.dir, spool), { recursive: true, force: true })
    // files that come back after a power cut must not find their position gone
    await syncFolder(this.#owner.dir)
    try {
      await forgetPositions(this.#options.db, spool)
    } catch (error) {
      // a row that nobody asks for any more
      if (!isTidemarkError(error)) throw error
    }
  }

  /** So many at once. */
  async #inTurn(work: () => Promise<void>): Promise<void> {
    if (this.#writing >= this.#options.connections) await new Promise<void>((go) => this.#queue.push(go))
    else this.#writing += 1
    try {
      await work()
    } finally {
      const next = this.#queue.shift()
      if (next === undefined) this.#writing -= 1
      else next()
    }
  }
}

/** A UUID that begins with the time (version 7): older ones come first. */
function spoolName(): string {
  const ms = Date.now().toString(16).padStart(12, '0')
  return `${ms.slice(0, 8)}-${ms.slice(8)}-7${randomUUID().slice(15)}`
}

/** Names of datasets have up to 127 bytes, those of folders 255. */
function folderOf(dataset: string): string {
  const name = encodeURIComponent(dataset)
  return name.length <= 200 ? name : `=${Buffer.from(dataset).toString('base64url')}`
}

export function datasetOf(folder: string): string {
  return folder.startsWith('=')
    ? Buffer.from(folder.slice(1), 'base64url').toString()
    : decodeURIComponent(folder)
}
