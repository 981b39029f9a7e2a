import { createHash } from 'node:crypto'
import type { ParquetColumn } from '../lake/index.ts'
import type { ImportFormat } from './options.ts'
import type { Compression } from './source.ts'

/** Where the values of a column come from. `index` is the position in what the reader gives. */
export type ColumnSource =
  | { readonly kind: 'field'; readonly name: string; readonly index: number }
  | { readonly kind: 'assembled'; readonly parts: readonly (number | string)[]; readonly text: string }
  | { readonly kind: 'constant'; readonly value: string }
  | { readonly kind: 'line' }
  | { readonly kind: 'file' }
  /** Nothing in the file: the column's default, or null. */
  | { readonly kind: 'none'; readonly gives: 'default' | 'null' }

export interface ColumnPlan {
  readonly column: string
  readonly type: string
  readonly source: ColumnSource
  /** For timestamptz and date from text. */
  readonly timeFormat: string | null
  /** For a person: why this source and this format. */
  readonly why: string
}

/** What was guessed and asked for: everything that decides how a file's bytes become rows. Plain JSON. */
export interface ImportPlan {
  readonly format: ImportFormat
  readonly compression: Compression
  readonly separator: string | null
  readonly header: boolean | null
  readonly hasPrefix: boolean
  /** Fields that the reader gives, in order. */
  readonly fields: readonly string[]
  /** Parquet: what the values of the fields are. */
  readonly parquet: readonly ParquetColumn[] | null
  /** Every declared column, in declared order. */
  readonly columns: readonly ColumnPlan[]
  /** Fields of the file that go nowhere. */
  readonly unused: readonly string[]
  readonly timeZone: string | null
  readonly nullWords: readonly string[] | null
  readonly ragged: 'refuse' | 'fill'
  readonly keepBlankLines: boolean
  readonly maxRecordBytes: number
  readonly limit: number | null
  /** For a person: what was seen and decided. */
  readonly remarks: readonly string[]
}

/** Equal for plans that make the same rows of the same file. */
export function hashPlan(plan: ImportPlan): string {
  const { remarks: _, columns, ...rest } = plan
  const essence = { ...rest, columns: columns.map(({ why: _why, ...column }) => column) }
  return createHash('sha256').update(JSON.stringify(essence)).digest('hex')
}

/** Positions of the fields that columns are made of. */
export function usedFields(plan: Pick<ImportPlan, 'columns'>): number[] {
  const used = new Set<number>()
  for (const { source } of plan.columns) {
    if (source.kind === 'field') used.add(source.index)
    if (source.kind === 'assembled')
      for (const part of source.parts) if (typeof part === 'number') used.add(part)
  }
  return [...used].sort((a, b) => a - b)
}
