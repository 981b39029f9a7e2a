import { TidemarkError } from '../util/errors.ts'
import type { Ticket } from './contract.ts'

/** One computation for everybody who asks for the same meanwhile. It is given up when nobody waits for it any more. */
export class Flight<T> {
  /** Of the moment before it began. */
  readonly ticket: Ticket
  readonly #controller = new AbortController()
  readonly #landed: Promise<T>
  #waiting = 0

  constructor(ticket: Ticket, run: (signal: AbortSignal) => Promise<T>) {
    this.ticket = ticket
    this.#landed = run(this.#controller.signal)
    // whoever waits is told; there may be nobody left
    this.#landed.catch(() => {})
  }

  get isGivenUp(): boolean {
    return this.#controller.signal.aborted
  }

  /** When it has ended, however. */
  get ended(): Promise<void> {
    return this.#landed.then(
      () => {},
      () => {},
    )
  }

  giveUp(): void {
    this.#controller.abort()
  }

  /** @throws TidemarkError TM_CANCELLED when the caller goes; what the computation throws. */
  async wait(signal: AbortSignal | null): Promise<T> {
    this.#waiting += 1
    let stop: () => void = () => {}
    try {
      if (signal === null) return await this.#landed
      const left = new Promise<never>((_, reject) => {
        stop = () =>
          reject(new TidemarkError('TM_CANCELLED', { what: 'the question' }, { cause: signal.reason }))
        if (signal.aborted) stop()
        else signal.addEventListener('abort', stop, { once: true })
      })
      return await Promise.race([this.#landed, left])
    } finally {
      signal?.removeEventListener('abort', stop)
      this.#waiting -= 1
      if (this.#waiting === 0) this.giveUp()
    }
  }
}
