import type { FilterNode, RowValue } from '../query/index.ts'
import type { ColumnType, HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import type { DuckDB } from './duckdb.ts'

/**
 * How the columns of a declaration lie in one file. Decided when the file is written, by what the values are; kept in
 * the catalog (`lake_file.layout`), so a file can be read for as long as it exists.
 *
 * | declared | in the file |
 * | --- | --- |
 * | timestamptz, date, text, uuid, bool, int2, int4, int8, float4, float8, text[] | the type of that kind |
 * | numeric | DECIMAL(p, s) when every value of the file fits it exactly, also its scale; otherwise text |
 * | jsonb | typed columns for paths that repeat, and the rest as text |
 *
 * Two kinds are for values that almost nobody has: `wideInstant` and `shapedTexts`.
 */
export type ColumnLayout =
  | { readonly kind: 'native' }
  | { readonly kind: 'decimal'; readonly precision: number; readonly scale: number }
  | { readonly kind: 'numericText' }
  /**
   * timestamptz with a value after 294247-01-10T04:00:54.775806Z, which does not fit int64 microseconds since 1970: BIGINT
   * microseconds since 2000, as PostgreSQL has them; the greatest and least int64 are infinity and -infinity.
   */
  | { readonly kind: 'wideInstant' }
  /**
   * text[] with a value of several dimensions, or that does not begin at 1: the list has the elements in storage order, and
   * the text column `shape` has what PostgreSQL writes before such an array, `[2:3]` or `[1:2][1:3]`; null: an ordinary one.
   */
  | { readonly kind: 'shapedTexts'; readonly shape: string }
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
  /** Names in the order in which rows were hashed; jsonb keeps none. */
  readonly order: readonly string[]
  /** The time column: always native, finite, never null. */
  readonly time: string
  /** What the rows are sorted by, all ascending, nulls last, text by bytes: tenant, orderBy, time. */
  readonly sortedBy: readonly string[]
}

/** Least and greatest value, in the JavaScript form that a filter's value has; null: the column is null throughout. */
export interface ColumnRange {
  readonly min: string | number | bigint | boolean
  readonly max: string | number | bigint | boolean
  readonly hasNull: boolean
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
  /** Declared columns, a prefix of tenant and orderBy without time. */
  readonly groups: readonly string[]
  /** Columns with states, each with the kinds that are kept. */
  readonly columns: Readonly<Record<string, readonly SummaryState[]>>
}

export type SummaryState = 'count' | 'sum' | 'min' | 'max'

/** A file that was written and read back. */
export interface WrittenFile {
  /** Where it is, below the root of the lake: there already, durable. */
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
}

/** A file of the catalog as one snapshot sees it. */
export interface LakeFile extends WrittenFile {
  readonly id: bigint
  readonly chunkId: bigint
  /** How many of its rows no longer count. */
  readonly deletedRows: number
}

export interface StoredObject {
  readonly path: string
  readonly bytes: number
  readonly modifiedAt: Date
}

/**
 * Where the files of the lake are: a folder, an S3 bucket. Paths are relative, with '/', of [a-zA-Z0-9._%=-] segments
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
  /** Everything below a prefix, in any order; temporary files of a folder too, below `tmp/`. */
  list(prefix: string): AsyncIterable<StoredObject>
  /** Also when it is not there. */
  remove(path: string): Promise<void>
}

/**
 * Rows as PostgreSQL's COPY BINARY stream of all declared columns in declared order: `copy (select …) to stdout (format
 * binary)`, cut anywhere. It has to begin with the header and end with the trailer. Whoever gets the buffers owns them.
 */
export type RowStream = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

export interface WriteFileRequest {
  readonly definition: HypertableDefinition
  /** Of the chunk. Every row has to lie in it. */
  readonly range: TimeRange
  readonly rows: RowStream
  readonly signal: AbortSignal | null
  /** Called some times a second at the most; `rows` so far, in each stage. */
  readonly onProgress?: (progress: WriteProgress) => void
}

export interface WriteProgress {
  readonly stage: 'read' | 'write' | 'verify' | 'summarize'
  readonly rows: number
}

/** Which rows of a file, by their places in it from 0, ascending and each once. */
export type RowChoice =
  | { readonly kind: 'all' }
  | { readonly kind: 'without'; readonly positions: readonly number[] | Float64Array }
  | { readonly kind: 'only'; readonly positions: readonly number[] | Float64Array }

/** What reading a file needs to know of it; a `LakeFile` and a `WrittenFile` are ones. */
export type FileReference = Pick<
  WrittenFile,
  'path' | 'rowCount' | 'bytes' | 'checksum' | 'contentHash' | 'layout'
>

export interface ReadRowsRequest {
  /** As it is declared now: columns that the file does not have are null. */
  readonly definition: HypertableDefinition
  readonly file: FileReference
  readonly choice: RowChoice
  readonly signal: AbortSignal | null
}

/**
 * Writes the files of chunks, and gives their rows back as the bytes that PostgreSQL sent. No catalog: what is written here
 * counts only when a transaction says so.
 */
export interface LakeFiles extends LakeSearch {
  /**
   * Rows into one file, sorted, in the store, durable, and read back: count and content hash of what the file gives are those of
   * `rows`. Memory stays within DuckDB's limit and some ten MB. Null when there was no row: nothing was written.
   * @throws TidemarkError TM_LAKE when it cannot be written or reads back otherwise; nothing is left then. TM_CANCELLED.
   */
  write(request: WriteFileRequest): Promise<WrittenFile | null>
  /**
   * Rows of a file in file order, as a COPY BINARY stream with header and trailer, for `Connection.copyFrom`. Reads no faster than
   * it is asked. Does not look at checksum or hash: `hashRows` over the stream does.
   * @throws TidemarkError TM_LAKE when the file is absent or damaged. TM_CANCELLED.
   */
  rows(request: ReadRowsRequest): AsyncGenerator<Uint8Array>
  /**
   * Compares checksum, count and content hash of the file in the store with what is known of it.
   * @throws TidemarkError TM_LAKE that says what differs.
   */
  verify(request: Omit<ReadRowsRequest, 'choice'>): Promise<void>
  /** Writes the summary of a file anew under a path of its own. Null when none fits the budget. */
  summarize(request: Omit<ReadRowsRequest, 'choice'>): Promise<LakeSummary | null>
}

/** A file to look into; a `LakeFile` is one. */
export interface SearchedFile {
  readonly path: string
  readonly layout: FileLayout
  readonly minTime: bigint
  readonly maxTime: bigint
}

export interface FilterSearch {
  readonly definition: HypertableDefinition
  readonly file: SearchedFile
  /** null: every row of the range. */
  readonly where: FilterNode | null
  /** null: all time. */
  readonly range: TimeRange | null
  /** Declared columns that `onRow` gets; jsonb as text. */
  readonly columns?: readonly string[]
  /** Some rows may be shown twice. */
  readonly onRow?: (values: readonly RowValue[]) => void
  readonly signal: AbortSignal | null
}

export interface KeySearch {
  readonly definition: HypertableDefinition
  readonly file: SearchedFile
  /** What makes the key. One of them is the time. */
  readonly columns: readonly string[]
  /** Values of the columns as PostgreSQL gave them; with a null in it a key is like no other. */
  readonly keys: readonly (readonly unknown[])[]
  readonly signal: AbortSignal | null
}

/** A row of the file with the key `keys[key]`. */
export interface FoundKey {
  readonly key: number
  readonly place: number
}

/** Looks for rows in files and says where they are: places in a file, also of rows that no longer count. */
export interface LakeSearch {
  /** Places of rows for which the filter is true, ascending. @throws TidemarkError TM_LAKE, TM_CANCELLED, TM_LIMIT */
  matching(request: FilterSearch): Promise<Float64Array>
  /** By key and place, ascending. Errors as `matching`. */
  withKeys(request: KeySearch): Promise<readonly FoundKey[]>
}

/** The order-free sum of rows: count, and 128 bits (docs/decisions/0009-lake.md). */
export interface RowsHash {
  readonly rowCount: number
  /** 16 bytes, big-endian. */
  readonly contentHash: Uint8Array
}

/** As `createLakeFiles(options): LakeFiles` takes them. */
export interface LakeFilesOptions {
  /** With a `temporaryDir`, so that chunks larger than its memory spill. */
  readonly duckdb: DuckDB
  readonly store: ObjectStore
  /** Bytes of a summary at most, as a share of its file. Default 0.03; 0: no summaries. */
  readonly summaryShare?: number
}
