import type { Socket } from 'node:net'
import { Statement, type WireConnection } from './statement.ts'

const maxCopyMessage = 1 << 20
/** Bytes that wait for a reader; beyond it the socket is paused. */
const maxBuffered = 1 << 20

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
