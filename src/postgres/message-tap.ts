import type { Socket } from 'node:net'
import { unreachable } from '../util/unreachable.ts'
import type { Statement } from './statement.ts'

/** `I` idle, `T` in a transaction, `E` in a failed one. */
export type TransactionStatus = 'I' | 'T' | 'E'

const code = { rowDescription: 0x54, dataRow: 0x44, copyData: 0x64, readyForQuery: 0x5a }

/**
 * Frames the backend's messages and hands rows to the statement that runs. One per connection, for its life.
 *
 * pg's own parser turns every value into a UTF-8 string, which destroys binary results; so the messages that carry rows are
 * taken out of the byte stream before it sees them, and everything else (authentication, errors, notices, parameter
 * changes) is passed on unchanged. The same hook pg-copy-streams uses.
 */
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
