import { type RowLane, rowLane } from '../hot/index.ts'
import type { ParquetBatch, ParquetKind } from '../lake/index.ts'
import type { RowSlots } from '../postgres/index.ts'
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

/**
 * The short way of Parquet rows, as CsvLane is of CSV lines: values go from DuckDB's columns into slots. Rows with a value
 * that may need a second look go the long way.
 */
export class ParquetLane {
  readonly #lane: RowLane
  /** By position in the table: which of the columns that are read. */
  readonly #places: readonly number[]

  private constructor(lane: RowLane, places: readonly number[]) {
    this.#lane = lane
    this.#places = places
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
    return new ParquetLane(lane, places)
  }

  /** Fills the slots; false when the row has to go the long way. */
  read(columns: ParquetBatch['columns'], row: number): boolean {
    const places = this.#places
    for (let i = 0; i < places.length; i += 1) {
      const value = columns[places[i]!]![row]
      // an empty text may mean null
      if (value === undefined || value === '' || !this.#lane.readValue(i, value)) return false
    }
    return true
  }
}
