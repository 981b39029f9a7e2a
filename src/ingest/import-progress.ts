export interface ImportProgress {
  readonly file: string
  /** Bytes of the file as it is stored; of a packed file the packed ones. */
  readonly bytesRead: number
  readonly bytesTotal: number
  /** Records read, with those that an earlier run has committed. */
  readonly records: number
  /** Rows and dead letters committed, with those of earlier runs. */
  readonly rows: number
  readonly dead: number
  /** Records of this run over its time, from the first one that no earlier run has committed. */
  readonly recordsPerSecond: number
  /** Seconds until the end at this speed; null until there is one. */
  readonly secondsLeft: number | null
}

/** How far an import is, in what its parts count. */
export interface ImportCounts {
  readonly bytesRead: number
  readonly records: number
  /** Without those that an earlier run has committed. */
  readonly recordsThisRun: number
  readonly rows: number
  readonly dead: number
}

const everyMs = 100

/** Tells how far an import is, at most every 100 ms. */
export class ProgressTeller {
  readonly #file: string
  readonly #bytesTotal: number
  readonly #onProgress: ((progress: ImportProgress) => void) | undefined
  readonly #now: () => number
  #toldAt = 0
  /** When the first record was read that is this run's own: going over those of earlier runs is much faster. */
  #since: number | null = null

  constructor(
    file: string,
    bytesTotal: number,
    onProgress: ((progress: ImportProgress) => void) | undefined,
    now: () => number = () => performance.now(),
  ) {
    this.#file = file
    this.#bytesTotal = bytesTotal
    this.#onProgress = onProgress
    this.#now = now
  }

  /** Called with the first record that no earlier run has committed. */
  begin(): void {
    this.#since ??= this.#now()
  }

  tell(counts: ImportCounts, isLast: boolean): void {
    if (!this.#onProgress) return
    const now = this.#now()
    if (!isLast && now - this.#toldAt < everyMs) return
    this.#toldAt = now
    const seconds = this.#since === null ? 0 : (now - this.#since) / 1000
    const recordsPerSecond = seconds > 0 ? counts.recordsThisRun / seconds : 0
    const bytesRead = Math.min(counts.bytesRead, this.#bytesTotal)
    // what is left is as long, record by record, as what was read
    const recordsLeft = bytesRead > 0 ? (counts.records * (this.#bytesTotal - bytesRead)) / bytesRead : null
    this.#onProgress({
      file: this.#file,
      bytesRead,
      bytesTotal: this.#bytesTotal,
      records: counts.records,
      rows: counts.rows,
      dead: counts.dead,
      recordsPerSecond,
      secondsLeft: isLast
        ? 0
        : recordsLeft !== null && recordsPerSecond > 0
          ? recordsLeft / recordsPerSecond
          : null,
    })
  }
}
