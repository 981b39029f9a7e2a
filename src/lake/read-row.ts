import type { DuckDBValue } from '@duckdb/node-api'
import type { RowValue } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { type Instant, infinityInstant, minusInfinityInstant } from '../time/index.ts'
import { identifier, type Sql } from '../util/sql.ts'
import { plainValue } from './duckdb.ts'
import { type FileScope, layoutOf } from './file-scope.ts'
import { JsonAssembler, type ShreddedValue } from './json-shred.ts'

/** How a declared column comes out of a file. */
export interface ColumnReader {
  /** What to select; nothing for a column that the files do not have. */
  readonly columns: readonly Sql[]
  /** `at`: where the first of `columns` is in the row. jsonb is given as its text. */
  read(row: readonly DuckDBValue[], at: number): RowValue
}

const postgresEpoch: Instant = 946_684_800_000_000n

/** Values in the forms of `RowValue`, but jsonb as PostgreSQL's text of it. */
export function columnReader(scope: FileScope, name: string): ColumnReader {
  const layout = layoutOf(scope, name)
  const column = identifier(name)
  if (!layout) return { columns: [], read: () => null }
  switch (layout.kind) {
    case 'native':
    case 'decimal':
    case 'numericText':
      return { columns: [column], read: (row, at) => plainValue(row[at]) }
    case 'wideInstant':
      return {
        columns: [column],
        read: (row, at) => {
          const micros = row[at] as bigint | null
          if (micros === null || micros === infinityInstant || micros === minusInfinityInstant) return micros
          return micros + postgresEpoch
        },
      }
    case 'shapedTexts':
      return {
        columns: [column, identifier(layout.shape)],
        read: (row, at) => {
          const list = plainValue(row[at]) as readonly (string | null)[] | null
          const shape = row[at + 1] as string | null
          return list === null || shape === null ? list : nested(list, lengthsOf(shape), 0)
        },
      }
    case 'json': {
      const assembler = new JsonAssembler(layout.shredded)
      return {
        columns: [identifier(layout.rest), ...layout.shredded.map((one) => identifier(one.column))],
        read: (row, at) => {
          const rest = row[at] as string | null
          return rest === null
            ? null
            : assembler.assemble(rest, (path) => row[at + 1 + path] as ShreddedValue)
        },
      }
    }
  }
}

/** `[2:3][1:3]` has 2 times 3 elements. */
function lengthsOf(shape: string): number[] {
  return [...shape.matchAll(/\[(-?\d+):(-?\d+)\]/g)].map(([, from, to]) => Number(to) - Number(from) + 1)
}

function nested(list: readonly (string | null)[], lengths: readonly number[], depth: number): unknown[] {
  if (depth >= lengths.length - 1) return [...list]
  const size = list.length / lengths[depth]!
  return Array.from({ length: lengths[depth]! }, (_, i) =>
    nested(list.slice(i * size, (i + 1) * size), lengths, depth + 1),
  )
}

/** Several declared columns of one row. */
export interface RowReader {
  readonly columns: readonly Sql[]
  /** One value for each name, in their order. */
  read(row: readonly DuckDBValue[]): RowValue[]
}

/** @param parse Whether jsonb is parsed, as in an answer, or stays its text. */
export function rowReader(scope: FileScope, names: readonly string[], parse: boolean): RowReader {
  const columns: Sql[] = []
  const readers = names.map((name) => {
    const reader = columnReader(scope, name)
    const at = columns.length
    columns.push(...reader.columns)
    const isJson = parse && isJsonb(scope.dataset, name)
    return (row: readonly DuckDBValue[]): RowValue => {
      const value = reader.read(row, at)
      return isJson && value !== null ? JSON.parse(value as string) : value
    }
  })
  const count = readers.length
  return {
    columns,
    read(row) {
      const values: RowValue[] = new Array(count)
      for (let i = 0; i < count; i++) values[i] = readers[i]!(row)
      return values
    },
  }
}

function isJsonb(dataset: HypertableDefinition, name: string): boolean {
  return dataset.columns[name]?.type === 'jsonb'
}
