import { setTimeout as sleep } from 'node:timers/promises'
import {
  type AnswerMessage,
  type ChangeMessage,
  changedRows,
  type LiveRows,
  wholeRows,
} from '../../src/client/live-rows.ts'
import type { LiveCaller, LiveHub, LiveSink, Subscription } from '../../src/live/index.ts'
import type { TidemarkError } from '../../src/util/errors.ts'

/** A subscriber that keeps the answer, as the client does, and what it was sent. */
export class TestReader implements LiveSink {
  readonly messages: (AnswerMessage | ChangeMessage)[] = []
  error: TidemarkError | null = null
  resume: string | null = null
  /** Whether it takes what it is sent by itself. */
  isQuick = true
  #rows: LiveRows | null = null
  #subscription: Subscription | null = null

  constructor(hub: LiveHub, caller: LiveCaller, query: unknown) {
    this.open(hub, caller, query)
  }

  get rows(): readonly object[] | null {
    return this.#rows?.items.map(({ row }) => row) ?? null
  }

  open(hub: LiveHub, caller: LiveCaller, query: unknown): void {
    this.#subscription = hub.subscribe(caller, query, this.resume, this)
  }

  send(body: string, resume: string): void {
    const message = JSON.parse(`{${body}}`) as AnswerMessage | ChangeMessage
    this.messages.push(message)
    this.resume = resume
    if (message.type === 'answer') this.#rows = wholeRows({ ...message, columns: [] })
    else this.#rows = changedRows(this.#rows as LiveRows, message)
    if (this.isQuick) setImmediate(() => this.take())
  }

  take(): void {
    this.#subscription?.taken()
  }

  end(error: TidemarkError): void {
    this.error = error
  }

  close(): void {
    this.#subscription?.close()
    this.#subscription = null
  }
}

export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  ms = 10_000,
): Promise<void> {
  const end = performance.now() + ms
  while (!(await condition())) {
    if (performance.now() > end) throw new Error(`waited in vain until ${what}`)
    await sleep(5)
  }
}
