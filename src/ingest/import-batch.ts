import type { OpenBatch } from '../hot/index.ts'
import type { ParquetBatch } from '../lake/index.ts'
import type { CanonicalValue } from '../schema/index.ts'
import type { DeadLetter } from './ledger.ts'

/** Records that are written in one transaction. */
export interface Batch {
  /** Number of its first record, from 0. */
  readonly first: number
  /** Number of the record before which it ends at the latest. */
  readonly end: number
  /** Committed by an earlier run: its records are only counted. */
  readonly isCommitted: boolean
  records: number
  /** The rows as they will be written; null where they are not, and after they have been. */
  open: OpenBatch | null
  readonly rows: BatchRows
  readonly dead: DeadLetter[]
}

/** Where rows are that were encoded without being made: a block of a text file, or columns of Parquet. */
export type RowSource = string | ParquetBatch['columns']

/** Makes a row that was encoded without being made: `from` and `to` are characters of a text, or a row of columns. */
export type MakeRow = (source: RowSource, line: number, from: number, to: number) => CanonicalValue[]

/** What a batch's rows were made of, for problems that only the database finds. */
export class BatchRows {
  #length = 0
  /** Those that were not encoded straight away, by place. */
  readonly #made = new Map<number, CanonicalValue[]>()
  /** Line; characters of a text, or number of the row in columns, twice. */
  #places = new Float64Array(3 * 4096)
  /** Each with the first row that is in it. */
  readonly #sources: { readonly source: RowSource; readonly first: number }[] = []
  #last: RowSource = ''
  readonly #isKept: boolean

  /** `isKept`: false where nothing can refuse a row any more, and only their number matters. */
  constructor(isKept = true) {
    this.#isKept = isKept
  }

  get length(): number {
    return this.#length
  }

  lineOf(index: number): number {
    return this.#places[index * 3]!
  }

  push(row: CanonicalValue[], line: number): void {
    if (!this.#isKept) {
      this.#length += 1
      return
    }
    this.#made.set(this.#length, row)
    this.#add(line, 0, 0)
  }

  pushFrom(source: RowSource, line: number, from: number, to: number): void {
    if (!this.#isKept) {
      this.#length += 1
      return
    }
    if (source !== this.#last) {
      this.#sources.push({ source, first: this.length })
      this.#last = source
    }
    this.#add(line, from, to)
  }

  /** Rows of which nothing is kept. */
  skip(rows: number): void {
    this.#length += rows
  }

  #add(line: number, from: number, to: number): void {
    const at = this.#length * 3
    if (at === this.#places.length) {
      const grown = new Float64Array(at * 2)
      grown.set(this.#places)
      this.#places = grown
    }
    this.#places[at] = line
    this.#places[at + 1] = from
    this.#places[at + 2] = to
    this.#length += 1
  }

  /** Every row in canonical form; `make` makes those that were not. */
  all(make: MakeRow): CanonicalValue[][] {
    let at = -1
    return Array.from({ length: this.#length }, (_, i) => {
      while (this.#sources[at + 1] !== undefined && this.#sources[at + 1]!.first <= i) at++
      const [line, from, to] = this.#places.subarray(i * 3, i * 3 + 3)
      return this.#made.get(i) ?? make(this.#sources[at]!.source, line!, from!, to!)
    })
  }
}
