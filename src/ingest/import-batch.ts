import type { OpenBatch } from '../hot/index.ts'
import type { ParquetBatch } from '../lake/index.ts'
import type { CanonicalValue } from '../schema/index.ts'
import type { DeadLetter } from './ledger.ts'

/** Records that are written in one transaction. */
export interface Batch {
  readonly number: number
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
  readonly lines: number[] = []
  /** null: the row was encoded without being made. */
  readonly #rows: (CanonicalValue[] | null)[] = []
  /** Characters of a text; number of the row in columns. */
  readonly #from: number[] = []
  readonly #to: number[] = []
  /** Each with the first row that is in it. */
  readonly #sources: { readonly source: RowSource; readonly first: number }[] = []
  #last: RowSource = ''

  get length(): number {
    return this.lines.length
  }

  push(row: CanonicalValue[], line: number): void {
    this.#add(row, line, 0, 0)
  }

  pushFrom(source: RowSource, line: number, from: number, to: number): void {
    if (source !== this.#last) {
      this.#sources.push({ source, first: this.length })
      this.#last = source
    }
    this.#add(null, line, from, to)
  }

  #add(row: CanonicalValue[] | null, line: number, from: number, to: number): void {
    this.lines.push(line)
    this.#rows.push(row)
    this.#from.push(from)
    this.#to.push(to)
  }

  /** Every row in canonical form; `make` makes those that were not. */
  all(make: MakeRow): CanonicalValue[][] {
    let at = -1
    return this.#rows.map((row, i) => {
      while (this.#sources[at + 1] !== undefined && this.#sources[at + 1]!.first <= i) at++
      return row ?? make(this.#sources[at]!.source, this.lines[i]!, this.#from[i]!, this.#to[i]!)
    })
  }
}
