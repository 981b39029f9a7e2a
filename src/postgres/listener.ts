import { type ConnectionSettings, makeClient, type PgClient } from './pg-client.ts'

export interface ListenerOptions {
  /** PostgreSQL itself. A pooler that lends connections by the transaction delivers nothing: then nobody listens. */
  readonly connectionString: string
  readonly channel: string
  /** Somebody has notified the channel; null: may have, while there was no connection. */
  readonly onNotify: (payload: string | null) => void
}

export interface Listener {
  close(): Promise<void>
}

const firstRetryMs = 1000
const maxRetryMs = 30_000

/**
 * Listens to a channel, over a connection of its own that is made anew when it is lost. Notifications are hints: some may be lost,
 * and whoever listens has another way to learn what is true.
 *
 * @example
 * const listener = createListener({ connectionString, channel: 'tidemark_change', onNotify: () => feed.wake() })
 * await listener.close()
 */
export function createListener(options: ListenerOptions): Listener {
  return new PostgresListener(options)
}

class PostgresListener implements Listener {
  readonly #options: ListenerOptions
  #client: PgClient | null = null
  #timer: NodeJS.Timeout | null = null
  #failures = 0
  #isClosed = false
  #connecting: Promise<void>

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#connecting = this.#connect()
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#timer) clearTimeout(this.#timer)
    await this.#connecting
    const client = this.#client
    this.#client = null
    if (client !== null) {
      client.connection.stream.ref()
      await client.end().catch(() => client.connection.stream.destroy())
    }
  }

  async #connect(): Promise<void> {
    const { connectionString, channel, onNotify } = this.#options
    const settings: ConnectionSettings = {
      connectionString,
      applicationName: 'tidemark listener',
      connectTimeoutMs: 10_000,
      cancelTimeoutMs: 5000,
    }
    const client = makeClient(settings)
    let isLost = false
    const lose = (): void => {
      if (isLost) return
      isLost = true
      if (this.#client === client) this.#client = null
      client.connection.stream.destroy()
      this.#retry()
    }
    client.on('error', lose)
    client.on('end', lose)
    client.on('notification', ({ payload }) => onNotify(payload ?? ''))
    try {
      await client.connect()
      const { rows } = await client.query<{ pid: number }>('select pg_catalog.pg_backend_pid() as pid')
      // a pooler has given it a number of its own, and would lend the connection that listens to somebody else
      if (rows[0]?.pid !== client.processID) {
        isLost = true
        await client.end()
        return
      }
      await client.query(`listen ${client.escapeIdentifier(channel)}`)
      // it keeps no process alive
      client.connection.stream.unref()
      this.#client = client
      this.#failures = 0
      onNotify(null)
    } catch {
      // whoever listens goes on without it, and it is tried again
      lose()
    }
  }

  #retry(): void {
    if (this.#isClosed) return
    const waitMs = Math.min(maxRetryMs, firstRetryMs * 2 ** this.#failures)
    this.#failures += 1
    this.#timer = setTimeout(() => {
      this.#connecting = this.#connect()
    }, waitMs)
    this.#timer.unref()
  }
}
