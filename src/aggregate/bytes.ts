import { TidemarkError } from '../util/errors.ts'

/**
 * The bytes of states: LEB128 integers, zigzag for signed ones, big-endian doubles with one NaN and one zero, and
 * UTF-8 behind its length. Equal values have equal bytes.
 */
export class ByteWriter {
  #bytes = new Uint8Array(64)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  #reserve(count: number): void {
    const needed = this.#length + count
    if (needed <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
    this.#view = new DataView(grown.buffer)
  }

  byte(value: number): this {
    this.#reserve(1)
    this.#bytes[this.#length++] = value
    return this
  }

  /** A whole number from 0 to 2^53 - 1. */
  count(value: number): this {
    this.#reserve(8)
    let rest = value
    while (rest > 127) {
      this.#bytes[this.#length++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    this.#bytes[this.#length++] = rest
    return this
  }

  integer(value: bigint): this {
    let rest = value < 0n ? -value * 2n - 1n : value * 2n
    while (rest > 127n) {
      this.byte(Number(rest & 127n) | 128)
      rest >>= 7n
    }
    return this.byte(Number(rest))
  }

  double(value: number): this {
    this.#reserve(8)
    // one NaN (V8 may keep a payload) and one zero
    if (Number.isNaN(value)) this.#view.setUint32(this.#length, 0x7ff80000)
    else this.#view.setFloat64(this.#length, value === 0 ? 0 : value)
    if (Number.isNaN(value)) this.#view.setUint32(this.#length + 4, 0)
    this.#length += 8
    return this
  }

  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
    return this
  }

  text(value: string): this {
    const bytes = utf8.encode(value)
    return this.count(bytes.length).raw(bytes)
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}

const utf8 = new TextEncoder()
const fromUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #offset = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  byte(): number {
    const value = this.#bytes[this.#offset]
    if (value === undefined) throw damaged('it ends too early')
    this.#offset += 1
    return value
  }

  count(): number {
    let value = 0
    for (let factor = 1; ; factor *= 128) {
      const next = this.byte()
      value += (next & 127) * factor
      if (next < 128) break
    }
    if (!Number.isSafeInteger(value)) throw damaged('a count is over 2^53')
    return value
  }

  integer(): bigint {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const next = this.byte()
      value |= BigInt(next & 127) << shift
      if (next < 128) break
    }
    return value & 1n ? -(value >> 1n) - 1n : value >> 1n
  }

  double(): number {
    if (this.#offset + 8 > this.#bytes.length) throw damaged('it ends too early')
    const value = this.#view.getFloat64(this.#offset)
    this.#offset += 8
    return value
  }

  raw(count: number): Uint8Array {
    if (this.#offset + count > this.#bytes.length) throw damaged('it ends too early')
    const bytes = this.#bytes.slice(this.#offset, this.#offset + count)
    this.#offset += count
    return bytes
  }

  text(): string {
    return fromUtf8.decode(this.raw(this.count()))
  }

  end(): void {
    if (this.#offset !== this.#bytes.length) throw damaged('bytes are left over')
  }
}

/** Every encoded state begins with this byte: the version of the encodings in docs/design/aggregates.md. */
const encodingVersion = 1

export function writeState(): ByteWriter {
  return new ByteWriter().byte(encodingVersion)
}

export function readState(bytes: Uint8Array): ByteReader {
  const reader = new ByteReader(bytes)
  const version = reader.byte()
  if (version !== encodingVersion)
    throw damaged(`its encoding has version ${version}, and version ${encodingVersion} is read`)
  return reader
}

function damaged(problem: string): TidemarkError {
  return new TidemarkError('TM_MIGRATION', {
    problem: `a stored aggregate state cannot be read: ${problem}`,
    todo: 'refresh the aggregate that it belongs to from its rows',
  })
}
