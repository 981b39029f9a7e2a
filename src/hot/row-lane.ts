import { RowSlots, slotHow } from '../postgres/index.ts'
import type { ColumnType, StoredDefinition } from '../schema/index.ts'
import { readInstant } from '../time/index.ts'

/** What a lane needs to know of a table. */
export interface LaneTable {
  readonly definition: StoredDefinition
  readonly columns: readonly string[]
  readonly types: readonly ColumnType[]
}

/** Puts a value into its slot; false: it has to go the long way. */
type Put = (slots: RowSlots, index: number, value: unknown) => boolean

function number(slots: RowSlots, index: number, value: number): true {
  slots.how[index] = slotHow.number
  slots.numbers[index] = value
  return true
}

function putMicros(slots: RowSlots, index: number, micros: number): boolean {
  return Number.isSafeInteger(micros) && number(slots, index, micros)
}

function integer(least: number, most: number): Put {
  return (slots, index, value) =>
    typeof value === 'number' &&
    Number.isInteger(value) &&
    value >= least &&
    value <= most &&
    number(slots, index, value === 0 ? 0 : value)
}

/** Up to here a loop is quicker than two calls into the runtime. */
const loopChars = 40

const puts: Readonly<Partial<Record<ColumnType, Put>>> = {
  float8: (slots, index, value) => typeof value === 'number' && number(slots, index, value),
  int2: integer(-32768, 32767),
  int4: integer(-2147483648, 2147483647),
  int8: (slots, index, value) => {
    const given = typeof value === 'bigint' ? Number(value) : value
    return Number.isSafeInteger(given) && number(slots, index, given === 0 ? 0 : (given as number))
  },
  timestamptz: (slots, index, value) => {
    if (typeof value === 'bigint') return putMicros(slots, index, Number(value))
    if (value instanceof Date) return putMicros(slots, index, value.getTime() * 1000)
    if (typeof value !== 'string') return false
    const micros = readInstant(value)
    return typeof micros === 'number' && putMicros(slots, index, micros)
  },
  text: (slots, index, value) => {
    if (typeof value !== 'string' || value.length > loopChars) return false
    for (let i = 0; i < value.length; i += 1) {
      const code = value.charCodeAt(i)
      if (code === 0 || code > 127) return false
    }
    slots.how[index] = slotHow.value
    slots.values[index] = value
    return true
  },
}

/**
 * The short way of a row into the COPY stream: values of the usual forms go into slots, without a list of canonical values
 * and a bigint for each row. What it does not take (other types, longer or other texts, defaults, anything that is wrong)
 * goes the long way, which alone decides what is refused and why; a test compares both byte by byte.
 */
export class RowLane {
  readonly slots: RowSlots
  readonly #columns: readonly string[]
  readonly #puts: readonly Put[]
  readonly #nullable: readonly boolean[]

  private constructor(table: LaneTable, columnPuts: readonly Put[]) {
    this.#columns = table.columns
    this.#puts = columnPuts
    this.#nullable = table.columns.map((name) => table.definition.columns[name]!.nullable)
    this.slots = new RowSlots(table.columns.length)
  }

  /** null when a column's type always goes the long way. */
  static create(table: LaneTable): RowLane | null {
    const columnPuts = table.types.map((type) => puts[type])
    if (!columnPuts.every((put) => put !== undefined)) return null
    // an object inherits some names, and only its own count
    if (table.columns.some((name) => name in Object.prototype)) return null
    return new RowLane(table, columnPuts as Put[])
  }

  /** false: the row has to go the long way. */
  readObject(row: unknown): boolean {
    if (typeof row !== 'object' || row === null) return false
    const columns = this.#columns
    const count = columns.length
    for (let i = 0; i < count; i += 1) {
      const value = (row as Record<string, unknown>)[columns[i]!]
      if (value === undefined || !this.readValue(i, value)) return false
    }
    // As many keys as columns, all of which were there.
    let keys = 0
    for (const _ in row) keys += 1
    return keys === count
  }

  /** One column's value, which is not undefined. */
  readValue(index: number, value: unknown): boolean {
    if (value === null) {
      this.slots.how[index] = slotHow.null
      return this.#nullable[index]!
    }
    return this.#puts[index]!(this.slots, index, value)
  }
}
