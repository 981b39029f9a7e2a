import { bindings, inlineBytes, type RawVector, slotBytes, vectorRows } from './vectors.ts'

/**
 * Columns of some rows on their way into DuckDB, laid out as its vectors are.
 */
export interface StagedColumn {
  /** Bytes held besides the fixed ones. */
  readonly heapBytes: number
  copyTo(vector: RawVector, rows: number): void
}

/** Which rows are not null; a bit each, as DuckDB has them. */
export class Validity {
  #bits: Uint32Array | null = null
  #capacity: number

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  setNull(row: number): void {
    if (row >= this.#capacity) this.grow(Math.max(row + 1, this.#capacity * 2))
    // whole 64-bit words
    this.#bits ??= new Uint32Array(((this.#capacity + 63) >> 6) * 2).fill(0xffffffff)
    this.#bits[row >>> 5]! &= ~(1 << (row & 31))
  }

  grow(capacity: number): void {
    this.#capacity = capacity
    if (this.#bits === null) return
    const bits = new Uint32Array(((capacity + 63) >> 6) * 2).fill(0xffffffff)
    bits.set(this.#bits)
    this.#bits = bits
  }

  get hasNull(): boolean {
    return this.#bits !== null
  }

  reset(): void {
    this.#bits = null
  }

  isNull(row: number): boolean {
    return this.#bits !== null && ((this.#bits[row >>> 5]! >>> (row & 31)) & 1) === 0
  }

  copyTo(vector: RawVector, rows: number): void {
    if (this.#bits === null || rows === 0) return
    const duckdb = bindings()
    duckdb.vector_ensure_validity_writable(vector)
    duckdb.copy_data_to_vector_validity(vector, 0, this.#bits.buffer, 0, ((rows + 63) >> 6) * 8)
  }
}

/** Values of 1, 2, 4, 8 or 16 bytes. */
export class FixedColumn implements StagedColumn {
  readonly heapBytes = 0
  readonly width: number
  readonly bytes: Uint8Array
  readonly words: Int32Array
  readonly view: DataView
  readonly validity = new Validity(vectorRows)

  constructor(width: number) {
    this.width = width
    const buffer = new ArrayBuffer(width * vectorRows)
    this.bytes = new Uint8Array(buffer)
    this.words = new Int32Array(buffer)
    this.view = new DataView(buffer)
  }

  /** For other rows. */
  reset(): void {
    this.validity.reset()
  }

  copyTo(vector: RawVector, rows: number): void {
    bindings().copy_data_to_vector(vector, 0, this.bytes.buffer, 0, rows * this.width)
    this.validity.copyTo(vector, rows)
  }
}

/** Of a column that is used again. */
const keptHeapBytes = 256 * 1024

/** Texts: short ones in their slot, longer ones in a heap of the column's own until DuckDB takes them. */
export class TextColumn implements StagedColumn {
  #capacity: number
  #slots: Int32Array
  #slotBytes: Uint8Array
  #heap: Buffer
  #heapEnd = 0
  #long: number[] = []
  readonly validity: Validity

  constructor(capacity = vectorRows) {
    this.#capacity = capacity
    this.#slots = new Int32Array(capacity * 4)
    this.#slotBytes = new Uint8Array(this.#slots.buffer)
    this.#heap = Buffer.allocUnsafeSlow(0)
    this.validity = new Validity(capacity)
  }

  get heapBytes(): number {
    return this.#heapEnd
  }

  /** The value of `row`: bytes `[from, to)` of `source`. */
  set(row: number, source: Uint8Array, from: number, to: number): void {
    if (row >= this.#capacity) this.#grow()
    const length = to - from
    this.#slots[row * 4] = length
    if (length <= inlineBytes) {
      const target = this.#slotBytes
      let at = row * slotBytes + 4
      for (let i = from; i < to; i += 1) target[at++] = source[i]!
      return
    }
    const at = this.#room(length)
    const heap = this.#heap
    if (length < 48) for (let i = 0; i < length; i += 1) heap[at + i] = source[from + i]!
    else heap.set(source.subarray(from, to), at)
    this.#slots[row * 4 + 3] = at
    this.#long.push(row)
  }

  setNull(row: number): void {
    if (row >= this.#capacity) this.#grow()
    this.validity.setNull(row)
  }

  setText(row: number, text: string): void {
    if (text.length <= inlineBytes && row < this.#capacity) {
      const target = this.#slotBytes
      const at = row * slotBytes + 4
      let i = 0
      for (; i < text.length; i += 1) {
        const code = text.charCodeAt(i)
        if (code > 127) break
        target[at + i] = code
      }
      if (i === text.length) {
        this.#slots[row * 4] = i
        return
      }
    }
    const bytes = Buffer.from(text)
    this.set(row, bytes, 0, bytes.length)
  }

  /** The value of `row`: characters `[from, to)` of `source`, all of them ASCII. */
  setAscii(row: number, source: string, from: number, to: number): void {
    const length = to - from
    if (length > inlineBytes || row >= this.#capacity) {
      this.setText(row, source.slice(from, to))
      return
    }
    this.#slots[row * 4] = length
    const target = this.#slotBytes
    let at = row * slotBytes + 4
    for (let i = from; i < to; i += 1) target[at++] = source.charCodeAt(i)
  }

  /** Adds the bytes of each value. */
  addLengths(sizes: Int32Array, rows: number): void {
    const slots = this.#slots
    const { validity } = this
    const mayBeNull = validity.hasNull
    for (let row = 0; row < rows; row += 1)
      if (!mayBeNull || !validity.isNull(row)) sizes[row]! += slots[row * 4]!
  }

  /** As fields of COPY BINARY, each at its place in `ats`, which moves behind it. */
  writeTo(out: Buffer, view: DataView, rows: number, ats: Int32Array): void {
    const slots = this.#slots
    const bytes = this.#slotBytes
    const { validity } = this
    const mayBeNull = validity.hasNull
    for (let row = 0; row < rows; row += 1) {
      let at = ats[row]!
      if (mayBeNull && validity.isNull(row)) {
        view.setInt32(at, -1)
        ats[row] = at + 4
        continue
      }
      const length = slots[row * 4]!
      view.setInt32(at, length)
      at += 4
      if (length <= inlineBytes) {
        const from = row * slotBytes + 4
        for (let i = 0; i < length; i += 1) out[at + i] = bytes[from + i]!
      } else {
        const from = slots[row * 4 + 3]!
        this.#heap.copy(out, at, from, from + length)
      }
      ats[row] = at + length
    }
  }

  /** For other rows; a large heap is given up. */
  reset(): void {
    this.validity.reset()
    this.#heapEnd = 0
    this.#long = []
    if (this.#heap.length > keptHeapBytes) this.#heap = Buffer.allocUnsafeSlow(0)
  }

  /** Not for a row that is null. */
  text(row: number): string {
    const length = this.#slots[row * 4]!
    if (length > inlineBytes) {
      const at = this.#slots[row * 4 + 3]!
      return this.#heap.toString('utf8', at, at + length)
    }
    const at = row * slotBytes + 4
    return Buffer.from(this.#slotBytes.buffer, at, length).toString('utf8')
  }

  #room(length: number): number {
    const at = this.#heapEnd
    if (at + length > this.#heap.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(at + length, this.#heap.length * 2, 16 * 1024))
      this.#heap.copy(larger, 0, 0, at)
      this.#heap = larger
    }
    this.#heapEnd = at + length
    return at
  }

  #grow(): void {
    this.#capacity *= 2
    const slots = new Int32Array(this.#capacity * 4)
    slots.set(this.#slots)
    this.#slots = slots
    this.#slotBytes = new Uint8Array(slots.buffer)
    this.validity.grow(this.#capacity)
  }

  copyTo(vector: RawVector, rows: number): void {
    const duckdb = bindings()
    if (this.#long.length > 0) {
      // until its string is there a long slot is an empty string, never a pointer of ours
      const slots = this.#slots
      for (const row of this.#long) slots[row * 4] = 0
    }
    duckdb.copy_data_to_vector(vector, 0, this.#slots.buffer, 0, rows * slotBytes)
    const long = this.#long
    const heap = this.#heap
    for (let i = 0; i < long.length; i += 1) {
      const row = long[i]!
      const from = this.#slots[row * 4 + 3]!
      const to = i + 1 < long.length ? this.#slots[long[i + 1]! * 4 + 3]! : this.#heapEnd
      duckdb.vector_assign_string_element_len(vector, row, heap.subarray(from, to))
    }
    this.validity.copyTo(vector, rows)
  }
}

/** Lists of texts. */
export class TextsColumn implements StagedColumn {
  readonly #entries = new BigUint64Array(vectorRows * 2)
  readonly elements = new TextColumn()
  readonly validity = new Validity(vectorRows)
  #size = 0

  get heapBytes(): number {
    return this.elements.heapBytes + this.#size * slotBytes
  }

  /** The place of the first of `length` elements. */
  set(row: number, length: number): number {
    const at = this.#size
    this.#entries[row * 2] = BigInt(at)
    this.#entries[row * 2 + 1] = BigInt(length)
    this.#size += length
    return at
  }

  copyTo(vector: RawVector, rows: number): void {
    const duckdb = bindings()
    duckdb.list_vector_reserve(vector, this.#size)
    duckdb.list_vector_set_size(vector, this.#size)
    duckdb.copy_data_to_vector(vector, 0, this.#entries.buffer, 0, rows * slotBytes)
    if (this.#size > 0) this.elements.copyTo(duckdb.list_vector_get_child(vector), this.#size)
    this.validity.copyTo(vector, rows)
  }
}
