import { TidemarkClientError } from './errors.ts'

/** Rows of one table that go to the server together. */
export interface Batch {
  /** What tells tables, and ways of writing to them, apart. */
  readonly lane: string
  /** One row each. */
  readonly lines: readonly string[]
}

export interface BufferLimits {
  readonly maxBatchRows: number
  readonly maxBatchLength: number
  readonly maxDelayMs: number
  readonly maxBufferedRows: number
  readonly maxBufferedLength: number
  readonly concurrency: number
}

interface Lane {
  lines: string[]
  length: number
  timer: ReturnType<typeof setTimeout> | null
}

/**
 * Gathers lines into batches by number, length and time, and hands at most `concurrency` of them out at a time. What is
 * handed out counts until `write` is done with it, so that a server that is slow makes those wait who bring more.
 */
export class Buffer {
  readonly #limits: BufferLimits
  readonly #write: (batch: Batch) => Promise<void>
  readonly #lanes = new Map<string, Lane>()
  readonly #ready: Batch[] = []
  /** Batches that were cut and are not done, with what is called then. */
  readonly #open = new Map<Batch, (() => void)[]>()
  /** Those who wait for room. */
  readonly #waiting = new Set<() => void>()
  #active = 0
  #rows = 0
  #length = 0
  /** Insertions go in one after the other, so that a large one is not overtaken for ever. */
  #turn: Promise<void> = Promise.resolve()

  constructor(limits: BufferLimits, write: (batch: Batch) => Promise<void>) {
    this.#limits = limits
    this.#write = write
  }

  /** Rows that are not written yet. */
  get rows(): number {
    return this.#rows
  }

  hasRoom(rows: number, length: number): boolean {
    const { maxBufferedRows, maxBufferedLength } = this.#limits
    return this.#rows + rows <= maxBufferedRows && this.#length + length <= maxBufferedLength
  }

  /** Takes all at once, or nothing. */
  addNow(lane: string, lines: readonly string[]): void {
    const length = lines.reduce((sum, line) => sum + line.length, 0)
    if (!this.hasRoom(lines.length, length)) {
      const { maxBufferedRows, maxBufferedLength } = this.#limits
      throw new TidemarkClientError(
        'TM_FULL',
        `${lines.length} more rows do not fit: ${this.#rows} rows wait to be written, at most ${maxBufferedRows} rows ` +
          `and ${maxBufferedLength} characters may; nothing of this call was taken, try again later`,
        { retryable: true },
      )
    }
    for (const line of lines) this.#push(lane, line)
  }

  /** Takes row by row, as there is room; `stopped` says when there will be none. */
  add(lane: string, lines: readonly string[], stopped: () => void): Promise<void> {
    const added = this.#turn.then(async () => {
      for (const line of lines) {
        // one that is larger than all the room there is goes alone
        while (this.#rows > 0 && !this.hasRoom(1, line.length)) {
          this.#cutAll()
          await this.#change()
        }
        stopped()
        this.#push(lane, line)
      }
    })
    this.#turn = added.catch(() => {})
    return added
  }

  /** Hands out everything that was taken before, and waits until it is done. */
  async drain(): Promise<void> {
    await this.#turn
    this.#cutAll()
    await Promise.all(
      [...this.#open.values()].map((whenDone) => new Promise<void>((resolve) => whenDone.push(resolve))),
    )
  }

  #push(name: string, line: string): void {
    const { maxBatchRows, maxBatchLength, maxDelayMs } = this.#limits
    this.#rows += 1
    this.#length += line.length
    let lane = this.#lanes.get(name)
    if (lane && lane.lines.length > 0 && lane.length + line.length > maxBatchLength) {
      this.#cut(name)
      lane = undefined
    }
    if (!lane) {
      lane = { lines: [], length: 0, timer: setTimeout(() => this.#cut(name), maxDelayMs) }
      this.#lanes.set(name, lane)
    }
    lane.lines.push(line)
    lane.length += line.length
    if (lane.lines.length >= maxBatchRows) this.#cut(name)
  }

  #cutAll(): void {
    for (const name of [...this.#lanes.keys()]) this.#cut(name)
  }

  #cut(name: string): void {
    const lane = this.#lanes.get(name)
    if (!lane) return
    if (lane.timer) clearTimeout(lane.timer)
    this.#lanes.delete(name)
    const batch = { lane: name, lines: lane.lines }
    this.#ready.push(batch)
    this.#open.set(batch, [])
    this.#handOut()
  }

  #handOut(): void {
    while (this.#active < this.#limits.concurrency) {
      const batch = this.#ready.shift()
      if (!batch) return
      this.#active += 1
      void this.#write(batch).then(() => {
        this.#active -= 1
        this.#rows -= batch.lines.length
        for (const line of batch.lines) this.#length -= line.length
        this.#handOut()
        const awake = [...(this.#open.get(batch) ?? []), ...this.#waiting]
        this.#open.delete(batch)
        this.#waiting.clear()
        for (const wake of awake) wake()
      })
    }
  }

  /** Until a batch is done. */
  #change(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve))
  }
}
