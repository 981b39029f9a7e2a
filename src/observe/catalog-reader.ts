import type { Tidemark } from '../engine.ts'

type Gauges = Awaited<ReturnType<Tidemark['gauges']>>

export interface CatalogReading {
  /** Null: the database did not answer in time. */
  readonly gauges: Gauges | null
  readonly ms: number
}

export interface CatalogReaderOptions {
  readonly tm: Pick<Tidemark, 'gauges'>
  /** For so long a reading serves everybody who asks. Default 5000. */
  readonly maxAgeMs?: number
  /** A reading that takes longer is given up: Prometheus waits 10 s. Default 4000. */
  readonly timeoutMs?: number
}

/** Reads the catalog for metrics: one reading at a time, kept for some seconds, also when it failed. */
export class CatalogReader {
  readonly #options: Required<CatalogReaderOptions>
  #reading: Promise<CatalogReading> | null = null
  #readAt = Number.NEGATIVE_INFINITY

  constructor(options: CatalogReaderOptions) {
    this.#options = { maxAgeMs: 5000, timeoutMs: 4000, ...options }
  }

  read(): Promise<CatalogReading> {
    const isOld = performance.now() - this.#readAt > this.#options.maxAgeMs
    if (this.#reading !== null && !isOld) return this.#reading
    // until it is there everybody waits for it
    this.#readAt = Number.POSITIVE_INFINITY
    this.#reading = this.#read()
    return this.#reading
  }

  async #read(): Promise<CatalogReading> {
    const { tm, timeoutMs } = this.#options
    const startedMs = performance.now()
    const stop = new AbortController()
    let timer: NodeJS.Timeout | undefined
    // also where nobody listens to the signal: the folder of the lake may lie on a disk that hangs
    const late = new Promise<null>((resolve) => {
      timer = setTimeout(() => {
        stop.abort()
        resolve(null)
      }, timeoutMs)
    })
    const gauges = await Promise.race([tm.gauges({ signal: stop.signal }), late])
    clearTimeout(timer)
    this.#readAt = performance.now()
    return { gauges, ms: this.#readAt - startedMs }
  }
}
