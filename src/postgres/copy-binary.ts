import { unreachable } from '../util/unreachable.ts'
import { CopyOutput } from './copy-output.ts'
import {
  type CopyType,
  type CopyWriter,
  copyWriters,
  fixedBytes,
  writeInstant,
  writeSafeInteger,
  writeSpan,
} from './copy-values.ts'

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

/**
 * COPY … FROM STDIN (FORMAT binary): rows become the bytes that the server reads without parsing. Made once per list
 * of columns; writes into large buffers without an allocation per row, and the buffers are used again.
 *
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
  readonly #writers: readonly CopyWriter[]
  readonly #forms: Uint8Array
  readonly #count: number
  /** Places of `addRow`'s values. */
  readonly #all: readonly number[]
  readonly #out: CopyOutput
  #rows = 0

  constructor(types: readonly CopyType[], chunkBytes: number) {
    this.#writers = types.map((type) => copyWriters[type])
    this.#forms = Uint8Array.from(types, (type) => numberForms[type] ?? 0)
    this.#count = types.length
    this.#all = types.map((_, i) => i)
    // Field count, then length word and value of each column; header and trailer fit, too.
    const rowBytes = types.reduce((sum, type) => sum + 4 + fixedBytes[type], 2 + header.length)
    this.#out = new CopyOutput(chunkBytes, rowBytes)
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
