import type { DuckDBDataChunk } from '@duckdb/node-api'
import { postgresEpochDays, postgresEpochHigh, postgresEpochLow } from '../postgres/index.ts'
import type { ColumnType } from '../schema/index.ts'
import { unreachable } from '../util/unreachable.ts'
import { Nulls, Strings, wordsOf } from './vector-views.ts'
import { dataOf, vectorOf } from './vectors.ts'

/** Puts one column's values into the rows of a chunk. */
export interface ColumnWriter {
  /** How many vectors it reads. */
  readonly vectors: number
  /** Adds what each row needs, the length word included. */
  measure(chunk: DuckDBDataChunk, vector: number, rows: number, sizes: Int32Array): void
  /** Writes at `at[row]`, which it moves on. */
  write(out: Buffer, view: DataView, rows: number, at: Int32Array): void
}

export class AbsentWriter implements ColumnWriter {
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

/** How the bytes of a value are turned round. */
const forms = {
  eight: 0,
  float8: 1,
  instant: 2,
  uuid: 3,
  date: 4,
  four: 5,
  float4: 6,
  two: 7,
  one: 8,
} as const

type Form = (typeof forms)[keyof typeof forms]

const formOf: Readonly<Partial<Record<ColumnType, Form>>> = {
  timestamptz: forms.instant,
  int8: forms.eight,
  float8: forms.float8,
  date: forms.date,
  int4: forms.four,
  float4: forms.float4,
  int2: forms.two,
  bool: forms.one,
  uuid: forms.uuid,
}

const widths: readonly number[] = [8, 8, 8, 16, 4, 4, 4, 2, 1]

export class FixedWriter implements ColumnWriter {
  readonly vectors = 1
  readonly #form: Form
  readonly #width: number
  readonly #nulls = new Nulls()
  #words: Int32Array = new Int32Array(0)
  #bytes: Uint8Array = new Uint8Array(0)

  constructor(type: ColumnType, isWide: boolean) {
    // a wide instant lies in the file as it is in a row: microseconds since 2000
    this.#form = isWide ? forms.eight : (formOf[type] ?? unreachable(`${type} has no width`))
    this.#width = widths[this.#form]!
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
    const form = this.#form
    for (let row = 0; row < rows; row += 1) {
      const at = ats[row]!
      if (mayBeNull && nulls.has(row)) {
        view.setInt32(at, -1)
        ats[row] = at + 4
        continue
      }
      view.setInt32(at, width)
      switch (form) {
        case forms.eight:
          view.setInt32(at + 4, words[row * 2 + 1]!)
          view.setInt32(at + 8, words[row * 2]!)
          break
        case forms.float8: {
          const high = words[row * 2 + 1]!
          const low = words[row * 2]!
          const isNan = (high & 0x7ff00000) === 0x7ff00000 && ((high & 0xfffff) !== 0 || low !== 0)
          view.setInt32(at + 4, isNan ? 0x7ff80000 : high)
          view.setInt32(at + 8, isNan ? 0 : low)
          break
        }
        case forms.instant: {
          let high = words[row * 2 + 1]!
          let low = words[row * 2]! >>> 0
          if (high === 0x7fffffff && low === 0xffffffff) {
            // infinity: the same bits
          } else if (high === -0x80000000 && low === 1) low = 0
          else {
            high -= postgresEpochHigh
            low -= postgresEpochLow
            if (low < 0) high -= 1
          }
          view.setInt32(at + 4, high)
          view.setInt32(at + 8, low)
          break
        }
        case forms.uuid:
          view.setInt32(at + 4, words[row * 4 + 3]! ^ 0x80000000)
          view.setInt32(at + 8, words[row * 4 + 2]!)
          view.setInt32(at + 12, words[row * 4 + 1]!)
          view.setInt32(at + 16, words[row * 4]!)
          break
        case forms.date: {
          const days = words[row]!
          view.setInt32(
            at + 4,
            days === 0x7fffffff ? days : days === -0x7fffffff ? -0x80000000 : days - postgresEpochDays,
          )
          break
        }
        case forms.four:
          view.setInt32(at + 4, words[row]!)
          break
        case forms.float4: {
          const word = words[row]!
          const isNan = (word & 0x7f800000) === 0x7f800000 && (word & 0x7fffff) !== 0
          view.setInt32(at + 4, isNan ? 0x7fc00000 : word)
          break
        }
        case forms.two:
          out[at + 4] = this.#bytes[row * 2 + 1]!
          out[at + 5] = this.#bytes[row * 2]!
          break
        case forms.one:
          out[at + 4] = this.#bytes[row]!
      }
      ats[row] = at + 4 + width
    }
  }
}

export class TextWriter implements ColumnWriter {
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
