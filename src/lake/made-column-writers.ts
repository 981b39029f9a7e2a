import type { DuckDBDataChunk } from '@duckdb/node-api'
import type { ColumnWriter } from './column-writers.ts'
import type { ShreddedPath } from './contract.ts'
import { JsonAssembler, type ShreddedValue } from './json-shred.ts'
import { NumericBinary } from './numeric.ts'
import { Nulls, Strings, wordsOf } from './vector-views.ts'
import { bindings, dataOf, slotBytes, vectorOf } from './vectors.ts'

/** Values whose bytes are made first and then copied to their places. */
abstract class MadeWriter implements ColumnWriter {
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

export class NumericWriter extends MadeWriter {
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

export class JsonWriter extends MadeWriter {
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
    this.#assembler = new JsonAssembler(paths)
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

export class TextsWriter extends MadeWriter {
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
