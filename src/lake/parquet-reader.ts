import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'
import { TidemarkError } from '../util/errors.ts'
import { loadDuckDB } from './duckdb.ts'
import { type ParquetValues, readValues } from './parquet-values.ts'

/**
 * What the values of a column are in JavaScript, exact:
 * `instant` bigint microseconds since the epoch; `local` bigint microseconds of a wall clock without zone;
 * `instant-ns` and `local-ns` the same in nanoseconds; `integer` number or bigint; `float` number; `decimal`, `date`,
 * `text` string; `bool` boolean; `texts` array of string and null; `json` JSON text of a list, struct or map;
 * `bytes` is refused when it is asked for.
 */
export type ParquetKind =
  | 'instant'
  | 'local'
  | 'instant-ns'
  | 'local-ns'
  | 'integer'
  | 'float'
  | 'decimal'
  | 'date'
  | 'text'
  | 'bool'
  | 'texts'
  | 'json'
  | 'bytes'

export interface ParquetColumn {
  readonly name: string
  /** The type as DuckDB names it: `TIMESTAMP`, `DECIMAL(10,2)`, `VARCHAR[]`. */
  readonly type: string
  readonly kind: ParquetKind
}

/** Rows of a file, column by column, in the order in which they were asked for. */
export interface ParquetBatch {
  readonly rowCount: number
  readonly columns: readonly ParquetValues[]
}

export interface ParquetFile {
  readonly columns: readonly ParquetColumn[]
  readonly rowCount: number
  /**
   * The rows in file order in batches of at most 2,048. Reads no faster than it is asked.
   * @throws TidemarkError TM_IMPORT when the file is damaged or a column has a type that is not read.
   */
  read(columns: readonly string[], signal?: AbortSignal | null): AsyncGenerator<ParquetBatch>
  close(): void
}

/**
 * Opens a Parquet file of any writer. One thread of DuckDB reads it: the rows go into PostgreSQL one by one, which is
 * slower, so more threads would only fill memory.
 *
 * @example
 * const file = await openParquet('flights.parquet')
 * for await (const batch of file.read(['date', 'delay'])) console.log(batch.rowCount)
 * file.close()
 * @throws TidemarkError TM_IMPORT when it is no Parquet file.
 */
export async function openParquet(path: string): Promise<ParquetFile> {
  const { DuckDBInstance } = loadDuckDB()
  const instance: DuckDBInstance = await DuckDBInstance.create(':memory:', {
    threads: '1',
    memory_limit: '512MB',
    // its default is `.tmp` in whatever folder the process was started; made only when something spills
    temp_directory: join(tmpdir(), `tidemark-parquet-${process.pid}`),
  })
  const connection: DuckDBConnection = await instance.connect()
  const close = (): void => {
    connection.closeSync()
    instance.closeSync()
  }
  const source = `read_parquet(${literal(escapeGlob(path))}, binary_as_string = true, hive_partitioning = false)`
  try {
    const described = await connection.runAndReadAll(`describe select * from ${source}`)
    const columns = described.getRowObjects().map((row): ParquetColumn => {
      const type = String(row['column_type'])
      return { name: String(row['column_name']), type, kind: kindOf(type) }
    })
    const counted = await connection.runAndReadAll(
      `select sum(num_rows)::bigint from parquet_file_metadata(${literal(escapeGlob(path))})`,
    )
    const rowCount = Number(counted.getRows()[0]?.[0] ?? 0n)
    return {
      columns,
      rowCount,
      read: (names, signal) => read(connection, path, source, columns, names, signal),
      close,
    }
  } catch (cause) {
    close()
    throw readProblem(path, cause)
  }
}

async function* read(
  connection: DuckDBConnection,
  path: string,
  source: string,
  columns: readonly ParquetColumn[],
  names: readonly string[],
  signal?: AbortSignal | null,
): AsyncGenerator<ParquetBatch> {
  const projection = names.map((name) => {
    const column = columns.find((one) => one.name === name)
    if (!column || column.kind === 'bytes')
      throw new TidemarkError('TM_IMPORT', {
        file: path,
        problem: column
          ? `column "${name}" is of type ${column.type}, which is not read`
          : `it has no column "${name}"`,
        todo: column
          ? 'leave it out of the mapping'
          : `its columns are ${columns.map((c) => c.name).join(', ')}`,
      })
    return project(column)
  })
  const stop = (): void => connection.interrupt()
  signal?.addEventListener('abort', stop, { once: true })
  try {
    const result = await connection.stream(`select ${projection.join(', ') || '1'} from ${source}`)
    // as they are after the projection
    const types = result.columnTypes().map(String)
    for (;;) {
      const chunk = await result.fetchChunk()
      if (chunk === null || chunk.rowCount === 0) return
      yield {
        rowCount: chunk.rowCount,
        columns: names.map((_, i) => readValues(chunk, i, types[i]!)),
      }
    }
  } catch (cause) {
    if (signal?.aborted) throw new TidemarkError('TM_CANCELLED', { what: `reading ${path}` }, { cause })
    throw readProblem(path, cause)
  } finally {
    signal?.removeEventListener('abort', stop)
  }
}

function kindOf(type: string): ParquetKind {
  if (type === 'VARCHAR[]') return 'texts'
  if (type.endsWith(']') || type.startsWith('STRUCT') || type.startsWith('MAP') || type === 'JSON')
    return 'json'
  if (type.startsWith('DECIMAL')) return 'decimal'
  switch (type) {
    case 'TIMESTAMP WITH TIME ZONE':
      return 'instant'
    case 'TIMESTAMP':
    case 'TIMESTAMP_S':
    case 'TIMESTAMP_MS':
      return 'local'
    case 'TIMESTAMP_NS':
      return 'local-ns'
    case 'DATE':
      return 'date'
    case 'BOOLEAN':
      return 'bool'
    case 'TINYINT':
    case 'SMALLINT':
    case 'INTEGER':
    case 'BIGINT':
    case 'HUGEINT':
    case 'UTINYINT':
    case 'USMALLINT':
    case 'UINTEGER':
    case 'UBIGINT':
    case 'UHUGEINT':
      return 'integer'
    case 'FLOAT':
    case 'DOUBLE':
      return 'float'
    case 'BLOB':
      return 'bytes'
    default:
      return type.includes('TIMESTAMP') && type.includes('NS') ? 'instant-ns' : 'text'
  }
}

/** DuckDB makes the value plain where its own JavaScript form would be an object for each value. */
function project(column: ParquetColumn): string {
  const name = `"${column.name.replaceAll('"', '""')}"`
  switch (column.kind) {
    case 'instant':
    case 'local':
      return `epoch_us(${name})`
    case 'instant-ns':
    case 'local-ns':
      return `epoch_ns(${name})`
    case 'decimal':
    case 'date':
    case 'text':
      return column.type === 'VARCHAR' ? name : `${name}::varchar`
    case 'json':
      return column.type === 'JSON' ? `${name}::varchar` : `to_json(${name})::varchar`
    default:
      return name
  }
}

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/** DuckDB takes a path for a pattern. */
function escapeGlob(path: string): string {
  return path.replace(/[[*?]/g, '[$&]')
}

function readProblem(path: string, cause: unknown): TidemarkError {
  if (cause instanceof TidemarkError) return cause
  const text = cause instanceof Error ? cause.message : String(cause)
  return new TidemarkError(
    'TM_IMPORT',
    {
      file: path,
      problem: `it cannot be read as Parquet: ${text.split('\n')[0]!.slice(0, 300)}`,
      todo: 'check that the file is whole',
    },
    { cause },
  )
}
