import { type ColumnValues, type RowLane, rowLane } from '../hot/index.ts'
import type { ParquetBatch, ParquetKind } from '../lake/index.ts'
import { type RowSlots, slotHow } from '../postgres/index.ts'
import type { ColumnType, StoredDefinition } from '../schema/index.ts'
import { resolveZone } from '../time/index.ts'
import type { ImportPlan } from './plan.ts'

/** What of Parquet goes into which columns as it is. */
const pairs: Readonly<Partial<Record<ParquetKind, readonly ColumnType[]>>> = {
  instant: ['timestamptz'],
  local: ['timestamptz'],
  float: ['float8'],
  integer: ['int2', 'int4', 'int8'],
  text: ['text'],
}

/** The least number of a type is one less, and goes the long way. */
const mostOf: Readonly<Partial<Record<ColumnType, number>>> = { int2: 32767, int4: 2147483647 }

/**
 * The short way of Parquet rows, as CsvLane is of CSV lines: values go from DuckDB's columns into slots. Rows with a value
 * that may need a second look go the long way.
 */
export class ParquetLane {
  readonly #lane: RowLane
  /** By position in the table: which of the columns that are read. */
  readonly #places: readonly number[]
  /** The greatest number of a column's type, of either sign; NaN: any number will do. */
  readonly #most: Float64Array
  readonly #areTexts: readonly boolean[]

  private constructor(lane: RowLane, places: readonly number[], types: readonly ColumnType[]) {
    this.#lane = lane
    this.#places = places
    this.#areTexts = types.map((type) => type === 'text')
    this.#most = Float64Array.from(types, (type) => mostOf[type] ?? Number.NaN)
  }

  get slots(): RowSlots {
    return this.#lane.slots
  }

  /** `used`: the fields that are read, in the order of the columns of a batch. */
  static create(plan: ImportPlan, definition: StoredDefinition, used: readonly number[]): ParquetLane | null {
    const lane = rowLane(definition)
    if (lane === null || plan.parquet === null || plan.nullWords !== null) return null
    const isLocalUtc = plan.timeZone === null || resolveZone(plan.timeZone).fixedOffset === 0
    const places: number[] = []
    for (const { column, source } of plan.columns) {
      if (source.kind !== 'field') return null
      const { kind } = plan.parquet[source.index]!
      if (!pairs[kind]?.includes(definition.columns[column]!.type)) return null
      if (kind === 'local' && !isLocalUtc) return null
      places.push(used.indexOf(source.index))
    }
    const types = plan.columns.map(({ column }) => definition.columns[column]!.type)
    return new ParquetLane(lane, places, types)
  }

  /** All rows of a batch as columns of the table; null where one of them may have to go another way. */
  readAll({ rowCount, columns }: ParquetBatch): readonly ColumnValues[] | null {
    const all: ColumnValues[] = []
    for (const [i, place] of this.#places.entries()) {
      const column = columns[place]!
      const { numbers } = column
      if (numbers !== null) {
        const most = this.#most[i]!
        if (!Number.isNaN(most) && numbers.some((number) => Math.abs(number) > most)) return null
        all.push({ numbers, texts: null })
        continue
      }
      if (!this.#areTexts[i]) return null
      const texts: string[] = new Array(rowCount)
      for (let row = 0; row < rowCount; row += 1) {
        const text = column.get(row)
        // an empty text may mean null
        if (typeof text !== 'string' || text === '' || text.includes('\0')) return null
        texts[row] = text
      }
      all.push({ numbers: null, texts })
    }
    return all
  }

  /** Fills the slots; false when the row has to go the long way. */
  read(columns: ParquetBatch['columns'], row: number): boolean {
    const places = this.#places
    const { how, numbers } = this.#lane.slots
    for (let i = 0; i < places.length; i += 1) {
      const column = columns[places[i]!]!
      if (column.numbers !== null) {
        const number = column.numbers[row]!
        if (Math.abs(number) > this.#most[i]!) return false
        how[i] = slotHow.number
        numbers[i] = number
        continue
      }
      const value = column.get(row)
      // an empty text may mean null
      if (value === undefined || value === '' || !this.#lane.readValue(i, value)) return false
    }
    return true
  }
}
