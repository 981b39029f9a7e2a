import type { DuckDBDataChunk } from '@duckdb/node-api'
import type { ColumnType } from '../schema/index.ts'
import { AbsentWriter, type ColumnWriter, FixedWriter, TextWriter } from './column-writers.ts'
import type { ShreddedPath } from './contract.ts'
import { JsonWriter, NumericWriter, TextsWriter } from './made-column-writers.ts'

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

export class RowEncoder {
  readonly #writers: readonly ColumnWriter[]
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

function writerFor(column: EncodedColumn): ColumnWriter {
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
