import { unreachable } from '../util/unreachable.ts'

/**
 * COPY … FROM STDIN (FORMAT binary): rows become the bytes that the server reads without parsing. Made once per list
 * of columns; writes into large buffers without an allocation per row, and the buffers are used again.
 *
 * Values are canonical: timestamptz microseconds since 1970 as bigint or as a safe integer (±(2^63-1) as bigint is
 * ±infinity), date `YYYY-MM-DD` or ±infinity, int8 bigint or safe integer, int2/int4/float4/float8 number, numeric a
 * decimal string (NaN, Infinity, -Infinity too), uuid text, bool boolean, jsonb its JSON text, text string,
 * text[] an array of string or null; null everywhere.
 */
export type CopyType =
  | 'timestamptz'
  | 'date'
  | 'text'
  | 'uuid'
  | 'bool'
  | 'int2'
  | 'int4'
  | 'int8'
  | 'float4'
  | 'float8'
  | 'numeric'
  | 'jsonb'
  | 'text[]'

export interface CopyEncoderOptions {
  /** Size of a buffer; default 256 KiB. A longer value gets one of its own size. */
  readonly chunkBytes?: number
}

/** How a slot holds its value. */
export const slotHow = Object.freeze({ null: 0, number: 1, span: 2, value: 3 })

/**
 * One row, filled anew for each: whoever reads rows leaves numbers and pieces of text here and allocates nothing.
 * `how[i]` says where the i-th column's value is (`slotHow`).
 */
export class RowSlots {
  readonly how: Uint8Array
  /** timestamptz (microseconds since 1970), int2, int4, int8: safe integers; float4, float8. */
  readonly numbers: Float64Array
  /** text: characters `[from, to)` of `source`, all of them ASCII and none NUL. */
  readonly from: Int32Array
  readonly to: Int32Array
  source = ''
  /** Canonical values of any type. */
  readonly values: unknown[]

  constructor(columns: number) {
    this.how = new Uint8Array(columns)
    this.numbers = new Float64Array(columns)
    this.from = new Int32Array(columns)
    this.to = new Int32Array(columns)
    this.values = new Array(columns).fill(null)
  }
}

export interface CopyEncoder {
  /** Rows since the last reset. */
  readonly rows: number
  /** Bytes since the last reset, header and trailer included. */
  readonly bytes: number
  /** Values in the order of the columns. */
  addRow(values: readonly unknown[]): void
  /**
   * As `addRow`, from values that lie elsewhere: `indexes[i]` is the place in `values` of the i-th column. For rows
   * that hold more than what is copied.
   */
  addRowFrom(values: readonly unknown[], indexes: readonly number[]): void
  /** As `addRow`, from slots: about twice as fast. */
  addSlots(row: RowSlots): void
  /** The stream so far, with its end. Valid until `reset`; nothing may be added before. */
  finish(): readonly Uint8Array[]
  /** Forgets the rows; the buffers are used again, so what `finish` gave must have been sent. */
  reset(): void
}

/** `PGCOPY\n\377\r\n\0`, flags 0, no header extension. */
const header = Uint8Array.of(80, 71, 67, 79, 80, 89, 10, 255, 13, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0)

const epochMicros = 946684800000000n
/** The same in words. */
const epochHigh = 220417
const epochLow = 993517568
const epochDays = 10957
const infinityMicros = 9223372036854775807n
const minusInfinityMicros = -9223372036854775808n
const textOid = 25

/** Bytes of a value without its length word; 0: depends on the value. */
const fixedBytes: Readonly<Record<CopyType, number>> = {
  timestamptz: 8,
  date: 4,
  text: 0,
  uuid: 16,
  bool: 1,
  int2: 2,
  int4: 4,
  int8: 8,
  float4: 4,
  float8: 8,
  numeric: 0,
  jsonb: 0,
  'text[]': 0,
}

type Writer = (out: Output, value: unknown) => void

/** Where the bytes go. Plain fields: they are read for every value. */
class Output {
  bytes: Buffer
  view: DataView
  at = 0
  /** Room for the parts of a row whose length is known; there is at least that much at the start of each. */
  readonly rowBytes: number
  /** Length of the filled buffers before this one. */
  filledBytes = 0
  readonly filled: Buffer[] = []
  readonly #spare: Buffer[] = []
  readonly #chunkBytes: number

  constructor(chunkBytes: number, rowBytes: number) {
    this.#chunkBytes = Math.max(chunkBytes, rowBytes)
    this.rowBytes = rowBytes
    this.bytes = Buffer.allocUnsafeSlow(this.#chunkBytes)
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength)
  }

  /** The current buffer is given away as it is; the next has room for at least `room` bytes. */
  turn(room: number): void {
    if (this.at > 0) {
      this.filled.push(this.bytes.subarray(0, this.at))
      this.filledBytes += this.at
    }
    const spare = room <= this.#chunkBytes ? this.#spare.pop() : undefined
    this.bytes = spare ?? Buffer.allocUnsafeSlow(Math.max(room, this.#chunkBytes))
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength)
    this.at = 0
  }

  reset(): void {
    for (const chunk of this.filled) {
      if (chunk.buffer.byteLength !== this.#chunkBytes || this.#spare.length >= 64) continue
      this.#spare.push(Buffer.from(chunk.buffer))
    }
    this.filled.length = 0
    this.filledBytes = 0
    this.at = 0
  }
}

function wrongValue(type: CopyType, value: unknown): TypeError {
  return new TypeError(
    `a ${value === null ? 'null' : typeof value} was given to COPY where ${type} is needed`,
  )
}

/** 64-bit two's complement of a safe integer. */
function writeSafeInteger(view: DataView, at: number, value: number): void {
  const high = Math.floor(value / 4294967296)
  view.setInt32(at, high)
  view.setUint32(at + 4, value - high * 4294967296)
}

/** Microseconds since 1970 as those since 2000; their difference may be no safe integer (before 1714). */
function writeInstant(view: DataView, at: number, micros: number): void {
  const high = Math.floor(micros / 4294967296)
  const low = micros - high * 4294967296 - epochLow
  view.setInt32(at, high - epochHigh - (low < 0 ? 1 : 0))
  view.setInt32(at + 4, low)
}

/** The length word of a value of that many bytes; gives where the value goes. */
function place(out: Output, bytes: number): number {
  const { at } = out
  out.view.setInt32(at, bytes)
  out.at = at + 4 + bytes
  return at + 4
}

const writeTimestamp: Writer = (out, value) => {
  const at = place(out, 8)
  if (typeof value === 'number') writeInstant(out.view, at, value)
  else if (value === infinityMicros || value === minusInfinityMicros) out.view.setBigInt64(at, value)
  else out.view.setBigInt64(at, BigInt.asIntN(64, (value as bigint) - epochMicros))
}

const writeInt8: Writer = (out, value) => {
  const at = place(out, 8)
  if (typeof value === 'bigint') out.view.setBigInt64(at, value)
  else writeSafeInteger(out.view, at, value as number)
}

const writeInt4: Writer = (out, value) => out.view.setInt32(place(out, 4), value as number)

const writeInt2: Writer = (out, value) => out.view.setInt16(place(out, 2), value as number)

const writeFloat8: Writer = (out, value) => out.view.setFloat64(place(out, 8), value as number)

const writeFloat4: Writer = (out, value) => out.view.setFloat32(place(out, 4), value as number)

const writeBool: Writer = (out, value) => out.view.setUint8(place(out, 1), value ? 1 : 0)

/** Proleptic Gregorian day number: Howard Hinnant, "chrono-compatible low-level date algorithms", days_from_civil. */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146097 + dayOfEra - 719468
}

const datePattern = /^([+-]?\d{4,7})-(\d\d)-(\d\d)( BC)?$/

function dateDays(text: string): number {
  if (text === 'infinity') return 2147483647
  if (text === '-infinity') return -2147483648
  const match = datePattern.exec(text)
  if (match === null) throw wrongValue('date', text)
  const year = Number(match[1])
  return (
    daysFromCivil(match[4] === undefined ? year : 1 - year, Number(match[2]), Number(match[3])) - epochDays
  )
}

const writeDate: Writer = (out, value) => {
  if (typeof value !== 'string') throw wrongValue('date', value)
  const { view, at } = out
  view.setInt32(at, 4)
  view.setInt32(at + 4, dateDays(value))
  out.at = at + 8
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const lower = code | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

const writeUuid: Writer = (out, value) => {
  if (typeof value !== 'string') throw wrongValue('uuid', value)
  const { view, bytes, at } = out
  view.setInt32(at, 16)
  let digits = 0
  let high = 0
  for (let i = 0; i < value.length; i += 1) {
    const code = value.charCodeAt(i)
    if (code === 45) continue
    const digit = hexDigit(code)
    if (digit < 0 || digits === 32) throw wrongValue('uuid', value)
    if ((digits & 1) === 0) high = digit << 4
    else bytes[at + 4 + (digits >> 1)] = high | digit
    digits += 1
  }
  if (digits !== 32) throw wrongValue('uuid', value)
  out.at = at + 20
}

/** Up to here a loop over the characters is quicker than a call into the runtime (measured: about 40). */
const loopChars = 40

/** The text's bytes at `at`; gives their end. There is room for three bytes a character. */
function writeUtf8(bytes: Buffer, at: number, text: string): number {
  const length = text.length
  if (length <= loopChars) {
    let i = 0
    for (; i < length; i += 1) {
      const code = text.charCodeAt(i)
      if (code > 127) break
      bytes[at + i] = code
    }
    if (i === length) return at + length
  }
  return at + (bytes as Buffer).write(text, at)
}

/** For a value of its own length, and for what is left of its row at the most. */
function makeRoom(out: Output, room: number): void {
  if (out.at + room + out.rowBytes > out.bytes.byteLength) out.turn(room + out.rowBytes)
}

const writeText: Writer = (out, value) => {
  if (typeof value !== 'string') throw wrongValue('text', value)
  makeRoom(out, 4 + value.length * 3)
  const { view, bytes, at } = out
  const end = writeUtf8(bytes, at + 4, value)
  view.setInt32(at, end - at - 4)
  out.at = end
}

/** A piece of a text that is known to be ASCII. */
function writeSpan(out: Output, source: string, from: number, to: number): void {
  const length = to - from
  makeRoom(out, 4 + length)
  const { view, bytes, at } = out
  view.setInt32(at, length)
  if (length <= loopChars) for (let i = 0; i < length; i += 1) bytes[at + 4 + i] = source.charCodeAt(from + i)
  else bytes.write(source.slice(from, to), at + 4, 'latin1')
  out.at = at + 4 + length
}

/** Version 1 and the text. */
const writeJsonb: Writer = (out, value) => {
  if (typeof value !== 'string') throw wrongValue('jsonb', value)
  makeRoom(out, 5 + value.length * 3)
  const { view, bytes, at } = out
  bytes[at + 4] = 1
  const end = writeUtf8(bytes, at + 5, value)
  view.setInt32(at, end - at - 4)
  out.at = end
}

/** Dimensions, null flag, element type; length and lower bound; elements (array_recv). */
const writeTextArray: Writer = (out, value) => {
  if (!Array.isArray(value)) throw wrongValue('text[]', value)
  const items = value as readonly (string | null)[]
  let room = 24
  for (const item of items) room += 4 + (item === null ? 0 : item.length * 3)
  makeRoom(out, room)
  const { view, bytes, at } = out
  view.setInt32(at + 4, items.length === 0 ? 0 : 1)
  view.setInt32(at + 12, textOid)
  let hasNull = 0
  let end = at + 16
  if (items.length > 0) {
    view.setInt32(end, items.length)
    view.setInt32(end + 4, 1)
    end += 8
  }
  for (const item of items) {
    if (item === null) {
      hasNull = 1
      view.setInt32(end, -1)
      end += 4
      continue
    }
    if (typeof item !== 'string') throw wrongValue('text[]', item)
    const stop = writeUtf8(bytes, end + 4, item)
    view.setInt32(end, stop - end - 4)
    end = stop
  }
  view.setInt32(at + 8, hasNull)
  view.setInt32(at, end - at - 4)
  out.at = end
}

const numericSpecial: Readonly<Record<string, number>> = {
  NaN: 0xc000,
  Infinity: 0xd000,
  '-Infinity': 0xf000,
}
const decimalPattern = /^([+-]?)(\d*)(?:\.(\d*))?$/

/** Digits of base 10000 around the point, weight of the first, sign, display scale (numeric_recv). */
const writeNumeric: Writer = (out, value) => {
  if (typeof value !== 'string') throw wrongValue('numeric', value)
  const special = numericSpecial[value]
  makeRoom(out, 16 + value.length)
  const { view, at } = out
  if (special !== undefined) {
    view.setInt32(at, 8)
    view.setInt32(at + 4, 0)
    view.setUint16(at + 8, special)
    // what numeric_send makes of their headers, so that these bytes are its bytes
    view.setUint16(at + 10, value === 'NaN' ? 0 : 32)
    out.at = at + 12
    return
  }
  const match = decimalPattern.exec(value)
  if (match === null) throw wrongValue('numeric', value)
  const [, sign, whole = '', fraction = ''] = match
  if (whole === '' && fraction === '') throw wrongValue('numeric', value)
  const wholeGroups = Math.ceil(whole.length / 4)
  const fractionGroups = Math.ceil(fraction.length / 4)
  const padded = whole.padStart(wholeGroups * 4, '0') + fraction.padEnd(fractionGroups * 4, '0')
  const groups = wholeGroups + fractionGroups
  let first = 0
  while (first < groups && isZeroGroup(padded, first)) first += 1
  let last = groups
  while (last > first && isZeroGroup(padded, last - 1)) last -= 1
  const count = last - first
  view.setInt32(at, 8 + count * 2)
  view.setUint16(at + 4, count)
  view.setInt16(at + 6, count === 0 ? 0 : wholeGroups - 1 - first)
  view.setUint16(at + 8, sign === '-' && count > 0 ? 0x4000 : 0)
  view.setUint16(at + 10, fraction.length)
  for (let i = 0; i < count; i += 1) {
    const from = (first + i) * 4
    view.setUint16(at + 12 + i * 2, Number(padded.slice(from, from + 4)))
  }
  out.at = at + 12 + count * 2
}

function isZeroGroup(text: string, group: number): boolean {
  for (let i = group * 4; i < group * 4 + 4; i += 1) if (text.charCodeAt(i) !== 48) return false
  return true
}

const writers: Readonly<Record<CopyType, Writer>> = {
  timestamptz: writeTimestamp,
  date: writeDate,
  text: writeText,
  uuid: writeUuid,
  bool: writeBool,
  int2: writeInt2,
  int4: writeInt4,
  int8: writeInt8,
  float4: writeFloat4,
  float8: writeFloat8,
  numeric: writeNumeric,
  jsonb: writeJsonb,
  'text[]': writeTextArray,
}

/**
 * @example
 * const encoder = createCopyEncoder(['timestamptz', 'text', 'float8'])
 * encoder.addRow([1767225600000000n, 'host_1', 0.5])
 * await connection.copyFrom(sql`copy cpu from stdin (format binary)`, encoder.finish())
 * encoder.reset()
 *
 * @throws TypeError for a value that is not canonical: rows are checked before they come here.
 */
export function createCopyEncoder(types: readonly CopyType[], options: CopyEncoderOptions = {}): CopyEncoder {
  return new BinaryCopyEncoder(types, options.chunkBytes ?? 256 * 1024)
}

/** Numbers of a type as the server reads them; a branch on a small integer, where a call for each value costs more. */
const numberForms: Readonly<Partial<Record<CopyType, number>>> = {
  float8: 1,
  timestamptz: 2,
  int4: 3,
  float4: 4,
  int8: 5,
  int2: 6,
}

class BinaryCopyEncoder implements CopyEncoder {
  readonly #writers: readonly Writer[]
  readonly #forms: Uint8Array
  readonly #count: number
  /** Places of `addRow`'s values. */
  readonly #all: readonly number[]
  readonly #out: Output
  #rows = 0

  constructor(types: readonly CopyType[], chunkBytes: number) {
    this.#writers = types.map((type) => writers[type])
    this.#forms = Uint8Array.from(types, (type) => numberForms[type] ?? 0)
    this.#count = types.length
    this.#all = types.map((_, i) => i)
    // Field count, then length word and value of each column; header and trailer fit, too.
    const rowBytes = types.reduce((sum, type) => sum + 4 + fixedBytes[type], 2 + header.length)
    this.#out = new Output(chunkBytes, rowBytes)
    this.reset()
  }

  get rows(): number {
    return this.#rows
  }

  get bytes(): number {
    return this.#out.filledBytes + this.#out.at + 2
  }

  addRow(values: readonly unknown[]): void {
    this.addRowFrom(values, this.#all)
  }

  addRowFrom(values: readonly unknown[], indexes: readonly number[]): void {
    const out = this.#out
    const count = this.#count
    const writers = this.#writers
    if (out.at + out.rowBytes > out.bytes.byteLength) out.turn(out.rowBytes)
    out.view.setInt16(out.at, count)
    out.at += 2
    for (let i = 0; i < count; i += 1) {
      const value = values[indexes[i]!]
      if (value === null) {
        out.view.setInt32(out.at, -1)
        out.at += 4
      } else writers[i]!(out, value)
    }
    this.#rows += 1
  }

  addSlots(row: RowSlots): void {
    const out = this.#out
    const count = this.#count
    const forms = this.#forms
    const { how, numbers } = row
    if (out.at + out.rowBytes > out.bytes.byteLength) out.turn(out.rowBytes)
    let view = out.view
    let at = out.at
    view.setInt16(at, count)
    at += 2
    for (let i = 0; i < count; i += 1) {
      const where = how[i]
      if (where === slotHow.number) {
        const value = numbers[i]!
        switch (forms[i]) {
          case 1:
            view.setInt32(at, 8)
            view.setFloat64(at + 4, value)
            at += 12
            break
          case 2:
            view.setInt32(at, 8)
            writeInstant(view, at + 4, value)
            at += 12
            break
          case 3:
            view.setInt32(at, 4)
            view.setInt32(at + 4, value)
            at += 8
            break
          case 4:
            view.setInt32(at, 4)
            view.setFloat32(at + 4, value)
            at += 8
            break
          case 5:
            view.setInt32(at, 8)
            writeSafeInteger(view, at + 4, value)
            at += 12
            break
          case 6:
            view.setInt32(at, 2)
            view.setInt16(at + 4, value)
            at += 6
            break
          default:
            unreachable(`column ${i + 1} takes no number in its slot`)
        }
        continue
      }
      if (where === slotHow.null) {
        view.setInt32(at, -1)
        at += 4
        continue
      }
      out.at = at
      if (where === slotHow.span) writeSpan(out, row.source, row.from[i]!, row.to[i]!)
      else this.#writers[i]!(out, row.values[i])
      view = out.view
      at = out.at
    }
    out.at = at
    this.#rows += 1
  }

  finish(): readonly Uint8Array[] {
    const out = this.#out
    if (out.at + 2 > out.bytes.byteLength) out.turn(2)
    out.view.setInt16(out.at, -1)
    return [...out.filled, out.bytes.subarray(0, out.at + 2)]
  }

  reset(): void {
    this.#out.reset()
    this.#out.bytes.set(header)
    this.#out.at = header.length
    this.#rows = 0
  }
}
