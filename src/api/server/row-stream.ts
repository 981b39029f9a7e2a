import { setMaxListeners } from 'node:events'
import type { WebSocket } from '@fastify/websocket'
import type { ScopedTidemark } from '../../scoped.ts'
import type { ErrorParams, TidemarkError } from '../../util/errors.ts'
import { toJsonText } from '../../util/json.ts'
import { parseRows } from './json-body.ts'

export interface RowStreamOptions {
  readonly dataset: string
  readonly onConflict: 'error' | 'ignore' | 'update'
  /** The sender's name for what it sends, by which frames that come again are known; null: they are not. */
  readonly name: string | null
  /** Number of the first frame. */
  readonly from: number
  /** Resolves when nothing from before what was written is given out; docs/design/cache.md. */
  readonly settled: () => Promise<void>
  /** What is known of an error that has no code. */
  readonly explain: (error: unknown) => TidemarkError
}

/** Frames that are being written at once: they share transactions, and are acknowledged in their order. */
const maxFrames = 16
const maxRows = 50_000
const pingMs = 30_000

/** Close codes of RFC 6455: 1011 the server cannot go on, 1013 try again later. */
const tryAgain = 1013

/** Writes the frames of one WebSocket. While as much is being written as may be, the socket is not read. */
export class RowStream {
  readonly #tm: ScopedTidemark
  readonly #socket: WebSocket
  readonly #options: RowStreamOptions
  readonly #gone = new AbortController()
  readonly #frames: string[] = []
  #next: number
  #writing = 0
  #rows = 0
  /** Answers go out one after the other. */
  #answered: Promise<void> = Promise.resolve()
  #isAlive = true

  constructor(tm: ScopedTidemark, socket: WebSocket, options: RowStreamOptions) {
    this.#tm = tm
    this.#socket = socket
    this.#options = options
    this.#next = options.from
    // each frame listens, and some wait for room beside
    setMaxListeners(4 * maxFrames, this.#gone.signal)
    const timer = setInterval(() => this.#ping(), pingMs)
    timer.unref()
    socket.on('pong', () => {
      this.#isAlive = true
    })
    socket.on('message', (data) => {
      this.#frames.push(data.toString())
      this.#start()
    })
    // a frame that is too large, or is none: the connection is closed with the code for it
    socket.on('error', () => {})
    socket.on('close', () => {
      clearInterval(timer)
      this.#frames.length = 0
      this.#gone.abort()
    })
  }

  get #isFull(): boolean {
    return this.#writing >= maxFrames || this.#rows >= maxRows
  }

  #start(): void {
    while (this.#frames.length > 0 && !this.#isFull && !this.#gone.signal.aborted)
      this.#take(this.#frames.shift()!)
    if (this.#isFull || this.#frames.length > 0) this.#socket.pause()
    else this.#socket.resume()
  }

  #take(text: string): void {
    const seq = this.#next++
    this.#writing += 1
    let count = 0
    const written = (async () => {
      const rows = parseRows(text)
      count = rows.length
      this.#rows += count
      return this.#write(seq, rows)
    })()
    // awaited below, in its turn
    written.catch(() => {})
    this.#answered = this.#answered.then(async () => {
      try {
        if (!this.#gone.signal.aborted) await this.#answer(seq, written)
      } finally {
        await written.catch(() => {})
        this.#writing -= 1
        this.#rows -= count
        this.#start()
      }
    })
  }

  async #write(seq: number, rows: readonly unknown[]): ReturnType<ScopedTidemark['ingestUnknown']> {
    const { dataset, onConflict, name, settled } = this.#options
    try {
      return await this.#tm.ingestUnknown(dataset, rows, {
        onConflict,
        idempotencyKey: name === null ? null : `stream ${name} ${seq}`,
        source: 'websocket',
        signal: this.#gone.signal,
      })
    } finally {
      await settled()
    }
  }

  async #answer(seq: number, written: ReturnType<ScopedTidemark['ingestUnknown']>): Promise<void> {
    try {
      const { isReplayed, isQueued: _, ...report } = await written
      await this.#send({ seq, ...report, replayed: isReplayed })
    } catch (cause) {
      const error = this.#options.explain(cause)
      const { code, message, retryable } = error
      await this.#send({ seq, error: { code, detail: message, retryable, ...waitOf(error) } })
      // the frames behind it must not be acknowledged before it
      if (error.status >= 500) {
        this.#gone.abort()
        this.#socket.close(tryAgain, code)
      }
    }
  }

  /** Until it has left: whoever does not read answers is not read either. */
  #send(answer: object): Promise<void> {
    return new Promise((resolve) => this.#socket.send(toJsonText(answer), () => resolve()))
  }

  /** A peer that does not answer has gone without a word. */
  #ping(): void {
    // one that is not read cannot be heard
    if (this.#socket.isPaused) return
    if (this.#isAlive) this.#socket.ping()
    else this.#socket.terminate()
    this.#isAlive = false
  }
}

function waitOf(error: TidemarkError): object {
  if (error.code !== 'TM_OVERLOADED') return {}
  return { retryAfterSeconds: (error.params as ErrorParams<'TM_OVERLOADED'>).retryAfterSeconds }
}
