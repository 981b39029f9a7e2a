import { TidemarkError } from '../util/errors.ts'
import { cancelledError } from './cancelled.ts'

export interface RoomOptions {
  readonly maxBytes: number
  readonly maxWaitMs: number
  /** ms, of a clock that does not jump. */
  readonly now?: () => number
}

interface Waiter {
  readonly bytes: number
  readonly enter: () => void
}

/** Over how long the speed is measured at which room comes back. */
const rateMs = 5000

/**
 * Memory for what waits to be written, lent in the order of asking. A piece that is larger than all of it has to have it for
 * itself alone.
 */
export class Room {
  readonly #options: Required<RoomOptions>
  readonly #waiting: Waiter[] = []
  #used = 0
  /** What came back since `#since`, and its speed before: bytes in a ms. */
  #returned = 0
  #since: number
  #rate: number | null = null

  constructor(options: RoomOptions) {
    this.#options = { now: () => performance.now(), ...options }
    this.#since = this.#options.now()
  }

  get usedBytes(): number {
    return this.#used
  }

  /**
   * Waits for room. The function gives it back; calling it again does nothing.
   *
   * @throws TidemarkError TM_OVERLOADED, TM_CANCELLED
   */
  async take(bytes: number, signal: AbortSignal | null): Promise<() => void> {
    const needed = Math.max(0, Math.min(bytes, this.#options.maxBytes))
    if (signal?.aborted) throw cancelledError(signal)
    if (this.#waiting.length > 0 || !this.#fits(needed)) await this.#wait(needed, signal)
    else this.#used += needed
    let isLent = true
    return () => {
      if (!isLent) return
      isLent = false
      this.#giveBack(needed)
    }
  }

  #fits(bytes: number): boolean {
    return this.#used + bytes <= this.#options.maxBytes
  }

  #wait(bytes: number, signal: AbortSignal | null): Promise<void> {
    const { maxWaitMs } = this.#options
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', cancel)
        const at = this.#waiting.indexOf(waiter)
        if (at >= 0) this.#waiting.splice(at, 1)
      }
      const waiter: Waiter = {
        bytes,
        enter: () => {
          leave()
          this.#used += bytes
          resolve()
        },
      }
      const cancel = (): void => {
        leave()
        reject(cancelledError(signal!))
        this.#admit()
      }
      const timer = setTimeout(() => {
        leave()
        reject(this.#overloaded(bytes))
        this.#admit()
      }, maxWaitMs)
      signal?.addEventListener('abort', cancel)
      this.#waiting.push(waiter)
    })
  }

  #giveBack(bytes: number): void {
    this.#used -= bytes
    this.#returned += bytes
    const ms = this.#options.now() - this.#since
    if (ms >= rateMs) {
      this.#rate = this.#returned / ms
      this.#returned = 0
      this.#since = this.#options.now()
    }
    this.#admit()
  }

  #admit(): void {
    for (;;) {
      const [next] = this.#waiting
      if (next === undefined || !this.#fits(next.bytes)) return
      next.enter()
    }
  }

  /** Until what is here and what waits before has gone through, as fast as lately: 1 to 60 s. */
  #overloaded(bytes: number): TidemarkError {
    const ahead = this.#used + bytes + this.#waiting.reduce((sum, waiter) => sum + waiter.bytes, 0)
    const ms = this.#options.now() - this.#since
    const rate = this.#rate ?? (ms > 0 ? this.#returned / ms : 0)
    const seconds = rate > 0 ? Math.ceil(ahead / rate / 1000) : 60
    return new TidemarkError('TM_OVERLOADED', {
      problem: `${this.#used} bytes wait to be written, and there was no room for ${bytes} more in ${this.#options.maxWaitMs} ms`,
      limit: `${this.#options.maxBytes} bytes`,
      retryAfterSeconds: Math.min(60, Math.max(1, seconds)),
    })
  }
}
