import type { RowSlots } from '../postgres/index.ts'
import { postgresEpochHigh, postgresEpochLow, slotHow } from '../postgres/index.ts'
import type { ColumnType } from '../schema/index.ts'
import { unreachable } from '../util/unreachable.ts'
import type { Block, ColumnFacts, DecodedColumn, RowTally } from './row-decoder.ts'
import { FixedColumn, TextColumn } from './stage.ts'
import { vectorRows } from './vectors.ts'

/** How a type's slots are staged, and how its bytes are put into a row. */
const forms = { time: 0, instant: 1, int8: 2, float8: 3, float4: 4, int4: 5, int2: 6, text: 7 } as const

const formOf: Readonly<Partial<Record<ColumnType, number>>> = {
  timestamptz: forms.instant,
  int8: forms.int8,
  float8: forms.float8,
  float4: forms.float4,
  int4: forms.int4,
  int2: forms.int2,
  text: forms.text,
}

const widths: readonly number[] = [8, 8, 8, 8, 4, 4, 2, 0]

/** A safe integer as 64 bits; an instant as microseconds since 2000, a number that may not be safe. */
function putInteger(words: Int32Array, row: number, value: number, isInstant: boolean): void {
  const high = Math.floor(value / 4294967296)
  const low = value - high * 4294967296
  if (!isInstant) {
    words[row * 2] = low
    words[row * 2 + 1] = high
    return
  }
  words[row * 2] = low - postgresEpochLow
  words[row * 2 + 1] = high - postgresEpochHigh - (low < postgresEpochLow ? 1 : 0)
}

/** A block is full at this many bytes of texts, too. */
const maxHeapBytes = 4 * 1024 * 1024

type SlotColumn = FixedColumn | TextColumn

/** Columns of blocks that DuckDB has taken, for the next ones: making them anew is a third of all garbage. */
export class ColumnPool {
  readonly #spare: SlotColumn[][] = []
  readonly #most: number

  /** `most`: blocks that are kept. */
  constructor(most: number) {
    this.#most = most
  }

  take(): SlotColumn[] | null {
    return this.#spare.pop() ?? null
  }

  give(columns: SlotColumn[]): void {
    if (this.#spare.length < this.#most) this.#spare.push(columns)
  }
}

/**
 * Rows from slots straight into columns as DuckDB has them, without the bytes of COPY in between. Those are made of whole
 * columns when a block is full, to be hashed: the same bytes that `RowDecoder` would have been given, in a third of the time.
 */
export class SlotStage {
  readonly #columns: readonly DecodedColumn[]
  readonly #forms: Uint8Array
  readonly #facts: readonly ColumnFacts[]
  readonly #timeIndex: number
  readonly #pool: ColumnPool
  readonly #onBlock: (block: Block) => void
  readonly #rowBytes: number
  #staged: SlotColumn[] = []
  #floats: (Float64Array | Float32Array | null)[] = []
  #words: (Int32Array | null)[] = []
  #rows = 0
  #encodedBytes = 0
  /** Of rows that follow each other and belong together: whose, and the end of the last. */
  readonly #runTallies: RowTally[] = []
  readonly #runEnds: number[] = []
  #tally: RowTally | null = null
  #bytes: Buffer = Buffer.allocUnsafeSlow(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  readonly #at = new Int32Array(vectorRows + 1)

  private constructor(
    columns: readonly DecodedColumn[],
    facts: readonly ColumnFacts[],
    pool: ColumnPool,
    onBlock: (block: Block) => void,
  ) {
    this.#columns = columns
    this.#forms = Uint8Array.from(columns, ({ type, isTime }) => (isTime ? forms.time : formOf[type]!))
    this.#facts = facts
    this.#timeIndex = columns.findIndex(({ isTime }) => isTime)
    this.#pool = pool
    this.#onBlock = onBlock
    this.#rowBytes = [...this.#forms].reduce((sum, form) => sum + (widths[form]! || 16), 0)
    this.#begin()
  }

  /** null: a type has no slots that are taken here. */
  static create(
    columns: readonly DecodedColumn[],
    facts: readonly ColumnFacts[],
    pool: ColumnPool,
    onBlock: (block: Block) => void,
  ): SlotStage | null {
    if (!columns.every(({ type }) => formOf[type] !== undefined)) return null
    return new SlotStage(columns, facts, pool, onBlock)
  }

  #begin(): void {
    this.#rows = 0
    this.#tally = null
    this.#runTallies.length = 0
    this.#runEnds.length = 0
    const spare = this.#pool.take()
    if (spare !== null) for (const column of spare) column.reset()
    this.#staged =
      spare ??
      [...this.#forms].map((form) =>
        form === forms.text ? new TextColumn() : new FixedColumn(widths[form]!),
      )
    this.#floats = this.#staged.map((column, i) => {
      if (this.#forms[i] === forms.float8) return new Float64Array((column as FixedColumn).bytes.buffer)
      return this.#forms[i] === forms.float4 ? new Float32Array((column as FixedColumn).bytes.buffer) : null
    })
    this.#words = this.#staged.map((column) => (column instanceof FixedColumn ? column.words : null))
  }

  /** The slots of a row whose time is a number. */
  add(slots: RowSlots, tally: RowTally): void {
    const row = this.#rows
    const { how, numbers } = slots
    const forms_ = this.#forms
    const count = forms_.length
    let heap = 0
    for (let i = 0; i < count; i += 1) {
      const where = how[i]
      if (where === slotHow.number) {
        const value = numbers[i]!
        switch (forms_[i]) {
          case forms.float8:
            this.#floats[i]![row] = value
            if (value === 0 && 1 / value < 0) this.#facts[i]!.hasMinusZero = true
            break
          case forms.float4:
            this.#floats[i]![row] = value
            if (value === 0 && 1 / value < 0) this.#facts[i]!.hasMinusZero = true
            break
          case forms.int4:
            this.#words[i]![row] = value
            break
          case forms.int2:
            ;(this.#staged[i] as FixedColumn).view.setInt16(row * 2, value, true)
            break
          default:
            putInteger(this.#words[i]!, row, value, forms_[i] === forms.instant)
        }
        continue
      }
      if (where === slotHow.null) {
        this.#staged[i]!.validity.setNull(row)
        continue
      }
      const texts = this.#staged[i] as TextColumn
      if (where === slotHow.span) {
        const from = slots.from[i]!
        const to = slots.to[i]!
        texts.setAscii(row, slots.source, from, to)
        heap += to - from
      } else {
        if (forms_[i] !== forms.text) unreachable(`column ${i + 1} takes no value in its slot`)
        const text = slots.values[i] as string
        texts.setText(row, text)
        heap += text.length
      }
    }
    if (tally !== this.#tally) this.#belongsTo(tally)
    this.#rows = row + 1
    if (this.#rows === vectorRows) this.finish()
    else if (heap > 0 && (row & 63) === 63 && this.#heapBytes() > maxHeapBytes) this.finish()
  }

  /** Rows column by column, none of them null. */
  addColumns(
    rows: number,
    columns: readonly { readonly numbers: Float64Array | null; readonly texts: readonly string[] | null }[],
    tally: RowTally,
  ): void {
    for (let from = 0; from < rows; ) {
      const row = this.#rows
      const to = Math.min(rows, from + vectorRows - row)
      for (const [i, { numbers, texts }] of columns.entries()) {
        if (texts === null) this.#addNumbers(i, numbers!, from, to)
        else {
          const column = this.#staged[i] as TextColumn
          for (let at = from; at < to; at += 1) column.setText(row + at - from, texts[at]!)
        }
      }
      this.#belongsTo(tally)
      this.#rows = row + to - from
      if (this.#rows === vectorRows || this.#heapBytes() > maxHeapBytes) this.finish()
      from = to
    }
  }

  #addNumbers(i: number, numbers: Float64Array, from: number, to: number): void {
    const row = this.#rows
    const column = this.#staged[i] as FixedColumn
    const form = this.#forms[i]!
    switch (form) {
      case forms.float8:
      case forms.float4: {
        this.#floats[i]!.set(numbers.subarray(from, to), row)
        const facts = this.#facts[i]!
        for (let at = from; at < to && !facts.hasMinusZero; at += 1)
          if (numbers[at] === 0 && 1 / numbers[at]! < 0) facts.hasMinusZero = true
        break
      }
      case forms.int4:
        column.words.set(numbers.subarray(from, to), row)
        break
      case forms.int2:
        for (let at = from; at < to; at += 1) column.view.setInt16((row + at - from) * 2, numbers[at]!, true)
        break
      default: {
        const { words } = column
        for (let at = from; at < to; at += 1)
          putInteger(words, row + at - from, numbers[at]!, form === forms.instant)
      }
    }
  }

  /** The rows from here on. */
  #belongsTo(tally: RowTally): void {
    if (tally === this.#tally) return
    if (this.#tally !== null) this.#runEnds.push(this.#rows)
    this.#runTallies.push(tally)
    this.#tally = tally
  }

  #heapBytes(): number {
    let bytes = 0
    for (const column of this.#staged) bytes += column.heapBytes
    return bytes
  }

  /** Of all rows so far, as COPY BINARY has them; those of the last block by estimate. */
  get bytes(): number {
    return this.#encodedBytes + this.#rows * this.#rowBytes
  }

  /** Gives away what is there. */
  finish(): void {
    const rows = this.#rows
    if (rows === 0) return
    this.#runEnds.push(rows)
    this.#encode(rows)
    this.#account()
    const staged = this.#staged
    const block: Block = {
      rows,
      columns: staged,
      shapes: staged.map(() => null),
      bytes: rows * this.#rowBytes + this.#heapBytes(),
      release: () => this.#pool.give(staged),
    }
    this.#begin()
    this.#onBlock(block)
  }

  /** Rows into the hashes and times of those that they belong to. */
  #account(): void {
    const at = this.#at
    const view = this.#view
    const times = this.#words[this.#timeIndex]!
    let row = 0
    for (const [i, tally] of this.#runTallies.entries()) {
      const { hash } = tally
      const end = this.#runEnds[i]!
      for (; row < end; row += 1) {
        hash.add(view, at[row]!, at[row + 1]!)
        tally.addTime(times[row * 2 + 1]!, times[row * 2]! >>> 0)
      }
    }
  }

  /** The rows as COPY BINARY: row i is bytes `[at[i], at[i + 1])`. */
  #encode(rows: number): void {
    const ends = sizesOf(this.#staged, rows)
    const at = this.#at
    let total = 0
    for (let row = 0; row < rows; row += 1) {
      at[row] = total
      total += ends[row]!
    }
    at[rows] = total
    this.#encodedBytes += total
    if (this.#bytes.length < total) {
      this.#bytes = Buffer.allocUnsafeSlow(total * 2)
      this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength)
    }
    const view = this.#view
    const count = this.#columns.length
    for (let row = 0; row < rows; row += 1) {
      view.setInt16(at[row]!, count)
      ends[row] = at[row]! + 2
    }
    for (let i = 0; i < count; i += 1) {
      const column = this.#staged[i]!
      if (column instanceof TextColumn) column.writeTo(this.#bytes, view, rows, ends)
      else writeFixed(this.#forms[i]!, column, view, rows, ends)
    }
  }
}

const sizes = new Int32Array(vectorRows)

function sizesOf(columns: readonly SlotColumn[], rows: number): Int32Array {
  let fixed = 2
  for (const column of columns) fixed += 4 + (column instanceof FixedColumn ? column.width : 0)
  sizes.fill(fixed, 0, rows)
  for (const column of columns) {
    if (column instanceof TextColumn) column.addLengths(sizes, rows)
    else if (column.validity.hasNull)
      for (let row = 0; row < rows; row += 1) if (column.validity.isNull(row)) sizes[row]! -= column.width
  }
  return sizes
}

function writeFixed(
  form: number,
  { words, bytes, width, validity }: FixedColumn,
  view: DataView,
  rows: number,
  ats: Int32Array,
): void {
  const mayBeNull = validity.hasNull
  for (let row = 0; row < rows; row += 1) {
    const at = ats[row]!
    if (mayBeNull && validity.isNull(row)) {
      view.setInt32(at, -1)
      ats[row] = at + 4
      continue
    }
    view.setInt32(at, width)
    switch (form) {
      case forms.time: {
        const low = (words[row * 2]! >>> 0) - postgresEpochLow
        view.setInt32(at + 4, words[row * 2 + 1]! - postgresEpochHigh - (low < 0 ? 1 : 0))
        view.setInt32(at + 8, low)
        break
      }
      case forms.float8: {
        const high = words[row * 2 + 1]!
        const low = words[row * 2]!
        const isNan = (high & 0x7ff00000) === 0x7ff00000 && ((high & 0xfffff) !== 0 || low !== 0)
        view.setInt32(at + 4, isNan ? 0x7ff80000 : high)
        view.setInt32(at + 8, isNan ? 0 : low)
        break
      }
      case forms.float4: {
        const word = words[row]!
        const isNan = (word & 0x7f800000) === 0x7f800000 && (word & 0x7fffff) !== 0
        view.setInt32(at + 4, isNan ? 0x7fc00000 : word)
        break
      }
      case forms.int4:
        view.setInt32(at + 4, words[row]!)
        break
      case forms.int2:
        view.setUint8(at + 4, bytes[row * 2 + 1]!)
        view.setUint8(at + 5, bytes[row * 2]!)
        break
      default:
        view.setInt32(at + 4, words[row * 2 + 1]!)
        view.setInt32(at + 8, words[row * 2]!)
    }
    ats[row] = at + 4 + width
  }
}
