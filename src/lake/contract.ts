import type { ColumnType } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'

/**
 * How the columns of a declaration lie in one file. Decided when the file is written, by what the values are; kept in
 * the catalog (`lake_file.layout`), so a file can be read for as long as it exists.
 *
 * | declared | in the file |
 * | --- | --- |
 * | timestamptz, date, text, uuid, bool, int2, int4, int8, float4, float8, text[] | the type of that kind |
 * | numeric | DECIMAL(p, s) when every value of the file fits it exactly, also its scale; otherwise text |
 * | jsonb | typed columns for paths that repeat, and the rest as text |
 */
export type ColumnLayout =
  | { readonly kind: 'native' }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'numericText' }
  | {
      readonly kind: 'json'
      /** The column that holds what no other column does; the declared name. */
      readonly rest: string
      readonly shredded: readonly ShreddedPath[]
    }

/** A path of a jsonb column in a column of its own, for the rows where its value is of that type. */
export interface ShreddedPath {
  readonly path: readonly string[]
  /** Name in the file. */
  readonly column: string
  readonly type: 'text' | 'float8' | 'bool'
}

export interface FileLayout {
  readonly version: 1
  /** By declared name; a column that was added after the file was written is absent, and null in all its rows. */
  readonly columns: Readonly<Record<string, ColumnLayout & { readonly type: ColumnType }>>
  /** What the rows are sorted by, all ascending, nulls last, text by bytes: tenant, orderBy, time. */
  readonly sortedBy: readonly string[]
}

/** Least and greatest value, in the JavaScript form that a filter's value has; null: the column is null throughout. */
export interface ColumnRange {
  readonly min: string | number | bigint | boolean
  readonly max: string | number | bigint | boolean
  readonly hasNull: boolean
}

/** A file of the catalog as one snapshot sees it. */
export interface LakeFile {
  readonly id: bigint
  readonly chunkId: bigint
  readonly path: string
  readonly rowCount: number
  readonly bytes: number
  /** Inclusive. */
  readonly minTime: Instant
  readonly maxTime: Instant
  readonly checksum: Uint8Array
  readonly contentHash: Uint8Array
  readonly layout: FileLayout
  /** Of the columns it is sorted by. */
  readonly stats: Readonly<Record<string, ColumnRange | null>>
  readonly summary: LakeSummary | null
  /** How many of its rows no longer count. */
  readonly deletedRows: number
}

export interface LakeSummary {
  readonly path: string
  readonly bytes: number
  readonly checksum: Uint8Array
  readonly layout: SummaryLayout
}

/** What a summary holds: a row for each bucket and value of the group columns. */
export interface SummaryLayout {
  readonly version: 1
  /** Fixed width in microseconds, from the epoch. */
  readonly bucketMicros: string
  /** Declared columns, a prefix of tenant and orderBy. */
  readonly groups: readonly string[]
  /** Columns with states, each with the kinds that are kept. */
  readonly columns: Readonly<Record<string, readonly SummaryState[]>>
}

export type SummaryState = 'count' | 'sum' | 'min' | 'max'

/** A file that was written and read back, and that no catalog knows yet. */
export interface WrittenFile {
  /** Where it will be, below the root of the lake. It is there already, durable. */
  readonly path: string
  readonly rowCount: number
  readonly bytes: number
  readonly minTime: Instant
  readonly maxTime: Instant
  readonly checksum: Uint8Array
  readonly contentHash: Uint8Array
  readonly layout: FileLayout
  readonly stats: Readonly<Record<string, ColumnRange | null>>
  readonly summary: LakeSummary | null
}

export interface StoredObject {
  readonly path: string
  readonly bytes: number
  readonly modifiedAt: Date
}

/**
 * Where the files of the lake are: a folder, an S3 bucket. Paths are relative, with '/', of [a-zA-Z0-9._-] segments
 * (names of tables are percent-encoded). A path is written once and never again.
 */
export interface ObjectStore {
  /** For people: `the folder .tidemark/lake`, `s3://bucket/prefix`; without secrets. */
  readonly description: string
  /** A local file to write to before `put`; where it lies makes `put` cheap. The caller removes it when it is not put. */
  temporaryFile(): Promise<string>
  /**
   * Takes a finished local file (made by `temporaryFile`) over to `path`. When it resolves the object survives a power
   * cut: a folder syncs file and folders.
   * @throws TidemarkError TM_LAKE when the store refuses (full, no permission, path taken); nothing is left at `path`.
   */
  put(localFile: string, path: string, signal: AbortSignal | null): Promise<void>
  /** A local file with the bytes of the object, for DuckDB to read; a remote store fetches it into a bounded cache. */
  localFile(path: string, signal: AbortSignal | null): Promise<string>
  /** Null when it is not there. */
  stat(path: string): Promise<StoredObject | null>
  /** Everything below a prefix, in any order; temporary files too, below `temporaryPrefix`. */
  list(prefix: string): AsyncIterable<StoredObject>
  /** Also when it is not there. */
  remove(path: string): Promise<void>
}
