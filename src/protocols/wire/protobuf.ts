/** Bytes that are no protobuf message. */
export class ProtobufFault {
  readonly problem: string
  constructor(problem: string) {
    this.problem = problem
  }
}

const varintWire = 0
const fixed64Wire = 1
const bytesWire = 2
const fixed32Wire = 5

/**
 * Reads protobuf's wire format one field at a time: never beyond the message, 64-bit integers exact, no object for embedded
 * messages.
 *
 * @example
 * while (reader.next()) {
 *   if (reader.field === 1) value = reader.double()
 *   else reader.skip()
 * }
 */
export class ProtobufReader {
  readonly bytes: Buffer
  /** Number of the field that `next` found. */
  field = 0
  #wire = 0
  #at: number
  #end: number

  constructor(bytes: Buffer) {
    this.bytes = bytes
    this.#at = 0
    this.#end = bytes.length
  }

  /** Goes to the next field of the message; false at its end. The field has to be read or skipped before the next one. */
  next(): boolean {
    if (this.#at === this.#end) return false
    const tag = this.uint()
    this.field = Math.floor(tag / 8)
    this.#wire = tag % 8
    if (this.field === 0 || this.field > 536_870_911)
      throw new ProtobufFault(`field ${this.field} does not exist`)
    return true
  }

  /** Whether the field is a length and bytes: a message, a text, or packed numbers. */
  get isBytes(): boolean {
    return this.#wire === bytesWire
  }

  /** Where the reader is; `seek` goes back to there. */
  get at(): number {
    return this.#at
  }

  seek(at: number): void {
    this.#at = at
  }

  /** Reads the fields of an embedded message from now on. What comes back is for `leave`. */
  enter(): number {
    const length = this.#length()
    const outer = this.#end
    this.#end = this.#at + length
    return outer
  }

  /** The end of the message that was entered. */
  get end(): number {
    return this.#end
  }

  /** Goes behind the embedded message. */
  leave(outer: number): void {
    this.#at = this.#end
    this.#end = outer
  }

  /** Passes over a text or bytes, and gives where they start; they end where the reader is. */
  span(): number {
    const length = this.#length()
    const from = this.#at
    this.#at += length
    return from
  }

  /** A varint that a double holds: lengths, enums, uint32. */
  uint(): number {
    let value = 0
    let factor = 1
    for (let i = 0; i < 10; i++) {
      const byte = this.#byte()
      value += (byte & 0x7f) * factor
      if (byte < 128) {
        if (value > Number.MAX_SAFE_INTEGER) throw new ProtobufFault('a length or number is beyond 2^53')
        return value
      }
      factor *= 128
    }
    throw new ProtobufFault('a number goes on for more than 10 bytes')
  }

  /** A varint field of up to 64 bits. */
  uint64(): bigint {
    this.#expect(varintWire)
    return this.varint()
  }

  /** The same, signed by two's complement (int32, int64), not zigzag. */
  int64(): bigint {
    return BigInt.asIntN(64, this.uint64())
  }

  /** Zigzag (sint32, sint64). */
  sint64(): bigint {
    const value = this.uint64()
    return (value & 1n) === 1n ? -((value + 1n) >> 1n) : value >> 1n
  }

  fixed64(): bigint {
    this.#expect(fixed64Wire)
    return this.bytes.readBigUInt64LE(this.#fixed(8))
  }

  sfixed64(): bigint {
    this.#expect(fixed64Wire)
    return this.bytes.readBigInt64LE(this.#fixed(8))
  }

  double(): number {
    this.#expect(fixed64Wire)
    return this.bytes.readDoubleLE(this.#fixed(8))
  }

  /** Repeated 64-bit fixed numbers, packed or one by one: gives the place of each. */
  packed64(into: (at: number) => void): void {
    if (!this.isBytes) {
      this.#expect(fixed64Wire)
      into(this.#fixed(8))
      return
    }
    const outer = this.enter()
    while (this.#at < this.#end) into(this.#fixed(8))
    this.leave(outer)
  }

  /** Repeated varints, packed or one by one. */
  packedVarints(into: (value: bigint) => void): void {
    if (!this.isBytes) {
      into(this.uint64())
      return
    }
    const outer = this.enter()
    while (this.#at < this.#end) into(this.varint())
    this.leave(outer)
  }

  /** A varint without looking at the field's type. */
  varint(): bigint {
    let low = 0
    let factor = 1
    // seven bytes are 49 bits, which a double holds; more than that is rare
    for (let i = 0; i < 7; i++) {
      const byte = this.#byte()
      low += (byte & 0x7f) * factor
      if (byte < 128) return BigInt(low)
      factor *= 128
    }
    let value = BigInt(low)
    for (let shift = 49n; shift < 70n; shift += 7n) {
      const byte = this.#byte()
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 128) return BigInt.asUintN(64, value)
    }
    throw new ProtobufFault('a number goes on for more than 10 bytes')
  }

  skip(): void {
    switch (this.#wire) {
      case varintWire:
        this.varint()
        return
      case fixed64Wire:
        this.#fixed(8)
        return
      case bytesWire:
        this.span()
        return
      case fixed32Wire:
        this.#fixed(4)
        return
      default:
        throw new ProtobufFault(
          `field ${this.field} has the type ${this.#wire}, which does not exist any more`,
        )
    }
  }

  #length(): number {
    this.#expect(bytesWire)
    const length = this.uint()
    if (length > this.#end - this.#at)
      throw new ProtobufFault(
        `field ${this.field} is ${length} bytes long, and ${this.#end - this.#at} are left`,
      )
    return length
  }

  #fixed(size: number): number {
    const at = this.#at
    if (at + size > this.#end) throw new ProtobufFault('the message ends within a number')
    this.#at = at + size
    return at
  }

  #byte(): number {
    if (this.#at >= this.#end) throw new ProtobufFault('the message ends within a number')
    return this.bytes[this.#at++]!
  }

  #expect(wire: number): void {
    if (this.#wire !== wire)
      throw new ProtobufFault(`field ${this.field} has the type ${this.#wire} where ${wire} is expected`)
  }
}
