import { access, type FileHandle, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { TidemarkError } from '../util/errors.ts'
import { codeOf, syncFolder } from './spool-owner.ts'
import {
  encodeRecord,
  headerBytes,
  lengthAt,
  nextRecord,
  recordAt,
  type SpoolRecord,
} from './spool-record.ts'

/** Bytes that cannot be read though they were acknowledged. What is behind them is whole. */
export class SpoolDamage extends TidemarkError<'TM_SPOOL'> {
  readonly sequence: number

  constructor(segment: string, at: number, to: number, sequence: number) {
    super('TM_SPOOL', {
      what: `spool segment ${segment}`,
      problem: `bytes ${at} to ${to} are damaged, from record ${sequence} on; it stops there, and what is behind is whole`,
      todo: `restore the file from a copy, or go on without those bytes: touch '${skipFile(segment, sequence)}' (the segment is kept)`,
    })
    this.sequence = sequence
  }
}

interface Segment {
  readonly path: string
  /** The sequence of its first record. */
  readonly first: number
  /** On disk, and to be read. */
  bytes: number
  isDamaged: boolean
}

interface Appended {
  readonly content: Uint8Array
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export interface LogOptions {
  readonly dir: string
  /** Bytes after which the next record begins a new file. */
  readonly segmentBytes: number
  /** Where damaged segments are kept when they are done with. */
  readonly damagedDir: string
}

/** Bytes that are read at once, or one record if that is larger. */
const pieceBytes = 1024 * 1024
/** Bytes that are written at once; what waits beyond them is of the next fsync. */
const flushBytes = 16 * 1024 * 1024

/**
 * The records of one dataset in one spool: append-only files, each named by its first sequence. Written by the process that made
 * it, and read to the end by that one or, when it has died, by the one that has taken over.
 */
export class SpoolLog {
  readonly #options: LogOptions
  readonly #segments: Segment[] = []
  /** The file that is written to. */
  #handle: FileHandle | null = null
  #waiting: Appended[] = []
  /** What changes files goes one after the other. */
  #turn: Promise<unknown> = Promise.resolve()
  #isFlushing = false
  /** The last sequence that is on disk. */
  #durable = 0
  /** A write failed, and what it left could not be cut off. */
  #mustCut = false
  /** Of the next record that `read` gives. */
  #next = 1
  #at: { segment: Segment; offset: number } | null = null

  private constructor(options: LogOptions) {
    this.#options = options
  }

  static async create(options: LogOptions): Promise<SpoolLog> {
    await mkdir(options.dir, { recursive: true })
    await syncFolder(dirname(options.dir))
    await syncFolder(dirname(dirname(options.dir)))
    return new SpoolLog(options)
  }

  /** One that a process has left; what was never acknowledged at its end is cut off. */
  static async open(options: LogOptions): Promise<SpoolLog> {
    const log = new SpoolLog(options)
    for (const name of (await readdir(options.dir)).sort()) {
      const first = /^(\d+)\.spool$/.exec(name)?.[1]
      if (first === undefined) continue
      const path = join(options.dir, name)
      log.#segments.push({ path, first: Number(first), bytes: (await stat(path)).size, isDamaged: false })
    }
    log.#next = log.#segments[0]?.first ?? 1
    const last = log.#segments.at(-1)
    if (last !== undefined) log.#durable = await cutTail(last)
    return log
  }

  /** On disk, done with or not. */
  get bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  get lastSequence(): number {
    return this.#durable
  }

  /** Up to which record `read` has given them. */
  get readSequence(): number {
    return this.#next - 1
  }

  /** Resolves when it is on disk. Those who wait share an fsync. */
  append(content: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ content, resolve, reject })
      if (this.#isFlushing) return
      this.#isFlushing = true
      void this.#inTurn(() => this.#flush())
    })
  }

  /** Records behind the last one that was given, up to the limits, one at least where there is one. @throws SpoolDamage */
  async read(limits: { readonly bytes: number; readonly records: number }): Promise<readonly SpoolRecord[]> {
    const found: SpoolRecord[] = []
    let bytes = 0
    while (this.#next <= this.#durable && found.length < limits.records && bytes < limits.bytes) {
      const place = await this.#place()
      const handle = await open(place.segment.path, 'r')
      try {
        const wanted = Math.max(headerBytes, Math.min(pieceBytes, limits.bytes - bytes))
        let piece = await readAt(handle, place.offset, Math.min(wanted, place.segment.bytes - place.offset))
        const first = lengthAt(piece, 0)
        if (first !== null && first > piece.length && place.offset + first <= place.segment.bytes)
          piece = await readAt(handle, place.offset, first)
        let at = 0
        while (found.length < limits.records && this.#next <= this.#durable) {
          const record = recordAt(piece, at)
          if (record === null || record.sequence !== this.#next) break
          found.push(record)
          at += record.bytes
          this.#next += 1
        }
        place.offset += at
        bytes += at
        if (at > 0) continue
        // what is whole goes first
        if (found.length > 0) return found
        await this.#passDamage(place)
      } finally {
        await handle.close()
      }
    }
    return found
  }

  /** Goes on behind `sequence`, which was written before. */
  async skipTo(sequence: number): Promise<void> {
    if (sequence < this.#next) return
    const segment = this.#segments.findLast(({ first }) => first <= sequence + 1)
    if (segment === undefined) return
    if (segment.first >= this.#next) {
      this.#next = segment.first
      this.#at = { segment, offset: 0 }
    }
    while (this.#next <= sequence && this.#next <= this.#durable)
      await this.read({ bytes: pieceBytes, records: sequence + 1 - this.#next })
  }

  /** All up to `sequence` is stored elsewhere: deletes what holds nothing else. `isTight`: also what is small. */
  async release(sequence: number, isTight: () => boolean): Promise<void> {
    await this.#inTurn(async () => {
      const done = this.#segments.findLastIndex(({ first }) => first <= sequence + 1)
      const isAll = sequence === this.#durable
      const isLarge = (this.#segments.at(-1)?.bytes ?? 0) * 16 >= this.#options.segmentBytes
      const isWritten = this.#handle !== null
      const count = isAll && (!isWritten || isLarge || isTight()) ? this.#segments.length : Math.max(0, done)
      for (const segment of this.#segments.slice(0, count)) {
        if (this.#handle !== null && segment === this.#segments.at(-1)) {
          await this.#handle.close()
          this.#handle = null
        }
        if (segment.isDamaged) await keepDamaged(segment.path, this.#options)
        else await rm(segment.path, { force: true })
        this.#segments.shift()
      }
    })
  }

  async close(): Promise<void> {
    await this.#inTurn(async () => {
      await this.#handle?.close()
      this.#handle = null
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const own = this.#turn.then(work)
    this.#turn = own.catch(() => {})
    return own
  }

  async #flush(): Promise<void> {
    while (this.#waiting.length > 0) {
      let bytes = 0
      let count = 0
      for (const { content } of this.#waiting) {
        if (count > 0 && bytes + content.length > flushBytes) break
        bytes += content.length + headerBytes
        count += 1
      }
      const batch = this.#waiting.splice(0, count)
      try {
        await this.#write(batch)
        for (const { resolve } of batch) resolve()
      } catch (error) {
        for (const { reject } of batch) reject(error)
      }
    }
    this.#isFlushing = false
  }

  async #write(batch: readonly Appended[]): Promise<void> {
    if (this.#mustCut) await this.#cut()
    const records = Buffer.concat(
      batch.map(({ content }, i) =>
        encodeRecord({
          sequence: this.#durable + 1 + i,
          durable: this.#durable,
          atMs: Date.now(),
          content,
        }),
      ),
    )
    let segment = this.#segments.at(-1)
    if (segment === undefined || this.#handle === null || segment.bytes >= this.#options.segmentBytes)
      segment = await this.#begin()
    try {
      for (let at = 0; at < records.length; ) {
        const { bytesWritten } = await this.#handle!.write(
          records,
          at,
          records.length - at,
          segment.bytes + at,
        )
        at += bytesWritten
      }
      await this.#handle!.datasync()
    } catch (error) {
      this.#mustCut = true
      try {
        await this.#cut()
      } catch (cause) {
        throw new TidemarkError(
          'TM_SPOOL',
          {
            what: `writing ${segment.path}`,
            problem: `${messageOf(error)}; what it left could not be cut off (${messageOf(cause)}), so the rows may be written`,
            todo: 'look before you send them again; with an idempotency key or event ids nothing is doubled',
          },
          { cause },
        )
      }
      throw writeError(segment.path, error)
    }
    segment.bytes += records.length
    this.#durable += batch.length
  }

  async #begin(): Promise<Segment> {
    const path = join(this.#options.dir, `${String(this.#durable + 1).padStart(16, '0')}.spool`)
    try {
      await this.#handle?.close()
      this.#handle = null
      // left by a failure: it has no record
      await rm(path, { force: true })
      if (this.#segments.at(-1)?.path === path) this.#segments.pop()
      this.#handle = await open(path, 'wx')
      await syncFolder(this.#options.dir)
    } catch (error) {
      await this.#handle?.close()
      this.#handle = null
      throw writeError(path, error)
    }
    const segment = { path, first: this.#durable + 1, bytes: 0, isDamaged: false }
    this.#segments.push(segment)
    return segment
  }

  /** After a failed write or fsync nobody knows what is on disk behind the last one that succeeded; the next goes to a new file. */
  async #cut(): Promise<void> {
    const segment = this.#segments.at(-1)
    if (this.#handle !== null && segment !== undefined) {
      await this.#handle.truncate(segment.bytes)
      await this.#handle.datasync()
      await this.#handle.close()
      this.#handle = null
    }
    this.#mustCut = false
  }

  async #place(): Promise<{ segment: Segment; offset: number }> {
    const at = this.#at
    if (at !== null && at.offset < at.segment.bytes) return at
    const found = this.#segments.find(
      ({ first, bytes }) => bytes > 0 && first >= this.#next && (at === null || first > at.segment.first),
    )
    if (found === undefined)
      throw new TidemarkError('TM_SPOOL', {
        what: `spool ${this.#options.dir}`,
        problem: `the file with record ${this.#next} is gone`,
        todo: 'restore the folder from a copy',
      })
    if (found.first !== this.#next) {
      // the file before ends too early
      if (!(await isThere(skipFile(found.path, this.#next))))
        throw new SpoolDamage(found.path, 0, 0, this.#next)
      this.#next = found.first
    }
    this.#at = { segment: found, offset: 0 }
    return this.#at
  }

  async #passDamage(place: { segment: Segment; offset: number }): Promise<void> {
    const { segment } = place
    const handle = await open(segment.path, 'r')
    let next: { readonly at: number; readonly sequence: number }
    try {
      const bytes = await readAt(handle, 0, segment.bytes)
      const behind = this.#segments.find(({ first }) => first > segment.first)
      next = nextRecord(bytes, place.offset, this.#next) ?? {
        at: segment.bytes,
        sequence: behind?.first ?? this.#durable + 1,
      }
    } finally {
      await handle.close()
    }
    if (!(await isThere(skipFile(segment.path, this.#next))))
      throw new SpoolDamage(segment.path, place.offset, next.at, this.#next)
    segment.isDamaged = true
    place.offset = next.at
    this.#next = next.sequence
  }
}

function skipFile(segment: string, sequence: number): string {
  return `${segment}.skip-${sequence}`
}

async function keepDamaged(path: string, { damagedDir, dir }: LogOptions): Promise<void> {
  await mkdir(damagedDir, { recursive: true })
  await rename(path, join(damagedDir, `${basename(dirname(dir))}-${basename(dir)}-${basename(path)}`))
}

/**
 * Cuts off what the last file has behind its last whole record, unless a later record says that it was on disk once.
 *
 * @returns the last sequence.
 */
async function cutTail(segment: Segment): Promise<number> {
  const handle = await open(segment.path, 'r+')
  try {
    const bytes = await readAt(handle, 0, segment.bytes)
    let [at, sequence] = [0, segment.first]
    while (at < bytes.length) {
      const record = recordAt(bytes, at)
      if (record !== null && record.sequence === sequence) {
        at += record.bytes
        sequence += 1
        continue
      }
      let next = nextRecord(bytes, at, sequence)
      // records of one write may reach the disk in any order: those that do not know of this one were not acknowledged either
      while (next !== null && next.durable < sequence) next = nextRecord(bytes, next.at, sequence)
      if (next === null) {
        await handle.truncate(at)
        await handle.sync()
        break
      }
      at = next.at
      sequence = next.sequence
    }
    segment.bytes = at
    return sequence - 1
  } finally {
    await handle.close()
  }
}

async function readAt(handle: FileHandle, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(Math.max(0, length))
  let have = 0
  while (have < bytes.length) {
    const { bytesRead } = await handle.read(bytes, have, bytes.length - have, at + have)
    if (bytesRead === 0) break
    have += bytesRead
  }
  return bytes.subarray(0, have)
}

function writeError(path: string, error: unknown): TidemarkError {
  const isFull = ['ENOSPC', 'EDQUOT'].includes(codeOf(error) ?? '')
  if (isFull)
    return new TidemarkError(
      'TM_OVERLOADED',
      { problem: `the disk of the spool is full (${path})`, limit: 'the disk', retryAfterSeconds: 10 },
      { cause: error },
    )
  return new TidemarkError(
    'TM_SPOOL',
    {
      what: `writing ${path}`,
      problem: `${messageOf(error)}; nothing of the call was kept`,
      todo: 'see to the disk, and send it again',
    },
    { cause: error },
  )
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
