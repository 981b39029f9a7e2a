import { createCopyEncoder, createRowDigester } from '../../src/postgres/index.ts'
import { newestKeys, type RowValue, rowOrder } from '../../src/query/index.ts'
import { createRowCodec, type DatasetDefinition } from '../../src/schema/index.ts'
import { jsonSource, type NaiveRow } from './naive-values.ts'

/** What orders a row in every tier, computed from its values alone. */
export interface RowKeys {
  /** Values of `rowOrder(dataset).keys`. */
  keysOf(row: NaiveRow): readonly RowValue[]
  /** Values of `newestKeys(dataset, by)`. */
  newestKeysOf(row: NaiveRow, by: readonly string[]): readonly RowValue[]
}

const copyHeaderBytes = 19

export function createRowKeys(dataset: DatasetDefinition): RowKeys {
  const columns = Object.entries(dataset.columns)
  const types = columns.map(([, { type }]) => type)
  const codec = createRowCodec(dataset)
  const encoder = createCopyEncoder(types, { chunkBytes: 1024 })
  const digestOf = createRowDigester(types)
  const { keys } = rowOrder(dataset)
  const known = new WeakMap<NaiveRow, readonly RowValue[]>()

  /** jsonb as the text that PostgreSQL keeps. */
  const textOrValue = (row: NaiveRow, name: string): unknown => {
    const isJson = dataset.columns[name]?.type === 'jsonb' && row[name] !== null
    return isJson ? jsonSource(row[name]) : row[name]
  }

  /** Through the bytes that PostgreSQL would send. */
  function digest(row: NaiveRow): string {
    const canonical = codec.encode(row)
    if (!canonical) throw new Error(JSON.stringify(codec.problems(row)))
    encoder.reset()
    encoder.addRow(
      columns.map(([name, { type }], i) => (type === 'jsonb' ? textOrValue(row, name) : canonical[i])),
    )
    return digestOf(Buffer.concat(encoder.finish()).subarray(copyHeaderBytes, -2))
  }

  return {
    keysOf(row) {
      let found = known.get(row)
      if (!found) {
        found = keys.map((key) => (key.kind === 'digest' ? digest(row) : row[key.column]))
        known.set(row, found)
      }
      return found
    },
    newestKeysOf: (row, by) => newestKeys(dataset, by).map(({ column }) => textOrValue(row, column)),
  }
}
