import type { ParquetColumn } from '../lake/index.ts'
import type { ImportFormat } from './options.ts'

/** Records and bytes of a file's beginning that are looked at. */
export const sampleRecords = 1000
export const headBytes = 1 << 20

/** What a file's beginning shows: the fields it has, and the first records. */
export interface Survey {
  readonly format: ImportFormat
  readonly separator: string | null
  readonly header: boolean | null
  readonly hasPrefix: boolean
  readonly fields: readonly FieldSeen[]
  readonly records: readonly (readonly unknown[])[]
  readonly parquet: readonly ParquetColumn[] | null
  readonly remarks: readonly string[]
}

export interface FieldSeen {
  readonly name: string
  /** Holds objects: only for jsonb columns. */
  readonly isObject: boolean
}
