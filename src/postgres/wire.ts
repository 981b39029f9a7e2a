import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import { TidemarkError } from '../util/errors.ts'
import { unreachable } from '../util/unreachable.ts'
import { type Decode, decoderFor } from './binary.ts'
import type { WireValue } from './parameters.ts'

/**
 * Statements on top of pg's connection. pg's own parser turns every value into a UTF-8 string, which destroys binary
 * results; so the messages that carry rows are taken out of the byte stream before it sees them, and everything else
 * (authentication, errors, notices, parameter changes) is passed on unchanged. The same hook pg-copy-streams uses.
 */

/** The part of pg's Connection that statements write to. */
export interface WireConnection extends EventEmitter {
  readonly stream: Socket
  readonly parsedStatements: Record<string, string>
  query(text: string): void
  parse(message: { text: string; name: string }): void
  bind(message: { portal: string; statement: string; values: readonly WireValue[]; binary: boolean }): void
  describe(message: { type: 'P'; name: string }): void
  execute(message: { portal: string; rows: number }): void
  sync(): void
  sendCopyFail(message: string): void
}

/** `I` idle, `T` in a transaction, `E` in a failed one. */
export type TransactionStatus = 'I' | 'T' | 'E'

const code = { rowDescription: 0x54, dataRow: 0x44, copyData: 0x64, readyForQuery: 0x5a }

/** Frames the backend's messages and hands rows to the statement that runs. One per connection, for its life. */
export class MessageTap {
  statement: Statement | null = null
  status: TransactionStatus = 'I'
  readonly #forward: (bytes: Buffer) => void
  #parts: Buffer[] = []
  #partsLength = 0
  #needed = 5

  constructor(stream: Socket) {
    const listeners = stream.listeners('data') as ((bytes: Buffer) => void)[]
    if (listeners.length !== 1) unreachable(`pg has ${listeners.length} readers of a connection, not one`)
    this.#forward = listeners[0]!
    stream.removeListener('data', this.#forward)
    stream.on('data', (bytes) => this.#receive(bytes))
  }

  #receive(chunk: Buffer): void {
    let bytes = chunk
    if (this.#partsLength > 0) {
      this.#parts.push(chunk)
      this.#partsLength += chunk.length
      // A message larger than a chunk is joined once, when all of it is there.
      if (this.#partsLength < this.#needed) return
      bytes = Buffer.concat(this.#parts, this.#partsLength)
      this.#parts = []
      this.#partsLength = 0
    }
    const length = bytes.length
    let offset = 0
    let passFrom = 0
    let isReady = false
    while (length - offset >= 5) {
      const end = offset + 1 + bytes.readUInt32BE(offset + 1)
      if (end > length) {
        this.#needed = end - offset
        break
      }
      const kind = bytes[offset]
      if (kind === code.dataRow || kind === code.rowDescription || kind === code.copyData) {
        if (passFrom < offset) this.#forward(bytes.subarray(passFrom, offset))
        if (kind === code.dataRow) this.statement?.row(bytes, offset + 5)
        else if (kind === code.copyData) this.statement?.copyData(bytes, offset + 5, end)
        else this.statement?.rowDescription(bytes, offset + 5)
        passFrom = end
      } else if (kind === code.readyForQuery) {
        this.status = String.fromCharCode(bytes[offset + 5]!) as TransactionStatus
        isReady = true
      }
      offset = end
    }
    this.statement?.endOfChunk()
    if (passFrom < offset) this.#forward(bytes.subarray(passFrom, offset))
    // pg forgets a statement as soon as it has failed and would not tell it of the end
    if (isReady) this.statement?.settle()
    if (offset < length) {
      const rest = bytes.subarray(offset)
      if (rest.length < 5) this.#needed = 5
      this.#parts = [rest]
      this.#partsLength = rest.length
    }
  }
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

export interface BatchItemOptions {
  /** Of a prepared statement. */
  readonly name?: string
  /** A portal of this name stays open until the transaction ends; default: the unnamed one, until the next statement. */
  readonly portal?: string
  /** How many rows to give before the portal is left standing; default 0: all of them. */
  readonly maxRows?: number
}

/** A statement of a batch: its text and what goes in, then what has come back. */
export class BatchItem {
  readonly answer: { rows: unknown[][]; columns: string[]; rowCount: number } = {
    rows: [],
    columns: [],
    rowCount: 0,
  }
  /** There are more rows than were asked for. */
  isSuspended = false
  readonly text: string
  readonly name: string
  readonly portal: string
  readonly maxRows: number
  /** Null: the portal is there already. */
  readonly values: readonly WireValue[] | null
  #decoders: Decode[] = []

  constructor(text: string, values: readonly WireValue[] | null = [], options: BatchItemOptions = {}) {
    this.text = text
    this.values = values
    this.name = options.name ?? ''
    this.portal = options.portal ?? ''
    this.maxRows = options.maxRows ?? 0
  }

  /** The next rows of the same portal. */
  more(maxRows: number): BatchItem {
    const item = new BatchItem(this.text, null, { portal: this.portal, maxRows })
    item.#decoders = this.#decoders
    item.answer.columns = this.answer.columns
    return item
  }

  describe(bytes: Buffer, start: number): void {
    const count = bytes.readInt16BE(start)
    let offset = start + 2
    for (let i = 0; i < count; i += 1) {
      const end = bytes.indexOf(0, offset)
      const name = bytes.toString('utf8', offset, end)
      this.answer.columns.push(name)
      // name, table oid (4), attribute number (2), type oid (4), size (2), modifier (4), format (2)
      this.#decoders.push(decoderFor(bytes.readUInt32BE(end + 7), name))
      offset = end + 19
    }
  }

  add(bytes: Buffer, start: number): void {
    const count = bytes.readInt16BE(start)
    const row = new Array<unknown>(count)
    const decoders = this.#decoders
    let offset = start + 2
    for (let i = 0; i < count; i += 1) {
      const length = bytes.readInt32BE(offset)
      offset += 4
      if (length < 0) row[i] = null
      else {
        row[i] = decoders[i]!(bytes, offset, offset + length)
        offset += length
      }
    }
    this.answer.rows.push(row)
  }
}

/**
 * Statements by the extended protocol with binary results, in one round trip: there is one Sync behind the last, so the
 * first that fails ends all of them. (PgBouncer knows such a batch as one unit; a simple query followed by others
 * before its answer it does not in every version.)
 */
export class Batch extends Statement {
  readonly #items: readonly BatchItem[]
  #at = 0

  constructor(items: readonly BatchItem[]) {
    // pg asks a statement for one name only; a batch of several has none.
    super(items.map(({ text }) => text).join('; '), items.length === 1 ? items[0]!.name : '')
    this.#items = items
  }

  submit(connection: WireConnection): Error | null {
    for (const { name, text } of this.#items) {
      const known = name !== '' ? connection.parsedStatements[name] : undefined
      if (known === undefined || known === text) continue
      const problem = `the statement name "${name}" is in use for another text`
      const error = new TidemarkError('TM_DATABASE', { sqlstate: '42P05', problem })
      // Nothing was sent, so the server will not say that it is ready.
      queueMicrotask(() => this.settle(error))
      return error
    }
    connection.stream.cork()
    try {
      for (const { name, text, values, portal, maxRows } of this.#items) {
        if (values !== null) {
          if (name === '' || connection.parsedStatements[name] === undefined) connection.parse({ text, name })
          connection.bind({ portal, statement: name, values, binary: true })
          connection.describe({ type: 'P', name: portal })
        }
        connection.execute({ portal, rows: maxRows })
      }
      connection.sync()
    } finally {
      connection.stream.uncork()
    }
    return null
  }

  override handleCommandComplete(message: { text: string }): void {
    super.handleCommandComplete(message)
    this.#complete()
  }

  override handleEmptyQuery(): void {
    this.#complete()
  }

  override handlePortalSuspended(): void {
    this.#items[this.#at]!.isSuspended = true
    this.#at += 1
  }

  #complete(): void {
    const item = this.#items[this.#at]
    if (item) item.answer.rowCount = this.rowCount
    this.#at += 1
  }

  override rowDescription(bytes: Buffer, start: number): void {
    try {
      this.#items[this.#at]!.describe(bytes, start)
    } catch (error) {
      this.problem ??= error
    }
  }

  override row(bytes: Buffer, start: number): void {
    if (this.problem !== null) return
    try {
      this.#items[this.#at]!.add(bytes, start)
    } catch (error) {
      this.problem = error
    }
  }
}

/** COPY … FROM STDIN. `ready` resolves when the server takes data, or the statement has ended without that. */
export class CopyIn extends Statement {
  readonly ready: Promise<void>
  #connection: WireConnection | null = null
  #isReady!: () => void
  #onEnd: () => void = () => {}
  #ended = false

  constructor(text: string) {
    super(text)
    this.ready = new Promise((resolve) => {
      this.#isReady = resolve
    })
  }

  submit(connection: WireConnection): null {
    connection.query(this.text)
    return null
  }

  override handleCopyInResponse(connection: WireConnection): void {
    this.#connection = connection
    this.#isReady()
  }

  override handleError(error: unknown): void {
    super.handleError(error)
    this.#end()
  }

  override settle(lost: unknown = null): void {
    super.settle(lost)
    this.#end()
  }

  #end(): void {
    this.#ended = true
    this.#isReady()
    this.#onEnd()
  }

  /** Whether the server still takes data. */
  get isOpen(): boolean {
    return !this.#ended && this.#connection !== null
  }

  /** Resolves when the socket has room again. */
  async write(chunk: Uint8Array): Promise<void> {
    const stream = this.#connection!.stream
    for (let from = 0; from < chunk.length; from += maxCopyMessage) {
      if (!this.isOpen) return
      const part = chunk.subarray(from, from + maxCopyMessage)
      const header = Buffer.allocUnsafe(5)
      header[0] = 0x64
      header.writeUInt32BE(part.length + 4, 1)
      stream.cork()
      stream.write(header)
      const hasRoom = stream.write(part)
      stream.uncork()
      if (hasRoom) continue
      await new Promise<void>((resolve) => {
        const go = () => {
          stream.removeListener('drain', go)
          this.#onEnd = () => {}
          resolve()
        }
        this.#onEnd = go
        stream.once('drain', go)
      })
    }
  }

  finish(): void {
    if (this.isOpen) this.#connection!.stream.write(Buffer.from([0x63, 0, 0, 0, 4]))
  }

  fail(reason: string): void {
    if (this.isOpen) this.#connection!.sendCopyFail(reason)
  }
}

const maxCopyMessage = 1 << 20

/** COPY … TO STDOUT. The socket is paused while more than `maxBuffered` bytes wait for the reader. */
export class CopyOut extends Statement {
  #stream: Socket | null = null
  #pieces: Buffer[] = []
  #chunks: Buffer[] = []
  #buffered = 0
  #wake: () => void = () => {}
  #isDropping = false

  submit(connection: WireConnection): null {
    this.#stream = connection.stream
    connection.query(this.text)
    return null
  }

  override copyData(bytes: Buffer, start: number, end: number): void {
    if (!this.#isDropping) this.#pieces.push(bytes.subarray(start, end))
  }

  override endOfChunk(): void {
    if (this.#pieces.length === 0) return
    const chunk = Buffer.concat(this.#pieces)
    this.#pieces = []
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    if (this.#buffered > maxBuffered) this.#stream!.pause()
    this.#wake()
  }

  override settle(lost: unknown = null): void {
    super.settle(lost)
    this.#wake()
  }

  /** The next bytes, or null when nothing more has come yet or ever will. */
  take(): Buffer | null {
    const chunk = this.#chunks.shift() ?? null
    if (chunk) {
      this.#buffered -= chunk.length
      if (this.#buffered <= maxBuffered) this.#stream!.resume()
    }
    return chunk
  }

  /** Resolves when there is something to take or the statement has settled. */
  waitForMore(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  /** The reader has left: whatever still comes is thrown away. */
  drop(): void {
    this.#isDropping = true
    this.#chunks = []
    this.#pieces = []
    this.#buffered = 0
    this.#stream?.resume()
  }
}

const maxBuffered = 1 << 20
