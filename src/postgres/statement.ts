import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'

/** The part of pg's Connection that statements write to. */
export interface WireConnection extends EventEmitter {
  readonly stream: Socket
  readonly parsedStatements: Record<string, string>
  query(text: string): void
  sendCopyFail(message: string): void
}

/** The interface that pg's Client calls; `done` settles once the server is ready for the next statement. */
export abstract class Statement {
  readonly done: Promise<void>
  readonly text: string
  readonly name: string
  /** Command tag, e.g. `COMMIT` or `INSERT 0 3`. */
  tag = ''
  protected problem: unknown = null
  #resolve!: () => void
  #reject!: (error: unknown) => void
  #settled = false

  constructor(text: string, name = '') {
    this.text = text
    this.name = name
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.done.catch(() => {})
  }

  abstract submit(connection: WireConnection): Error | null

  rowDescription(_bytes: Buffer, _start: number): void {}
  row(_bytes: Buffer, _start: number): void {}
  copyData(_bytes: Buffer, _start: number, _end: number): void {}
  endOfChunk(): void {}

  handleError(error: unknown): void {
    this.problem ??= error
  }

  handleCommandComplete(message: { text: string }): void {
    this.tag = message.text
  }

  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}

  /** From the owner of the connection: the server is ready again, or will never be. */
  settle(lost: unknown = null): void {
    if (this.#settled) return
    this.#settled = true
    const problem = this.problem ?? lost
    if (problem) this.#reject(problem)
    else this.#resolve()
  }

  handleReadyForQuery(): void {
    this.settle()
  }

  handleCopyInResponse(connection: WireConnection): void {
    connection.sendCopyFail('this statement has no data to copy')
  }

  get rowCount(): number {
    const match = / (\d+)$/.exec(this.tag)
    return match ? Number(match[1]) : 0
  }
}

/** Several statements by the simple protocol; rows are dropped. */
export class Script extends Statement {
  submit(connection: WireConnection): null {
    connection.query(this.text)
    return null
  }
}
