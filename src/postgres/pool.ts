import { TidemarkError } from '../util/errors.ts'
import { ServerConnection } from './connection.ts'
import type { PoolCounts } from './contract.ts'
import type { ConnectionSettings } from './pg-client.ts'
import { cancelledError } from './translate-error.ts'

export interface PoolSettings extends ConnectionSettings {
  readonly max: number
  readonly maxWaiting: number
  readonly acquireTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly closeTimeoutMs: number
}

interface Waiter {
  readonly give: (connection: ServerConnection) => void
  readonly fail: (error: unknown) => void
}

interface Idle {
  readonly connection: ServerConnection
  readonly timer: NodeJS.Timeout
}

/** At most `max` connections, lent in the order in which they were asked for. */
export class Pool {
  readonly #settings: PoolSettings
  readonly #idle: Idle[] = []
  readonly #lent = new Set<ServerConnection>()
  readonly #leaving = new Set<Promise<void>>()
  readonly #waiters = new Set<Waiter>()
  #opening = 0
  #returning = 0
  #isClosed = false
  #onEmpty: (() => void) | null = null

  constructor(settings: PoolSettings) {
    this.#settings = settings
  }

  /** Connections that are lent, being opened or being closed. */
  get inUse(): number {
    return this.#lent.size + this.#opening + this.#leaving.size
  }

  get counts(): PoolCounts {
    return {
      max: this.#settings.max,
      inUse: this.#lent.size,
      idle: this.#idle.length,
      waiting: this.#waiters.size,
    }
  }

  async acquire(signal: AbortSignal | null): Promise<ServerConnection> {
    if (signal?.aborted) throw cancelledError(signal, 'waiting for a connection')
    if (this.#isClosed) throw closedError()
    const idle = this.#takeIdle()
    if (idle) return idle
    if (this.#waiters.size >= this.#settings.maxWaiting) {
      throw new TidemarkError('TM_BUSY', {
        what: 'getting a connection of the pool',
        tries: 1,
        lastProblem: `all ${this.#settings.max} are lent and ${this.#waiters.size} calls wait already (maxWaiting)`,
      })
    }
    return this.#wait(signal)
  }

  #wait(signal: AbortSignal | null): Promise<ServerConnection> {
    return new Promise((resolve, reject) => {
      const clear = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', abort)
        this.#waiters.delete(waiter)
      }
      const waiter: Waiter = {
        give: (connection) => {
          clear()
          resolve(connection)
        },
        fail: (error) => {
          clear()
          reject(error)
        },
      }
      const abort = () => waiter.fail(cancelledError(signal!, 'waiting for a connection'))
      const limitMs = this.#settings.acquireTimeoutMs
      const timer = setTimeout(() => {
        const what = `waiting for one of the ${this.#settings.max} connections of the pool`
        waiter.fail(new TidemarkError('TM_TIMEOUT', { what, limitMs }))
      }, limitMs)
      signal?.addEventListener('abort', abort, { once: true })
      this.#waiters.add(waiter)
      this.#openForWaiters()
    })
  }

  #takeIdle(): ServerConnection | null {
    for (let idle = this.#idle.pop(); idle; idle = this.#idle.pop()) {
      clearTimeout(idle.timer)
      if (idle.connection.isLost) continue
      idle.connection.ref()
      this.#lent.add(idle.connection)
      return idle.connection
    }
    return null
  }

  #openForWaiters(): void {
    while (
      this.#waiters.size > this.#opening + this.#returning &&
      this.#idle.length + this.inUse < this.#settings.max
    ) {
      this.#opening += 1
      ServerConnection.open(this.#settings).then(
        (connection) => {
          this.#opening -= 1
          this.#hand(connection)
        },
        (error: unknown) => {
          this.#opening -= 1
          const [waiter] = this.#waiters
          waiter?.fail(error)
          this.#openForWaiters()
          this.#checkEmpty()
        },
      )
    }
  }

  /** To the first who waits, else to the idle ones. */
  #hand(connection: ServerConnection): void {
    const [waiter] = this.#waiters
    if (waiter) {
      this.#lent.add(connection)
      connection.ref()
      waiter.give(connection)
    } else if (this.#isClosed) {
      connection.destroy()
      this.#checkEmpty()
    } else {
      const timer = setTimeout(() => this.#expire(connection), this.#settings.idleTimeoutMs)
      // An idle pool keeps no process alive.
      timer.unref()
      connection.unref()
      this.#idle.push({ connection, timer })
    }
  }

  #expire(connection: ServerConnection): void {
    const at = this.#idle.findIndex((idle) => idle.connection === connection)
    if (at >= 0) this.#idle.splice(at, 1)
    connection.end().catch(() => connection.destroy())
  }

  /** Takes a connection back; one that is not clean is closed instead of being lent again. */
  release(connection: ServerConnection): void {
    this.#lent.delete(connection)
    // Then statements that should have tidied up (unlocking, for example) were refused, too.
    const isCutShort = connection.ambientSignal?.aborted === true
    connection.statementTimeoutMs = null
    connection.ambientSignal = null
    if (connection.isClean && !isCutShort && !this.#isClosed) this.#hand(connection)
    else {
      const leaving = connection.isClean
        ? connection.end().catch(() => connection.destroy())
        : connection.abandon()
      this.#leaving.add(leaving)
      leaving.finally(() => {
        this.#leaving.delete(leaving)
        this.#openForWaiters()
        this.#checkEmpty()
      })
    }
    this.#checkEmpty()
  }

  /**
   * Takes a connection back when its last statement has ended, whatever comes of it: after a failure it is not clean and
   * is closed. Whoever asks for a connection meanwhile waits for this one rather than for a new one, so that queries in
   * a row do not need two; `cancelTimeoutMs` bounds that.
   */
  releaseAfter(connection: ServerConnection, last: Promise<void>): void {
    this.#returning += 1
    const limit = setTimeout(() => connection.destroy(), this.#settings.cancelTimeoutMs)
    const back = () => {
      clearTimeout(limit)
      this.#returning -= 1
      this.release(connection)
    }
    last.then(back, back)
  }

  #checkEmpty(): void {
    if (this.inUse === 0) this.#onEmpty?.()
  }

  /** Lends nothing more, waits for what is lent, and closes it by force after `closeTimeoutMs`. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const waiter of this.#waiters) waiter.fail(closedError())
    const idle = this.#idle.splice(0)
    for (const { timer } of idle) clearTimeout(timer)
    await Promise.all(
      idle.map(({ connection }) => {
        connection.ref()
        return connection.end().catch(() => connection.destroy())
      }),
    )
    if (this.inUse > 0) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, this.#settings.closeTimeoutMs)
        this.#onEmpty = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      for (const connection of this.#lent) connection.destroy()
    }
  }
}

function closedError(): TidemarkError {
  return new TidemarkError('TM_DATABASE', { sqlstate: '08003', problem: 'the pool of connections is closed' })
}
