import { bindings, dataOf, inlineBytes, type RawVector, slotBytes, validityOf } from './vectors.ts'

/** Whether a row is null: views of DuckDB's memory, valid for one chunk. */
export class Nulls {
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

/** The strings of a vector. */
export class Strings {
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

export function wordsOf(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2)
}
