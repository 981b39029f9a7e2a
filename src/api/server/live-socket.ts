import type { WebSocket } from '@fastify/websocket'
import type { LiveCaller, LiveHub, Subscription } from '../../live/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { problemText } from './problems.ts'

export interface LiveSocketOptions {
  readonly caller: LiveCaller
  /** Under which the log knows more. */
  readonly requestId: string
  /** What is known of an error that has no code. */
  readonly explain: (error: unknown) => TidemarkError
}

interface Open {
  readonly subscription: Subscription
  /** The token of what was sent and not acknowledged; null where acknowledgements are not asked for. */
  awaited: string | null
}

const maxSubscriptions = 100
const aliveMs = 15_000
const pingMs = 30_000
const idForm = /^[\x21-\x7e]{1,64}$/

/** Subscriptions over one WebSocket; docs/reference/http.md has its messages. */
export class LiveSocket {
  readonly #hub: LiveHub
  readonly #socket: WebSocket
  readonly #options: LiveSocketOptions
  readonly #open = new Map<string, Open>()
  #isAlive = true

  constructor(hub: LiveHub, socket: WebSocket, options: LiveSocketOptions) {
    this.#hub = hub
    this.#socket = socket
    this.#options = options
    const ping = setInterval(() => this.#ping(), pingMs).unref()
    // scripts of a page cannot see pings, and have to know that somebody is there
    const alive = setInterval(() => socket.send('{"type":"alive"}'), aliveMs).unref()
    socket.on('pong', () => {
      this.#isAlive = true
    })
    socket.on('message', (data) => this.#take(data.toString()))
    // a frame that is too large, or is none: the connection is closed with the code for it
    socket.on('error', () => {})
    socket.on('close', () => {
      clearInterval(ping)
      clearInterval(alive)
      for (const { subscription } of this.#open.values()) subscription.close()
      this.#open.clear()
    })
  }

  #take(text: string): void {
    let id: string | null = null
    try {
      const message = readMessage(text)
      id = message.id
      if (message.type === 'subscribe') this.#subscribe(message)
      else if (message.type === 'unsubscribe') this.#unsubscribe(message.id)
      else this.#acknowledged(message)
    } catch (error) {
      this.#refuse(id, this.#options.explain(error))
    }
  }

  #subscribe({ id, query, resume, ack }: SubscribeMessage): void {
    if (this.#open.has(id))
      throw new TidemarkError('TM_QUERY', {
        path: 'id',
        problem: `"${id}" is the name of a subscription already`,
      })
    if (this.#open.size >= maxSubscriptions)
      throw new TidemarkError('TM_LIVE_LIMIT', {
        problem: `this socket has ${this.#open.size} subscriptions`,
        limit: `${maxSubscriptions} of a socket`,
      })
    const name = JSON.stringify(id)
    const subscription = this.#hub.subscribe(this.#options.caller, query, resume, {
      send: (body, token) => {
        if (ack) open.awaited = token
        this.#socket.send(`{"id":${name},${body}}`, ack ? undefined : () => subscription.taken())
      },
      end: (error) => {
        this.#open.delete(id)
        this.#refuse(id, error)
      },
    })
    const open: Open = { subscription, awaited: null }
    this.#open.set(id, open)
  }

  #unsubscribe(id: string): void {
    this.#open.get(id)?.subscription.close()
    this.#open.delete(id)
  }

  /** Of a subscription that has ended meanwhile, or of a message before the last: nobody waits for it. */
  #acknowledged({ id, resume }: AckMessage): void {
    const open = this.#open.get(id)
    if (open === undefined || open.awaited !== resume) return
    open.awaited = null
    open.subscription.taken()
  }

  #refuse(id: string | null, error: TidemarkError): void {
    const problem = problemText(error, this.#options.requestId)
    this.#socket.send(`{"id":${JSON.stringify(id)},"type":"error","error":${problem}}`)
  }

  /** A peer that does not answer has gone without a word. */
  #ping(): void {
    if (this.#isAlive) this.#socket.ping()
    else this.#socket.terminate()
    this.#isAlive = false
  }
}

interface SubscribeMessage {
  readonly type: 'subscribe'
  readonly id: string
  readonly query: unknown
  readonly resume: string | null
  readonly ack: boolean
}

interface AckMessage {
  readonly type: 'ack'
  readonly id: string
  readonly resume: string
}

function readMessage(text: string): SubscribeMessage | AckMessage | { type: 'unsubscribe'; id: string } {
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch (cause) {
    throw new TidemarkError(
      'TM_BODY',
      { problem: 'a message is not JSON', todo: 'send { "type": "subscribe", "id": "a", "query": { … } }' },
      { cause },
    )
  }
  const { type, id, query, resume = null, ack = false } = (given ?? {}) as Record<string, unknown>
  const refuse = (path: string, problem: string): never => {
    throw new TidemarkError('TM_QUERY', { path, problem })
  }
  if (type !== 'subscribe' && type !== 'unsubscribe' && type !== 'ack')
    return refuse('type', `${JSON.stringify(type) ?? 'nothing'} is not subscribe, unsubscribe or ack`)
  if (typeof id !== 'string' || !idForm.test(id))
    return refuse('id', 'must be 1 to 64 printable ASCII characters without spaces')
  if (type === 'unsubscribe') return { type, id }
  if (resume !== null && typeof resume !== 'string')
    return refuse('resume', 'is the token of a message, a text')
  if (type === 'ack') return { type, id, resume: resume ?? '' }
  if (typeof ack !== 'boolean') return refuse('ack', 'is true or false')
  return { type, id, query, resume, ack }
}
