import type { HypertableDefinition } from '../../schema/index.ts'
import { Problems, type ProtocolProblem, type ProtocolReason, shownValue } from '../contract.ts'

/** A row as `tm.insert` takes it, not yet checked against its table. */
export type RoutedRow = Record<string, unknown>

/** Rows of one hypertable. */
export interface RoutedRows {
  readonly into: HypertableDefinition
  readonly rows: RoutedRow[]
  /** Of each row, the `index` of its point: what is refused later can be told by the place in what was sent. */
  readonly indexes: number[]
}

export interface Routed {
  /** Those that have rows. */
  readonly tables: readonly RoutedRows[]
  /** Points that no table takes. */
  readonly problems: readonly ProtocolProblem[]
  readonly problemCount: number
  /** Points that are left out on purpose: stale markers without a column `stale`, spans that are no calls to models. */
  readonly skipped: number
}

/** Collects rows by their table. */
export class RowCollector {
  readonly #tables = new Map<HypertableDefinition, RoutedRows>()
  readonly #problems: Problems
  skipped = 0

  constructor(maxProblems: number | undefined) {
    this.#problems = new Problems(maxProblems)
  }

  add(into: HypertableDefinition, row: RoutedRow, index: number): void {
    let table = this.#tables.get(into)
    if (table === undefined) {
      table = { into, rows: [], indexes: [] }
      this.#tables.set(into, table)
    }
    table.rows.push(row)
    table.indexes.push(index)
  }

  refuse(index: number, field: string | null, value: unknown, reason: ProtocolReason, message: string): void {
    const shown = value === null || value === undefined ? null : shownValue(value)
    this.#problems.add({ index, line: null, column: null, field, value: shown, reason, message, text: null })
  }

  result(): Routed {
    return {
      tables: [...this.#tables.values()],
      problems: this.#problems.list,
      problemCount: this.#problems.count,
      skipped: this.skipped,
    }
  }
}
