import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { TidemarkError } from '../util/errors.ts'
import { type RedisChange, RedisHealth } from './redis-health.ts'

export interface RedisLinkOptions {
  readonly url: string
  /** How long a command may take. */
  readonly timeoutMs: number
  /** Scripts by name, as Lua. */
  readonly scripts: Readonly<Record<string, string>>
  /** Called with each connection before anything else may use it; when it fails, the connection is given up. */
  readonly onConnected: () => Promise<void>
  /** Called when Redis goes down, for another reason, or comes up again. Default: nobody is told. */
  readonly onChange?: ((change: RedisChange) => void) | undefined
  /** Of `RedisHealth`. */
  readonly calmMs?: number | undefined
}

export type RedisArgument = string | Buffer
export type RedisRun = (
  script: string,
  keys: readonly string[],
  args: readonly RedisArgument[],
) => Promise<unknown>

export interface RedisCounts {
  /** It is there, and refuses nothing. */
  readonly isUp: boolean
  /** Why not, where that is known. */
  readonly problem: string | null
  readonly commands: number
  /** Answered by an error, or not in time, or by nobody. */
  readonly errors: number
  readonly timeouts: number
  readonly connections: number
}

/** Redis is not there now, or did not answer in time. Whoever sees it goes on without. */
export class RedisGone extends Error {
  override readonly name = 'RedisGone'
}

/** Redis has answered by an error: it is full, read-only, or does not allow the command. */
export class RedisRefused extends Error {
  override readonly name = 'RedisRefused'
}

const firstPauseMs = 100
const longestPauseMs = 2000

type Library = typeof import('@redis/client')
type Client = ReturnType<Library['createClient']>

/**
 * One connection to Redis, made anew for as long as it is wanted. A command that is not answered in time ends its connection, and until
 * the next one is there every command fails at once: Redis that hangs costs a caller one bound, and those who come later nothing.
 */
export class RedisLink {
  readonly #options: RedisLinkOptions
  readonly #library: Library
  readonly #hashes: ReadonlyMap<string, string>
  readonly #closing = new AbortController()
  readonly #health: RedisHealth
  #client: Client | null = null
  #isUp = false
  /** Of the server's process: other data after each of its starts, and with whoever takes its place. */
  #runId = ''
  #life: Promise<void> = Promise.resolve()
  #dropped: () => void = () => {}
  #commands = 0
  #errors = 0
  #timeouts = 0
  #connections = 0

  private constructor(options: RedisLinkOptions, library: Library) {
    this.#options = options
    this.#library = library
    const { url, onChange: tell = () => {}, calmMs } = options
    this.#health = new RedisHealth({ url, tell, ...(calmMs === undefined ? {} : { calmMs }) })
    this.#hashes = new Map(
      Object.entries(options.scripts).map(([name, lua]) => [
        name,
        createHash('sha1').update(lua).digest('hex'),
      ]),
    )
  }

  /**
   * Resolves at once, whether Redis is there or not.
   *
   * @throws TidemarkError TM_CONFIG when the package is not installed.
   */
  static async open(options: RedisLinkOptions): Promise<RedisLink> {
    const library = await import('@redis/client').catch((cause: unknown) => {
      throw new TidemarkError(
        'TM_CONFIG',
        {
          path: 'cache.redis',
          problem: 'needs the package @redis/client, which is not installed; npm install @redis/client',
        },
        { cause },
      )
    })
    const link = new RedisLink(options, library)
    link.#life = link.#live()
    return link
  }

  /** There is a connection, and `onConnected` has done with it. */
  get isUp(): boolean {
    return this.#isUp
  }

  get runId(): string {
    return this.#runId
  }

  get counts(): RedisCounts {
    return {
      isUp: this.isUp && this.#health.problem === null,
      problem: this.#health.problem,
      commands: this.#commands,
      errors: this.#errors,
      timeouts: this.#timeouts,
      connections: this.#connections,
    }
  }

  /** @throws RedisGone, RedisRefused */
  readonly run: RedisRun = async (script, keys, args) => {
    if (this.#client === null) throw new RedisGone('Redis is not connected')
    return this.#script(this.#client, script, keys, args)
  }

  /** Ends this connection; the next one is made as after every other loss. */
  drop(): void {
    this.#dropped()
  }

  async close(): Promise<void> {
    this.#closing.abort()
    this.#dropped()
    await this.#life
  }

  async #live(): Promise<void> {
    const { signal } = this.#closing
    let pause = firstPauseMs
    while (!signal.aborted) {
      const since = performance.now()
      await this.#connection()
      // one that has held is gone for another reason than the one before
      pause = performance.now() - since > 10_000 ? firstPauseMs : Math.min(2 * pause, longestPauseMs)
      const jittered = pause * (0.5 + Math.random() / 2)
      await sleep(jittered, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  /** Resolves when it is lost. Why one was lost is counted, and no caller's matter. */
  async #connection(): Promise<void> {
    const { url, timeoutMs, onConnected } = this.#options
    const client = this.#library.createClient({
      url,
      RESP: 2,
      disableOfflineQueue: true,
      disableClientInfo: true,
      commandsQueueMaxLength: 10_000,
      maintNotifications: 'disabled',
      socket: { connectTimeout: Math.max(timeoutMs, 1000), reconnectStrategy: false },
    })
    const lost = new Promise<unknown>((resolve) => {
      this.#dropped = () => resolve(null)
      client.on('error', resolve)
      client.on('end', () => resolve(null))
    })
    let problem: unknown = null
    try {
      await this.#bounded(client.connect(), Math.max(timeoutMs, 1000))
      // a server lives as long as it listens, whether Redis is there or not
      client.unref()
      this.#connections += 1
      const info = String(await this.#command(client as Client, 'connect', ['INFO', 'server']))
      const runId = /^run_id:(\w+)/m.exec(info)?.[1]
      if (runId === undefined) throw new RedisGone('INFO of Redis names no run_id')
      this.#runId = runId
      this.#client = client as Client
      await Promise.race([onConnected(), lost])
      this.#isUp = true
      this.#health.connected()
      problem = await lost
    } catch (error) {
      this.#errors += 1
      problem = error
      // the client's own first commands
      if (error instanceof this.#library.ErrorReply) this.#health.refused('connect', error.message)
    } finally {
      this.#isUp = false
      const isRefused = problem instanceof this.#library.ErrorReply || problem instanceof RedisRefused
      if (!this.#closing.signal.aborted && !isRefused) this.#health.gone(problem)
      this.#client = null
      this.#dropped = () => {}
      if (client.isOpen) client.destroy()
    }
  }

  async #script(
    client: Client,
    script: string,
    keys: readonly string[],
    args: readonly RedisArgument[],
  ): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...args]
    try {
      return await this.#command(client, script, ['EVALSHA', this.#hashes.get(script)!, ...rest])
    } catch (error) {
      if (!(error instanceof RedisRefused && error.message.startsWith('NOSCRIPT'))) throw error
      return this.#command(client, script, ['EVAL', this.#options.scripts[script]!, ...rest])
    }
  }

  /** @param what Names it where it is refused. */
  async #command(client: Client, what: string, args: readonly RedisArgument[]): Promise<unknown> {
    this.#commands += 1
    try {
      const typeMapping = { [this.#library.RESP_TYPES.BLOB_STRING]: Buffer }
      const sent = client.sendCommand([...args], { typeMapping })
      const reply = await this.#bounded(sent, this.#options.timeoutMs)
      this.#health.passed(what)
      return reply
    } catch (error) {
      const isAnswer = error instanceof this.#library.ErrorReply
      if (!isAnswer || !error.message.startsWith('NOSCRIPT')) {
        this.#errors += 1
        if (isAnswer) this.#health.refused(what, error.message)
      }
      if (isAnswer) throw new RedisRefused(error.message, { cause: error })
      if (client === this.#client) this.#dropped()
      throw error instanceof RedisGone ? error : new RedisGone('Redis is gone', { cause: error })
    }
  }

  async #bounded<T>(promise: Promise<T>, ms: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        // What has arrived while this process was busy with something else is read first: timers come before the network.
        setImmediate(() => {
          reject(new RedisGone(`Redis did not answer within ${ms} ms`))
        })
      }, ms)
    })
    promise.catch(() => {})
    try {
      return await Promise.race([promise, late])
    } catch (error) {
      if (error instanceof RedisGone) this.#timeouts += 1
      throw error
    } finally {
      clearTimeout(timer)
    }
  }
}
