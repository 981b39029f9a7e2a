import type { Instant } from '../../time/index.ts'
import type { InnerRow } from '../fill.ts'
import type { Cell } from '../tier.ts'
import type { SeenEnd } from './ragged-end.ts'
import { sizeOf, sizeOfCells } from './size.ts'

/** The cells of one bucket of one question, as they were at a moment of a history. Nobody changes them. */
export interface KeptBucket {
  readonly from: Instant
  readonly to: Instant
  readonly cells: readonly Cell[]
  readonly history: number
  /** The last moment at which they were known to be right. */
  moment: number
  /** By this process's clock. */
  readonly computedMs: number
  /** What the last question that came here made of the cells, row by row. Nobody changes it. */
  finished?: { readonly outputs: string; readonly rows: readonly InnerRow[] }
}

export interface KeptCounts {
  /** Buckets that were answered from here, and those that had to be read although they might have been. */
  readonly hits: number
  readonly misses: number
  /** Buckets that are held, and what they take in memory, about. */
  readonly buckets: number
  readonly bytes: number
  /** Buckets that gave way to others. */
  readonly evictions: number
}

interface Held extends KeptBucket {
  readonly question: string
  bytes: number
  /** Number of the use. */
  used: number
}

/** What is held for a new bucket to come in: this share of the memory is made free at once. */
const freeShare = 0.2

/** Buckets of a question whose cut ends are remembered: those of the last windows. */
const maxEnds = 8

/** Buckets by question and time, bounded in bytes; the least recently used give way. */
export class KeptBuckets {
  readonly #maxBytes: number
  readonly #questions = new Map<string, Map<Instant, Held>>()
  /** Only of questions that hold buckets. */
  readonly #ends = new Map<string, Map<Instant, SeenEnd>>()
  #bytes = 0
  #buckets = 0
  #uses = 0
  #hits = 0
  #misses = 0
  #evictions = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  get counts(): KeptCounts {
    return {
      hits: this.#hits,
      misses: this.#misses,
      buckets: this.#buckets,
      bytes: this.#bytes,
      evictions: this.#evictions,
    }
  }

  count(hits: number, misses: number): void {
    this.#hits += hits
    this.#misses += misses
  }

  /** What uses from here on are later than. */
  nextUse(): number {
    return ++this.#uses
  }

  of(question: string): ReadonlyMap<Instant, KeptBucket> | null {
    return this.#questions.get(question) ?? null
  }

  /** What reading a part of this bucket took, when it was cut by the range the last time. */
  endOf(question: string, bucket: Instant): SeenEnd | null {
    return this.#ends.get(question)?.get(bucket) ?? null
  }

  rememberEnd(question: string, bucket: Instant, end: SeenEnd): void {
    if (!this.#questions.has(question)) return
    const ends = this.#ends.get(question) ?? new Map<Instant, SeenEnd>()
    this.#ends.set(question, ends)
    ends.delete(bucket)
    ends.set(bucket, end)
    for (const oldest of ends.keys()) {
      if (ends.size <= maxEnds) break
      ends.delete(oldest)
    }
  }

  use(bucket: KeptBucket, use: number): void {
    const held = bucket as Held
    if (use > held.used) held.used = use
  }

  /** Of the use that computed it. False when there is no room that an earlier use could give. */
  keep(question: string, bucket: KeptBucket, use: number): boolean {
    const buckets = this.#questions.get(question) ?? new Map<Instant, Held>()
    const known = buckets.get(bucket.from)
    if (known && known.history === bucket.history && known.moment > bucket.moment) return true
    if (known) this.drop(question, known)
    const bytes = sizeOfCells(bucket.cells)
    if (this.#bytes + bytes > this.#maxBytes && !this.#makeRoom(bytes, use)) return false
    this.#questions.set(question, buckets)
    buckets.set(bucket.from, { ...bucket, question, bytes, used: use })
    this.#bytes += bytes
    this.#buckets += 1
    return true
  }

  /** Rows that were made of a bucket's cells, where they have room without taking it from others. */
  rememberFinished(bucket: KeptBucket, outputs: string, rows: readonly InnerRow[]): void {
    const held = bucket as Held
    if (this.#questions.get(held.question)?.get(held.from) !== held) return
    const bytes = sizeOf(rows) - (held.finished ? sizeOf(held.finished.rows) : 0)
    if (this.#bytes + bytes > this.#maxBytes) return
    held.finished = { outputs, rows }
    held.bytes += bytes
    this.#bytes += bytes
  }

  drop(question: string, bucket: KeptBucket): void {
    const buckets = this.#questions.get(question)
    const held = buckets?.get(bucket.from)
    if (!buckets || held !== bucket) return
    buckets.delete(bucket.from)
    if (buckets.size === 0) {
      this.#questions.delete(question)
      this.#ends.delete(question)
    }
    this.#bytes -= held.bytes
    this.#buckets -= 1
  }

  /** Never at the cost of what the same use needs: a question that is larger than the memory keeps a part of its buckets. */
  #makeRoom(bytes: number, use: number): boolean {
    const wanted = this.#maxBytes * (1 - freeShare) - bytes
    const all = [...this.#questions.values()].flatMap((buckets) => [...buckets.values()])
    all.sort((a, b) => a.used - b.used)
    for (const held of all) {
      if (this.#bytes <= wanted || held.used >= use) break
      this.drop(held.question, held)
      this.#evictions += 1
    }
    return this.#bytes + bytes <= this.#maxBytes
  }
}
