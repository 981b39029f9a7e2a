import { postgresEpochDays, postgresEpochHigh, postgresEpochLow } from '../postgres/index.ts'
import type { ColumnType } from '../schema/index.ts'
import { HashSum } from './murmur.ts'
import { NumericRange, NumericText } from './numeric.ts'
import { FixedColumn, type StagedColumn, TextColumn, TextsColumn } from './stage.ts'
import { vectorRows } from './vectors.ts'

/**
 * Rows of COPY BINARY taken apart into columns as DuckDB has them, and hashed on the way: the bytes of a row from its field count on
 * are its canonical encoding, with one NaN, PostgreSQL's scale of a numeric infinity, and with an array's flag for nulls only where it has
 * some.
 *
 * | declared | staged as |
 * | --- | --- |
 * | the time column | TIMESTAMPTZ |
 * | other timestamptz | BIGINT microseconds since 2000, as they came |
 * | date | DATE |
 * | numeric | VARCHAR, and what all of them have in common |
 * | jsonb | VARCHAR |
 * | others | their own type |
 */
export interface DecodedColumn {
  readonly name: string
  readonly type: ColumnType
  readonly isTime: boolean
}

/** Some rows: at most a vector full, fewer where they are long. */
export interface Block {
  readonly rows: number
  readonly columns: readonly StagedColumn[]
  /** By column: rows whose array has a shape of its own (`ColumnLayout`). */
  readonly shapes: readonly (ReadonlyMap<number, string> | null)[]
  readonly bytes: number
  /** Called when DuckDB has taken them: columns may be used again. */
  readonly release?: () => void
}

/** What was seen of a column's values: decides its layout. */
export class ColumnFacts {
  readonly numeric = new NumericRange()
  /** float4, float8: a dictionary would take -0 and 0 for one value. */
  hasMinusZero = false
  /** timestamptz past what int64 microseconds since 1970 can say. */
  hasWideInstant = false
  /** text[] that is not one dimension from 1. */
  hasShape = false
}

const kinds = {
  time: 0,
  wide: 1,
  float8: 2,
  float4: 3,
  int4: 4,
  int2: 5,
  bool: 6,
  uuid: 7,
  text: 8,
  json: 9,
  numeric: 10,
  texts: 11,
  date: 12,
} as const

const kindOf: Readonly<Record<ColumnType, number>> = {
  timestamptz: kinds.wide,
  date: kinds.date,
  text: kinds.text,
  uuid: kinds.uuid,
  bool: kinds.bool,
  int2: kinds.int2,
  int4: kinds.int4,
  int8: kinds.wide,
  float4: kinds.float4,
  float8: kinds.float8,
  numeric: kinds.numeric,
  jsonb: kinds.json,
  'text[]': kinds.texts,
}

/** Bytes of a value; 0: as many as it says. */
const sizes: readonly number[] = [8, 8, 8, 4, 4, 2, 1, 16, 0, 0, 0, 0, 4]

const textOid = 25
/** Of the last finite instant, 9223372036854775806 us, less the epoch. */
const lastHigh = 2147263230
const lastLow = 3301449726

/** Of rows that belong together: their hash, and the ends of their times. */
export class RowTally {
  readonly hash = new HashSum()
  // of the time column, in words: bigints would cost more than the rest of the row
  #minHigh = 0x7fffffff
  #minLow = 0xffffffff
  #maxHigh = -0x80000000
  #maxLow = 0

  /** Of the time column; only when there was a row. */
  get minTime(): bigint {
    return (BigInt(this.#minHigh) << 32n) | BigInt(this.#minLow)
  }

  get maxTime(): bigint {
    return (BigInt(this.#maxHigh) << 32n) | BigInt(this.#maxLow)
  }

  /** Microseconds since 1970. */
  addTime(high: number, low: number): void {
    if (high < this.#minHigh || (high === this.#minHigh && low < this.#minLow)) {
      this.#minHigh = high
      this.#minLow = low
    }
    if (high > this.#maxHigh || (high === this.#maxHigh && low > this.#maxLow)) {
      this.#maxHigh = high
      this.#maxLow = low
    }
  }
}

/** What is wrong with the bytes; the caller says whose. */
export class RowProblem extends Error {}

/** A block is full at this many bytes, too: a vector of long texts would hold gigabytes. */
const maxBlockBytes = 4 * 1024 * 1024

export class RowDecoder {
  /** What the rows that come are added to. */
  tally = new RowTally()
  readonly facts: readonly ColumnFacts[]
  readonly #columns: readonly DecodedColumn[]
  readonly #kinds: Uint8Array
  readonly #onBlock: (block: Block) => void
  readonly #numericText = new NumericText()
  readonly #rowBytes: number
  #staged: StagedColumn[] = []
  #shapes: (Map<number, string> | null)[] = []
  #rows = 0

  constructor(columns: readonly DecodedColumn[], onBlock: (block: Block) => void) {
    this.#columns = columns
    this.#kinds = Uint8Array.from(columns, ({ type, isTime }) => (isTime ? kinds.time : kindOf[type]))
    this.#onBlock = onBlock
    this.facts = columns.map(() => new ColumnFacts())
    this.#rowBytes = [...this.#kinds].reduce((sum, kind) => sum + (sizes[kind]! || 16), 0)
    this.#begin()
  }

  #begin(): void {
    this.#rows = 0
    this.#shapes = this.#columns.map(() => null)
    this.#staged = [...this.#kinds].map((kind) =>
      kind === kinds.texts
        ? new TextsColumn()
        : sizes[kind] === 0
          ? new TextColumn()
          : new FixedColumn(sizes[kind]!),
    )
  }

  /** Gives away what is there. */
  finish(): void {
    if (this.#rows === 0) return
    let bytes = this.#rows * this.#rowBytes
    for (const column of this.#staged) bytes += column.heapBytes
    const block = { rows: this.#rows, columns: this.#staged, shapes: this.#shapes, bytes }
    this.#begin()
    this.#onBlock(block)
  }

  /** A whole row, from its field count to `end`. Bytes are changed where they are not canonical. */
  add(bytes: Uint8Array, view: DataView, start: number, end: number): void {
    const count = this.#kinds.length
    if (view.getInt16(start) !== count)
      throw new RowProblem(`a row has ${view.getInt16(start)} fields, not ${count}`)
    const row = this.#rows
    let heap = 0
    let at = start + 2
    for (let i = 0; i < count; i += 1) {
      const length = view.getInt32(at)
      at += 4
      const kind = this.#kinds[i]!
      if (length < 0) {
        this.#setNull(i, row)
        continue
      }
      const size = sizes[kind]!
      if (size !== 0 && length !== size) throw this.#wrongLength(i, length)
      switch (kind) {
        case kinds.float8: {
          const high = view.getInt32(at)
          const low = view.getInt32(at + 4)
          const words = (this.#staged[i] as FixedColumn).words
          words[row * 2] = low
          words[row * 2 + 1] = high
          if ((high & 0x7ff00000) === 0x7ff00000) {
            if ((high & 0xfffff) !== 0 || low !== 0) {
              words[row * 2] = 0
              words[row * 2 + 1] = 0x7ff80000
              view.setInt32(at, 0x7ff80000)
              view.setInt32(at + 4, 0)
            }
          } else if (high === -0x80000000 && low === 0) this.facts[i]!.hasMinusZero = true
          break
        }
        case kinds.wide: {
          const high = view.getInt32(at)
          const words = (this.#staged[i] as FixedColumn).words
          words[row * 2] = view.getInt32(at + 4)
          words[row * 2 + 1] = high
          if (high >= lastHigh) this.#noteWide(i, high, view.getUint32(at + 4))
          break
        }
        case kinds.time:
          this.#setTime(i, row, view.getInt32(at), view.getUint32(at + 4))
          break
        case kinds.float4: {
          const word = view.getInt32(at)
          const words = (this.#staged[i] as FixedColumn).words
          words[row] = word
          if ((word & 0x7f800000) === 0x7f800000) {
            if ((word & 0x7fffff) !== 0) {
              words[row] = 0x7fc00000
              view.setInt32(at, 0x7fc00000)
            }
          } else if (word === -0x80000000) this.facts[i]!.hasMinusZero = true
          break
        }
        case kinds.int4:
          ;(this.#staged[i] as FixedColumn).words[row] = view.getInt32(at)
          break
        case kinds.date: {
          const days = view.getInt32(at)
          // ±infinity: DuckDB's are the greatest and what is one above the least
          ;(this.#staged[i] as FixedColumn).words[row] =
            days === 0x7fffffff ? days : days === -0x80000000 ? -0x7fffffff : days + postgresEpochDays
          break
        }
        case kinds.int2:
          ;(this.#staged[i] as FixedColumn).view.setInt16(row * 2, view.getInt16(at), true)
          break
        case kinds.bool:
          ;(this.#staged[i] as FixedColumn).bytes[row] = bytes[at]!
          break
        case kinds.uuid: {
          // 128 bits, the lowest first, the sign turned so that they sort as bytes do
          const words = (this.#staged[i] as FixedColumn).words
          words[row * 4] = view.getInt32(at + 12)
          words[row * 4 + 1] = view.getInt32(at + 8)
          words[row * 4 + 2] = view.getInt32(at + 4)
          words[row * 4 + 3] = view.getInt32(at) ^ 0x80000000
          break
        }
        case kinds.text: {
          ;(this.#staged[i] as TextColumn).set(row, bytes, at, at + length)
          heap += length
          break
        }
        case kinds.json:
          // a version byte, then text
          if (length < 1 || bytes[at] !== 1)
            throw new RowProblem(`column "${this.#columns[i]!.name}" has jsonb of an unknown version`)
          ;(this.#staged[i] as TextColumn).set(row, bytes, at + 1, at + length)
          heap += length
          break
        case kinds.numeric: {
          const text = this.#numericText
          const textLength = text.read(view, at, this.facts[i]!.numeric)
          ;(this.#staged[i] as TextColumn).set(row, text.bytes, 0, textLength)
          heap += textLength
          break
        }
        default:
          this.#setTexts(i, row, bytes, view, at)
          heap += length
      }
      at += length
    }
    if (at !== end) throw new RowProblem('the lengths of a row do not add up')
    this.tally.hash.add(view, start, end)
    this.#rows = row + 1
    if (this.#rows === vectorRows) this.finish()
    else if (heap > 0 && this.#heapBytes() > maxBlockBytes) this.finish()
  }

  #heapBytes(): number {
    let bytes = 0
    for (const column of this.#staged) bytes += column.heapBytes
    return bytes
  }

  #wrongLength(i: number, length: number): RowProblem {
    const { name, type } = this.#columns[i]!
    return new RowProblem(`column "${name}" (${type}) has a value of ${length} bytes`)
  }

  #setNull(i: number, row: number): void {
    const column = this.#staged[i] as FixedColumn | TextColumn | TextsColumn
    if (this.#kinds[i] === kinds.time) throw new RowProblem(`column "${this.#columns[i]!.name}" is null`)
    if (column instanceof TextsColumn) column.set(row, 0)
    column.validity.setNull(row)
  }

  #setTime(i: number, row: number, high: number, low: number): void {
    let sumLow = low + postgresEpochLow
    let sumHigh = high + postgresEpochHigh
    if (sumLow > 0xffffffff) {
      sumLow -= 0x100000000
      sumHigh += 1
    }
    if (high > lastHigh || (high === lastHigh && low > lastLow) || (high === -0x80000000 && low === 0))
      throw new RowProblem(
        `column "${this.#columns[i]!.name}" is not a finite instant before the year 294247`,
      )
    const words = (this.#staged[i] as FixedColumn).words
    words[row * 2] = sumLow | 0
    words[row * 2 + 1] = sumHigh
    this.tally.addTime(sumHigh, sumLow)
  }

  #noteWide(i: number, high: number, low: number): void {
    const isInfinity = high === 0x7fffffff && low === 0xffffffff
    if (!isInfinity && (high > lastHigh || low > lastLow)) this.facts[i]!.hasWideInstant = true
  }

  /** Dimensions, flag, element type; length and lower bound of each dimension; elements (array_send). */
  #setTexts(i: number, row: number, bytes: Uint8Array, view: DataView, start: number): void {
    const column = this.#staged[i] as TextsColumn
    const dimensions = view.getInt32(start)
    if (view.getInt32(start + 8) !== textOid)
      throw new RowProblem(`column "${this.#columns[i]!.name}" is an array of another type than text`)
    let size = dimensions === 0 ? 0 : 1
    let shape = ''
    for (let d = 0; d < dimensions; d += 1) {
      const length = view.getInt32(start + 12 + d * 8)
      const lower = view.getInt32(start + 16 + d * 8)
      size *= length
      shape += `[${lower}:${lower + length - 1}]`
    }
    const element = column.set(row, size)
    let at = start + 12 + dimensions * 8
    let hasNull = false
    for (let e = 0; e < size; e += 1) {
      const length = view.getInt32(at)
      at += 4
      if (length < 0) {
        hasNull = true
        column.elements.setNull(element + e)
      } else {
        column.elements.set(element + e, bytes, at, at + length)
        at += length
      }
    }
    // PostgreSQL may leave it set when the last null has gone
    view.setInt32(start + 4, hasNull ? 1 : 0)
    if (dimensions === 0 || (dimensions === 1 && view.getInt32(start + 16) === 1)) return
    this.facts[i]!.hasShape = true
    const shapes = this.#shapes[i] ?? new Map<number, string>()
    this.#shapes[i] = shapes.set(row, shape)
  }
}
