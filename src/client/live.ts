import type { OutputColumn } from '../query/index.ts'
import { TidemarkClientError } from './errors.ts'
import { type AnswerMessage, type ChangeMessage, changedRows, type LiveRows, wholeRows } from './live-rows.ts'
import { encodeQuery } from './values.ts'

/** What of `WebSocket` is used; the browser's, Node's from 22 on, or that of the package `ws`. */
export interface LiveSocket {
  onopen: (() => void) | null
  onclose: (() => void) | null
  onerror: (() => void) | null
  onmessage: ((event: { data: unknown }) => void) | null
  send(text: string): void
  close(): void
}

// biome-ignore lint/suspicious/noExplicitAny: the classes of browsers, Node and ws differ in what their handlers take
export type LiveSocketClass = new (url: string, protocols?: string[]) => any

/** The whole answer as it is now. */
export interface LiveAnswer<Row> {
  readonly rows: readonly Row[]
  readonly columns: readonly OutputColumn[]
  /** ISO: everything that was committed before is in it. */
  readonly asOf: string
}

/**
 * - `connecting`: there is no connection yet, or none any more; what is known stays, and it is tried again by itself.
 * - `live`: the answer is up to date, and stays so.
 * - `ended`: for good; `error` says why, null: it was ended here.
 */
export type LiveState = 'connecting' | 'live' | 'ended'

export interface SubscribeOptions<Row> {
  /** Called with the whole answer, first and after each change. Rows that did not change are the same objects. */
  readonly onChange: (answer: LiveAnswer<Row>) => void
  readonly onState?: (state: LiveState, error: TidemarkClientError | null) => void
  /** Ends it. */
  readonly signal?: AbortSignal
}

export interface LiveSubscription {
  close(): void
}

interface Live {
  readonly id: string
  readonly query: string
  readonly options: SubscribeOptions<never>
  rows: LiveRows | null
  resume: string | null
  state: LiveState | null
  timer: ReturnType<typeof setTimeout> | null
  failures: number
  readonly stop: () => void
}

type Message =
  | { readonly type: 'alive' }
  | ((AnswerMessage | ChangeMessage) & { readonly id: string })
  | {
      readonly type: 'error'
      readonly id: string | null
      readonly error: {
        readonly code: string
        readonly detail: string
        readonly status: number
        readonly retryable: boolean
        readonly params: unknown
        readonly instance: string
      }
    }

/** The server says every 15 seconds that it is there. */
const maxSilenceMs = 40_000
const firstRetryMs = 200
const maxRetryMs = 30_000

/** All subscriptions of a client, over one socket, which is made anew when it is lost. */
export class LiveConnection {
  readonly #url: string
  readonly #protocols: string[]
  readonly #Socket: LiveSocketClass | undefined
  readonly #lives = new Map<string, Live>()
  #socket: LiveSocket | null = null
  #isOpen = false
  #failures = 0
  #retry: ReturnType<typeof setTimeout> | null = null
  #silence: ReturnType<typeof setTimeout> | null = null
  #count = 0

  constructor(options: {
    readonly url: string
    readonly apiKey: string | undefined
    readonly WebSocket: LiveSocketClass | undefined
  }) {
    this.#url = `${options.url.replace(/\/+$/, '').replace(/^http/, 'ws')}/api/v1/live`
    // pages cannot send headers with a WebSocket
    this.#protocols = [
      'tidemark',
      ...(options.apiKey === undefined ? [] : [`tidemark.bearer.${options.apiKey}`]),
    ]
    this.#Socket = options.WebSocket ?? (globalThis as { WebSocket?: LiveSocketClass }).WebSocket
  }

  subscribe(dataset: string, query: object, options: SubscribeOptions<never>): LiveSubscription {
    if (!this.#Socket)
      throw new TidemarkClientError(
        'TM_CONFIG',
        'WebSocket: there is none here; give one in the options, e.g. that of the package ws',
      )
    options.signal?.throwIfAborted()
    const live: Live = {
      id: String(++this.#count),
      query: encodeQuery({ ...query, dataset }),
      options,
      rows: null,
      resume: null,
      state: null,
      timer: null,
      failures: 0,
      stop: () => this.#end(live, null),
    }
    options.signal?.addEventListener('abort', live.stop, { once: true })
    this.#lives.set(live.id, live)
    setState(live, 'connecting')
    if (this.#isOpen) this.#ask(live)
    else this.#connect()
    return { close: live.stop }
  }

  close(): void {
    for (const live of [...this.#lives.values()]) this.#end(live, null)
  }

  #connect(): void {
    if (this.#socket !== null || this.#retry !== null) return
    const socket: LiveSocket = new (this.#Socket as LiveSocketClass)(this.#url, this.#protocols)
    this.#socket = socket
    const lost = (): void => {
      if (this.#socket === socket) this.#lost()
    }
    socket.onopen = () => {
      this.#isOpen = true
      this.#hear()
      for (const live of this.#lives.values()) if (live.timer === null) this.#ask(live)
    }
    socket.onmessage = ({ data }) => {
      if (this.#socket === socket) this.#take(String(data))
    }
    socket.onclose = lost
    socket.onerror = lost
    this.#hear()
  }

  #lost(): void {
    const socket = this.#socket
    this.#socket = null
    this.#isOpen = false
    if (this.#silence !== null) clearTimeout(this.#silence)
    // what is half open must not speak again; an error while it closes is of no interest
    if (socket !== null) {
      socket.onopen = socket.onmessage = socket.onclose = null
      socket.onerror = () => {}
      socket.close()
    }
    if (this.#lives.size === 0) return
    for (const live of this.#lives.values()) setState(live, 'connecting')
    this.#retry = setTimeout(
      () => {
        this.#retry = null
        if (this.#lives.size > 0) this.#connect()
      },
      jitter(this.#failures++),
    )
  }

  /** Something has come; the next thing has to before long. */
  #hear(): void {
    if (this.#silence !== null) clearTimeout(this.#silence)
    this.#silence = setTimeout(() => this.#lost(), maxSilenceMs)
  }

  #ask(live: Live): void {
    const resume = live.resume === null ? '' : `,"resume":${JSON.stringify(live.resume)}`
    this.#socket?.send(`{"type":"subscribe","id":"${live.id}","ack":true,"query":${live.query}${resume}}`)
  }

  #take(text: string): void {
    this.#hear()
    const message = JSON.parse(text) as Message
    if (message.type === 'alive') return
    this.#failures = 0
    const live = this.#lives.get(message.id ?? '')
    if (message.type === 'error') {
      if (live) this.#refused(live, message.error)
      return
    }
    if (!live) return
    live.failures = 0
    live.resume = message.resume
    // what is half known is asked for whole
    if (message.type === 'change' && live.rows === null) return
    const isSame = message.type === 'change' && message.removed.length === 0 && message.set.length === 0
    live.rows = message.type === 'answer' ? wholeRows(message) : changedRows(live.rows as LiveRows, message)
    this.#socket?.send(JSON.stringify({ type: 'ack', id: live.id, resume: message.resume }))
    setState(live, 'live')
    if (isSame) return
    const { columns, items } = live.rows
    call(() =>
      live.options.onChange({ rows: items.map(({ row }) => row as never), columns, asOf: message.asOf }),
    )
  }

  #refused(live: Live, problem: Extract<Message, { type: 'error' }>['error']): void {
    if (!problem.retryable) {
      const { code, detail, instance, ...details } = problem
      this.#end(live, new TidemarkClientError(code, detail, { ...details, requestId: instance }))
      return
    }
    setState(live, 'connecting')
    live.timer = setTimeout(
      () => {
        live.timer = null
        if (this.#isOpen) this.#ask(live)
      },
      jitter(live.failures++),
    )
  }

  #end(live: Live, error: TidemarkClientError | null): void {
    if (!this.#lives.delete(live.id)) return
    live.options.signal?.removeEventListener('abort', live.stop)
    if (live.timer !== null) clearTimeout(live.timer)
    if (error === null && this.#isOpen) this.#socket?.send(`{"type":"unsubscribe","id":"${live.id}"}`)
    setState(live, 'ended', error)
    if (this.#lives.size > 0) return
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#retry = null
    this.#lost()
  }
}

function setState(live: Live, state: LiveState, error: TidemarkClientError | null = null): void {
  if (live.state === state) return
  live.state = state
  call(() => live.options.onState?.(state, error))
}

/** What a listener throws is its own error, and not the connection's. */
function call(listener: () => void): void {
  try {
    listener()
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}

/** Exponential, between half of it and all of it: those who were cut off together do not come back together. */
function jitter(failures: number): number {
  return Math.min(maxRetryMs, firstRetryMs * 2 ** Math.min(failures, 10)) * (0.5 + Math.random() / 2)
}
