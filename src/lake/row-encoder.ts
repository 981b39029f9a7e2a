import type { DuckDBDataChunk } from '@duckdb/node-api'
import type { ColumnType } from '../schema/index.ts'
import { unreachable } from '../util/unreachable.ts'
import type { ShreddedPath } from './contract.ts'
import { JsonAssembler, type ShreddedValue } from './json-shred.ts'
import { NumericBinary } from './numeric.ts'
import { bindings, dataOf, inlineBytes, type RawVector, slotBytes, validityOf, vectorOf } from './vectors.ts'

/**
 * DuckDB's columns back as the rows that PostgreSQL sent: column after column into one buffer, each row's bytes at its place.
 */
export type EncodedColumn =
  /** The file does not have it: null in every row. */
  | { readonly kind: 'absent' }
  /** One vector of the type's own; `wide`: timestamptz as BIGINT microseconds since 2000; numeric as VARCHAR. */
  | { readonly kind: 'value'; readonly type: ColumnType; readonly isWide: boolean }
  /** A list of VARCHAR, and when it has one, a VARCHAR with the bounds. */
  | { readonly kind: 'texts'; readonly hasShape: boolean }
  /** VARCHAR of the rest, and a vector for each path. */
  | { readonly kind: 'json'; readonly shredded: readonly ShreddedPath[] }

/** Rows one behind the other, as COPY has them; row i is bytes `[ends[i - 1], ends[i])`, the first from 0. */
export interface EncodedRows {
  readonly bytes: Buffer
  readonly view: DataView
  readonly rows: number
  readonly ends: Int32Array
}

interface Writer {
  /** How many vectors it reads. */
  readonly vectors: number
  /** Adds what each row needs, the length word included. */
  measure(chunk: DuckDBDataChunk, vector: number, rows: number, sizes: Int32Array): void
  /** Writes at `at[row]`, which it moves on. */
  write(out: Buffer, view: DataView, rows: number, at: Int32Array): void
}

export class RowEncoder {
  readonly #writers: readonly Writer[]
  readonly #reuse: boolean
  #bytes: Buffer = Buffer.allocUnsafeSlow(0)
  #at = new Int32Array(0)

  /** `reuse`: what `encode` gives is overwritten by the next call. */
  constructor(columns: readonly EncodedColumn[], options: { readonly reuse: boolean }) {
    this.#writers = columns.map(writerFor)
    this.#reuse = options.reuse
  }

  encode(chunk: DuckDBDataChunk): EncodedRows {
    const rows = chunk.rowCount
    const ends = new Int32Array(rows).fill(2)
    let vector = 0
    for (const writer of this.#writers) {
      writer.measure(chunk, vector, rows, ends)
      vector += writer.vectors
    }
    if (this.#at.length < rows) this.#at = new Int32Array(rows)
    const at = this.#at
    let total = 0
    for (let row = 0; row < rows; row += 1) {
      at[row] = total + 2
      total += ends[row]!
      ends[row] = total
    }
    let bytes = this.#bytes
    if (!this.#reuse || bytes.length < total) bytes = Buffer.allocUnsafeSlow(this.#reuse ? total * 2 : total)
    if (this.#reuse) this.#bytes = bytes
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const count = this.#writers.length
    for (let row = 0; row < rows; row += 1) view.setInt16(at[row]! - 2, count)
    for (const writer of this.#writers) writer.write(bytes, view, rows, at)
    return { bytes: bytes.length === total ? bytes : bytes.subarray(0, total), view, rows, ends }
  }
}

function writerFor(column: EncodedColumn): Writer {
  switch (column.kind) {
    case 'absent':
      return new AbsentWriter()
    case 'texts':
      return new TextsWriter(column.hasShape)
    case 'json':
      return new JsonWriter(column.shredded)
    case 'value':
      if (column.type === 'text') return new TextWriter()
      if (column.type === 'numeric') return new NumericWriter()
      return new FixedWriter(column.type, column.isWide)
  }
}

/** Whether a row is null: views of DuckDB's memory, valid for one chunk. */
class Nulls {
  #bits: Uint8Array | null = null

  read(vector: RawVector, rows: number): void {
    this.#bits = validityOf(vector, rows)
  }

  get none(): boolean {
    return this.#bits === null
  }

  has(row: number): boolean {
    return this.#bits !== null && ((this.#bits[row >> 3]! >> (row & 7)) & 1) === 0
  }
}

class AbsentWriter implements Writer {
  readonly vectors = 0

  measure(_chunk: DuckDBDataChunk, _vector: number, rows: number, sizes: Int32Array): void {
    for (let row = 0; row < rows; row += 1) sizes[row]! += 4
  }

  write(_out: Buffer, view: DataView, rows: number, at: Int32Array): void {
    for (let row = 0; row < rows; row += 1) {
      view.setInt32(at[row]!, -1)
      at[row]! += 4
    }
  }
}

const widths: Readonly<Partial<Record<ColumnType, number>>> = {
  timestamptz: 8,
  int8: 8,
  float8: 8,
  date: 4,
  int4: 4,
  float4: 4,
  int2: 2,
  bool: 1,
  uuid: 16,
}

/** 946,684,800,000,000 us from 1970 to 2000, in words. */
const epochHigh = 220417
const epochLow = 993517568
const epochDays = 10957

class FixedWriter implements Writer {
  readonly vectors = 1
  readonly #type: ColumnType
  readonly #isWide: boolean
  readonly #width: number
  readonly #nulls = new Nulls()
  #words: Int32Array = new Int32Array(0)
  #bytes: Uint8Array = new Uint8Array(0)

  constructor(type: ColumnType, isWide: boolean) {
    this.#type = type
    this.#isWide = isWide
    this.#width = widths[type] ?? unreachable(`${type} has no width`)
  }

  measure(chunk: DuckDBDataChunk, index: number, rows: number, sizes: Int32Array): void {
    const vector = vectorOf(chunk, index)
    const width = this.#width
    this.#nulls.read(vector, rows)
    this.#bytes = dataOf(vector, rows * width)
    if (width >= 4) this.#words = wordsOf(this.#bytes)
    const nulls = this.#nulls
    if (nulls.none) for (let row = 0; row < rows; row += 1) sizes[row]! += 4 + width
    else for (let row = 0; row < rows; row += 1) sizes[row]! += nulls.has(row) ? 4 : 4 + width
  }

  write(out: Buffer, view: DataView, rows: number, ats: Int32Array): void {
    const width = this.#width
    const words = this.#words
    const nulls = this.#nulls
    const mayBeNull = !nulls.none
    const type = this.#type
    const form =
      type === 'timestamptz' && !this.#isWide
        ? 1
        : type === 'uuid'
          ? 2
          : type === 'date'
            ? 3
            : width === 8
              ? 0
              : width === 4
                ? 4
                : width === 2
                  ? 5
                  : 6
    const isFloat8 = type === 'float8'
    const isFloat4 = type === 'float4'
    for (let row = 0; row < rows; row += 1) {
      const at = ats[row]!
      if (mayBeNull && nulls.has(row)) {
        view.setInt32(at, -1)
        ats[row] = at + 4
        continue
      }
      view.setInt32(at, width)
      switch (form) {
        case 0: {
          let low = words[row * 2]!
          let high = words[row * 2 + 1]!
          if (isFloat8 && (high & 0x7ff00000) === 0x7ff00000 && ((high & 0xfffff) !== 0 || low !== 0)) {
            high = 0x7ff80000
            low = 0
          }
          view.setInt32(at + 4, high)
          view.setInt32(at + 8, low)
          break
        }
        case 1: {
          let high = words[row * 2 + 1]!
          let low = words[row * 2]! >>> 0
          if (high === 0x7fffffff && low === 0xffffffff) {
            // infinity: the same bits
          } else if (high === -0x80000000 && low === 1) low = 0
          else {
            high -= epochHigh
            low -= epochLow
            if (low < 0) high -= 1
          }
          view.setInt32(at + 4, high)
          view.setInt32(at + 8, low)
          break
        }
        case 2:
          view.setInt32(at + 4, words[row * 4 + 3]! ^ 0x80000000)
          view.setInt32(at + 8, words[row * 4 + 2]!)
          view.setInt32(at + 12, words[row * 4 + 1]!)
          view.setInt32(at + 16, words[row * 4]!)
          break
        case 3: {
          const days = words[row]!
          view.setInt32(
            at + 4,
            days === 0x7fffffff ? days : days === -0x7fffffff ? -0x80000000 : days - epochDays,
          )
          break
        }
        case 4: {
          const word = words[row]!
          const isNan = isFloat4 && (word & 0x7f800000) === 0x7f800000 && (word & 0x7fffff) !== 0
          view.setInt32(at + 4, isNan ? 0x7fc00000 : word)
          break
        }
        case 5:
          out[at + 4] = this.#bytes[row * 2 + 1]!
          out[at + 5] = this.#bytes[row * 2]!
          break
        default:
          out[at + 4] = this.#bytes[row]!
      }
      ats[row] = at + 4 + width
    }
  }
}

function wordsOf(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2)
}

/** The strings of a vector. */
class Strings {
  readonly nulls = new Nulls()
  #bytes: Uint8Array = new Uint8Array(0)
  #words: Int32Array = new Int32Array(0)

  read(vector: RawVector, rows: number): void {
    this.nulls.read(vector, rows)
    this.#bytes = dataOf(vector, rows * slotBytes)
    this.#words = wordsOf(this.#bytes)
  }

  length(row: number): number {
    return this.#words[row * 4]!
  }

  copy(row: number, out: Buffer, at: number): void {
    const length = this.#words[row * 4]!
    if (length <= inlineBytes) {
      const bytes = this.#bytes
      const from = row * slotBytes + 4
      for (let i = 0; i < length; i += 1) out[at + i] = bytes[from + i]!
    } else out.set(this.#long(row, length), at)
  }

  bytes(row: number): Uint8Array {
    const length = this.#words[row * 4]!
    return length <= inlineBytes
      ? this.#bytes.subarray(row * slotBytes + 4, row * slotBytes + 4 + length)
      : this.#long(row, length)
  }

  text(row: number): string {
    const bytes = this.bytes(row)
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8')
  }

  #long(row: number, length: number): Uint8Array {
    const bytes = this.#bytes
    return bindings().get_data_from_pointer(bytes.buffer, bytes.byteOffset + row * slotBytes + 8, length)
  }
}

class TextWriter implements Writer {
  readonly vectors = 1
  readonly #strings = new Strings()

  measure(chunk: DuckDBDataChunk, index: number, rows: number, sizes: Int32Array): void {
    const strings = this.#strings
    strings.read(vectorOf(chunk, index), rows)
    const nulls = strings.nulls
    for (let row = 0; row < rows; row += 1) sizes[row]! += nulls.has(row) ? 4 : 4 + strings.length(row)
  }

  write(out: Buffer, view: DataView, rows: number, ats: Int32Array): void {
    const strings = this.#strings
    const nulls = strings.nulls
    for (let row = 0; row < rows; row += 1) {
      const at = ats[row]!
      if (nulls.has(row)) {
        view.setInt32(at, -1)
        ats[row] = at + 4
        continue
      }
      const length = strings.length(row)
      view.setInt32(at, length)
      strings.copy(row, out, at + 4)
      ats[row] = at + 4 + length
    }
  }
}

/** Values whose bytes are made first and then copied to their places. */
abstract class MadeWriter implements Writer {
  abstract readonly vectors: number
  protected scratch: Buffer = Buffer.allocUnsafeSlow(64 * 1024)
  protected scratchEnd = 0
  #lengths = new Int32Array(0)

  /** Puts the bytes of the row's value behind `scratchEnd` and gives their number; -1: null. */
  protected abstract make(row: number): number
  protected abstract read(chunk: DuckDBDataChunk, vector: number, rows: number): void

  measure(chunk: DuckDBDataChunk, vector: number, rows: number, sizes: Int32Array): void {
    this.read(chunk, vector, rows)
    this.scratchEnd = 0
    if (this.#lengths.length < rows) this.#lengths = new Int32Array(rows)
    const lengths = this.#lengths
    for (let row = 0; row < rows; row += 1) {
      const length = this.make(row)
      lengths[row] = length
      if (length > 0) this.scratchEnd += length
      sizes[row]! += length < 0 ? 4 : 4 + length
    }
  }

  protected reserve(bytes: number): void {
    if (this.scratchEnd + bytes <= this.scratch.length) return
    const larger = Buffer.allocUnsafeSlow((this.scratchEnd + bytes) * 2)
    this.scratch.copy(larger, 0, 0, this.scratchEnd)
    this.scratch = larger
  }

  write(out: Buffer, view: DataView, rows: number, ats: Int32Array): void {
    let from = 0
    for (let row = 0; row < rows; row += 1) {
      const at = ats[row]!
      const length = this.#lengths[row]!
      view.setInt32(at, length)
      if (length < 0) {
        ats[row] = at + 4
        continue
      }
      if (length < 32) for (let i = 0; i < length; i += 1) out[at + 4 + i] = this.scratch[from + i]!
      else this.scratch.copy(out, at + 4, from, from + length)
      from += length
      ats[row] = at + 4 + length
    }
  }
}

class NumericWriter extends MadeWriter {
  readonly vectors = 1
  readonly #strings = new Strings()
  readonly #binary = new NumericBinary()

  protected read(chunk: DuckDBDataChunk, vector: number, rows: number): void {
    this.#strings.read(vectorOf(chunk, vector), rows)
  }

  protected make(row: number): number {
    if (this.#strings.nulls.has(row)) return -1
    const text = this.#strings.bytes(row)
    const length = this.#binary.write(text, 0, text.length)
    this.reserve(length)
    this.scratch.set(this.#binary.bytes.subarray(0, length), this.scratchEnd)
    return length
  }
}

const noPaths: readonly ShreddedPath[] = []

class JsonWriter extends MadeWriter {
  readonly vectors: number
  readonly #rest = new Strings()
  readonly #paths: readonly ShreddedPath[]
  readonly #texts: readonly Strings[]
  readonly #nulls: readonly Nulls[]
  #doubles: (Float64Array | null)[]
  #bools: (Uint8Array | null)[]
  readonly #assembler: JsonAssembler
  #row = 0

  constructor(paths: readonly ShreddedPath[]) {
    super()
    this.#paths = paths
    this.vectors = 1 + paths.length
    this.#texts = paths.map(() => new Strings())
    this.#nulls = paths.map((_, i) => this.#texts[i]!.nulls)
    this.#doubles = paths.map(() => null)
    this.#bools = paths.map(() => null)
    this.#assembler = new JsonAssembler(paths.length === 0 ? noPaths : paths)
  }

  protected read(chunk: DuckDBDataChunk, vector: number, rows: number): void {
    this.#rest.read(vectorOf(chunk, vector), rows)
    this.#paths.forEach(({ type }, i) => {
      const column = vectorOf(chunk, vector + 1 + i)
      if (type === 'text') {
        this.#texts[i]!.read(column, rows)
        return
      }
      this.#nulls[i]!.read(column, rows)
      if (type === 'bool') this.#bools[i] = dataOf(column, rows)
      else {
        const bytes = dataOf(column, rows * 8)
        this.#doubles[i] = new Float64Array(bytes.buffer, bytes.byteOffset, rows)
      }
    })
  }

  readonly #valueAt = (path: number): ShreddedValue => {
    const row = this.#row
    if (this.#nulls[path]!.has(row)) return null
    switch (this.#paths[path]!.type) {
      case 'text':
        return this.#texts[path]!.text(row)
      case 'float8':
        return this.#doubles[path]![row]!
      case 'bool':
        return this.#bools[path]![row] === 1
    }
  }

  protected make(row: number): number {
    if (this.#rest.nulls.has(row)) return -1
    this.#row = row
    const text = this.#assembler.assemble(this.#rest.text(row), this.#valueAt)
    this.reserve(1 + text.length * 3)
    this.scratch[this.scratchEnd] = 1
    return 1 + this.scratch.write(text, this.scratchEnd + 1)
  }
}

const textOid = 25

class TextsWriter extends MadeWriter {
  readonly vectors: number
  readonly #hasShape: boolean
  readonly #nulls = new Nulls()
  readonly #elements = new Strings()
  readonly #shape = new Strings()
  #entries: Int32Array = new Int32Array(0)

  constructor(hasShape: boolean) {
    super()
    this.#hasShape = hasShape
    this.vectors = hasShape ? 2 : 1
  }

  protected read(chunk: DuckDBDataChunk, index: number, rows: number): void {
    const vector = vectorOf(chunk, index)
    this.#nulls.read(vector, rows)
    this.#entries = wordsOf(dataOf(vector, rows * slotBytes))
    this.#elements.read(bindings().list_vector_get_child(vector), bindings().list_vector_get_size(vector))
    if (this.#hasShape) this.#shape.read(vectorOf(chunk, index + 1), rows)
  }

  protected make(row: number): number {
    if (this.#nulls.has(row)) return -1
    const elements = this.#elements
    // 64-bit words of which the upper half is zero: a vector does not hold 2^31 elements
    const first = this.#entries[row * 4]!
    const size = this.#entries[row * 4 + 2]!
    const bounds: readonly (readonly [number, number])[] =
      this.#hasShape && !this.#shape.nulls.has(row)
        ? parseShape(this.#shape.text(row))
        : size === 0
          ? []
          : [[1, size]]
    let room = 12 + bounds.length * 8
    let hasNull = false
    for (let e = first; e < first + size; e += 1) {
      if (elements.nulls.has(e)) {
        hasNull = true
        room += 4
      } else room += 4 + elements.length(e)
    }
    this.reserve(room)
    const out = this.scratch
    let at = this.scratchEnd
    at = out.writeInt32BE(bounds.length, at)
    at = out.writeInt32BE(hasNull ? 1 : 0, at)
    at = out.writeInt32BE(textOid, at)
    for (const [lower, length] of bounds) {
      at = out.writeInt32BE(length, at)
      at = out.writeInt32BE(lower, at)
    }
    for (let e = first; e < first + size; e += 1) {
      if (elements.nulls.has(e)) {
        at = out.writeInt32BE(-1, at)
        continue
      }
      const length = elements.length(e)
      at = out.writeInt32BE(length, at)
      elements.copy(e, out, at)
      at += length
    }
    return room
  }
}

/** Lower bound and length of each dimension of `[2:3]` or `[1:2][1:3]`. */
function parseShape(text: string): [number, number][] {
  return [...text.matchAll(/\[(-?\d+):(-?\d+)\]/g)].map(([, lower, upper]) => [
    Number(lower),
    Number(upper) - Number(lower) + 1,
  ])
}
