import { Readable } from 'node:stream'
import type { LiveCaller, LiveHub, Subscription } from '../../live/index.ts'
import type { TidemarkError } from '../../util/errors.ts'
import { problemText } from './problems.ts'

const aliveMs = 15_000
const highWaterMark = 65_536

/**
 * One subscription as server-sent events. Whoever reads slowly is sent nothing more until there is room, and then what has changed
 * since.
 */
export class LiveEvents extends Readable {
  readonly #requestId: string
  readonly #subscription: Subscription
  readonly #timer: NodeJS.Timeout | null = null
  /** Pushed, and the reader has not come for it. */
  #isFull = false
  #hasSent = false
  #onFirst: { readonly resolve: () => void; readonly reject: (error: TidemarkError) => void } | null = null
  /** Resolves with the first event; rejects where there is no answer, which then is no stream. */
  readonly first: Promise<void>

  /** @throws TidemarkError as `LiveHub.subscribe` */
  constructor(
    hub: LiveHub,
    caller: LiveCaller,
    asked: { readonly query: unknown; readonly resume: string | null; readonly requestId: string },
  ) {
    super({ highWaterMark })
    this.#requestId = asked.requestId
    this.first = new Promise((resolve, reject) => {
      this.#onFirst = { resolve, reject }
    })
    // whoever does not wait for it is told by an event
    this.first.catch(() => {})
    this.#subscription = hub.subscribe(caller, asked.query, asked.resume, {
      send: (body, resume) => this.#send(body, resume),
      end: (error) => this.#end(error),
    })
    this.#timer = setInterval(() => {
      if (!this.#isFull) this.push(': alive\n\n')
    }, aliveMs).unref()
  }

  override _read(): void {
    if (!this.#isFull) return
    this.#isFull = false
    this.#subscription.taken()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#subscription.close()
    done(error)
  }

  /** The last event. */
  end(error: TidemarkError): void {
    this.#subscription.close()
    this.#end(error)
  }

  #send(body: string, resume: string): void {
    // the type is the name of the event, too, so that a page can listen to one kind
    const type = /^"type":"(\w+)"/.exec(body)?.[1] ?? 'message'
    const hasRoom = this.push(`event: ${type}\nid: ${resume}\ndata: {${body}}\n\n`)
    this.#isFull = !hasRoom
    this.#hasSent = true
    this.#onFirst?.resolve()
    if (hasRoom) setImmediate(() => this.#subscription.taken())
  }

  #end(error: TidemarkError): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    if (this.#hasSent) this.push(`event: problem\ndata: ${problemText(error, this.#requestId)}\n\n`)
    this.push(null)
    this.#onFirst?.reject(error)
  }
}
