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

  copyTo(vector: RawVector, rows: number): void {
    bindings().copy_data_to_vector(vector, 0, this.bytes.buffer, 0, rows * this.width)
    this.validity.copyTo(vector, rows)
  }
}

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
    const bytes = Buffer.from(text)
    this.set(row, bytes, 0, bytes.length)
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
