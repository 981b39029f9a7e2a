import type { WireValue } from './parameters.ts'

/**
 * Messages of the extended query protocol, one behind the other in one piece of memory, so that a batch is one write. Results are
 * asked for in binary, values sent as text, or in binary where they are bytes.
 */
export class FrontendMessages {
  #bytes = Buffer.allocUnsafe(2048)
  #length = 0
  /** Where the message that is being written has its length. */
  #begin = 0

  parse(name: string, text: string): void {
    this.#open(0x50)
    this.#text(name)
    this.#text(text)
    this.#int16(0)
    this.#end()
  }

  bind(portal: string, statement: string, values: readonly WireValue[]): void {
    this.#open(0x42)
    this.#text(portal)
    this.#text(statement)
    this.#int16(values.length)
    for (const value of values) this.#int16(value instanceof Uint8Array ? 1 : 0)
    this.#int16(values.length)
    for (const value of values) this.#value(value)
    // one format, for all columns: binary
    this.#int16(1)
    this.#int16(1)
    this.#end()
  }

  /** Asks for the columns of a portal. */
  describe(portal: string): void {
    this.#named(0x44, 0x50, portal)
  }

  execute(portal: string, maxRows: number): void {
    this.#open(0x45)
    this.#text(portal)
    this.#int32(maxRows)
    this.#end()
  }

  /** Forgets a prepared statement; it need not be there. */
  close(statement: string): void {
    this.#named(0x43, 0x53, statement)
  }

  sync(): void {
    this.#open(0x53)
    this.#end()
  }

  take(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  #named(kind: number, of: number, name: string): void {
    this.#open(kind)
    this.#grow(1)
    this.#bytes[this.#length++] = of
    this.#text(name)
    this.#end()
  }

  #open(kind: number): void {
    this.#grow(5)
    this.#bytes[this.#length] = kind
    this.#begin = this.#length + 1
    this.#length += 5
  }

  #end(): void {
    this.#bytes.writeInt32BE(this.#length - this.#begin, this.#begin)
  }

  #value(value: WireValue): void {
    if (value === null) this.#int32(-1)
    else if (typeof value === 'string') {
      const at = this.#length
      this.#int32(0)
      this.#utf8(value)
      this.#bytes.writeInt32BE(this.#length - at - 4, at)
    } else {
      this.#int32(value.length)
      this.#grow(value.length)
      value.copy(this.#bytes, this.#length)
      this.#length += value.length
    }
  }

  #text(text: string): void {
    this.#utf8(text)
    this.#grow(1)
    this.#bytes[this.#length++] = 0
  }

  #utf8(text: string): void {
    // three bytes a unit at most; counted only where that would be much
    this.#grow(text.length > 4096 ? Buffer.byteLength(text) : text.length * 3)
    this.#length += this.#bytes.write(text, this.#length)
  }

  #int16(value: number): void {
    this.#grow(2)
    this.#bytes.writeUInt16BE(value, this.#length)
    this.#length += 2
  }

  #int32(value: number): void {
    this.#grow(4)
    this.#bytes.writeInt32BE(value, this.#length)
    this.#length += 4
  }

  #grow(bytes: number): void {
    const needed = this.#length + bytes
    if (needed <= this.#bytes.length) return
    const larger = Buffer.allocUnsafe(Math.max(needed, 2 * this.#bytes.length))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}
