import type { DuckDBDataChunk } from '@duckdb/node-api'
import type { HypertableDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { printSqlInline, raw, type Sql, sql } from '../util/sql.ts'
import type { FileLayout, RowChoice, RowStream, RowsHash } from './contract.ts'
import { cancelled, copyHeader, copyTrailer, readCopyStream } from './copy-stream.ts'
import { borrow, type DuckDB } from './duckdb.ts'
import { decodedColumns, readPlan } from './file-plan.ts'
import { pathLiteral } from './literal-sql.ts'
import { HashSum } from './murmur.ts'
import { RowDecoder } from './row-decoder.ts'
import { type EncodedRows, RowEncoder } from './row-encoder.ts'

type Columns = readonly {
  readonly name: string
  readonly type: HypertableDefinition['columns'][string]['type']
}[]

interface ReadFile {
  readonly duckdb: DuckDB
  /** For messages. */
  readonly what: string
  readonly localFile: string
  readonly layout: FileLayout
  readonly columns: Columns
  readonly signal: AbortSignal | null
}

/** Above it, rows are picked here: a list of so many places costs DuckDB more than reading all. */
const maxListedPositions = 1000

/** Rows of a local file, a vector at a time, as COPY has them. */
async function* encodedRows(file: ReadFile, reuse: boolean, where: Sql | null): AsyncGenerator<EncodedRows> {
  const { select, encoded } = readPlan(file.what, file.layout, file.columns)
  const encoder = new RowEncoder(encoded, { reuse })
  const source = `read_parquet(${pathLiteral(file.localFile)}, hive_partitioning = false${where ? ', file_row_number = true' : ''})`
  const statement = sql`select ${select} from ${raw(source)}${where ? sql` where ${where}` : raw('')}`
  const lent = await borrow(file.duckdb, file.signal)
  try {
    const result = await lent.connection.stream(printSqlInline(statement))
    for (;;) {
      const chunk: DuckDBDataChunk | null = await result.fetchChunk()
      if (file.signal?.aborted) throw cancelled(file.signal, `reading ${file.what}`)
      if (chunk === null || chunk.rowCount === 0) return
      yield encoder.encode(chunk)
    }
  } catch (error) {
    if (file.signal?.aborted) throw cancelled(file.signal, `reading ${file.what}`)
    throw readProblem(file.what, error)
  } finally {
    lent.giveBack()
  }
}

/** Count and hash of what a file gives back: the same bytes that a thaw would send. */
export async function hashFile(
  file: Omit<ReadFile, 'columns'>,
  onRows: (rows: number) => void = () => {},
): Promise<RowsHash> {
  const sum = new HashSum()
  const columns = file.layout.order.map((name) => ({ name, type: file.layout.columns[name]!.type }))
  for await (const { view, rows, ends } of encodedRows({ ...file, columns }, true, null)) {
    let from = 0
    for (let row = 0; row < rows; row += 1) {
      const end = ends[row]!
      sum.add(view, from, end)
      from = end
    }
    onRows(sum.count)
  }
  return { rowCount: sum.count, contentHash: sum.bytes() }
}

/** A COPY BINARY stream of chosen rows. */
export async function* copyRows(file: ReadFile, choice: RowChoice): AsyncGenerator<Uint8Array> {
  if (choice.kind === 'only' && choice.positions.length <= maxListedPositions) {
    yield copyHeader
    if (choice.positions.length > 0) {
      const places = [...choice.positions].map((position) => BigInt(position)).join(', ')
      for await (const { bytes } of encodedRows(file, false, raw(`file_row_number in (${places})`)))
        yield bytes
    }
    yield copyTrailer
    return
  }
  yield copyHeader
  let place = 0
  let next = 0
  for await (const encoded of encodedRows(file, false, null)) {
    const { bytes, rows, ends } = encoded
    if (choice.kind === 'all') {
      yield bytes
      continue
    }
    // runs of rows that are taken
    const { positions } = choice
    const isTaken = choice.kind === 'only'
    let from = -1
    for (let row = 0; row < rows; row += 1) {
      const isNamed = positions[next] === place + row
      if (isNamed) next += 1
      if (isNamed === isTaken) {
        if (from < 0) from = row === 0 ? 0 : ends[row - 1]!
      } else if (from >= 0) {
        const run = bytes.subarray(from, ends[row - 1])
        if (run.length > 0) yield run
        from = -1
      }
    }
    if (from >= 0) yield bytes.subarray(from)
    place += rows
  }
  yield copyTrailer
}

/**
 * Count and order-free hash of rows as PostgreSQL sends them: `copy (select <all declared columns in order> …) to stdout (format
 * binary)`.
 *
 * @example
 * const { rowCount, contentHash } = await hashRows(connection.copyTo(statement), definition, signal)
 * @throws TidemarkError TM_LAKE when these are no such rows.
 */
export async function hashRows(
  rows: RowStream,
  definition: HypertableDefinition,
  signal: AbortSignal | null,
): Promise<RowsHash> {
  // decoded all the same: what is not canonical is found only so
  const decoder = new RowDecoder(decodedColumns(definition), () => {})
  await readCopyStream(rows, definition.name, signal, (bytes, view, start, end) =>
    decoder.add(bytes, view, start, end),
  )
  const { hash } = decoder.tally
  return { rowCount: hash.count, contentHash: hash.bytes() }
}

export function readProblem(what: string, error: unknown): Error {
  if (error instanceof TidemarkError) return error
  const text = error instanceof Error ? error.message.split('\n')[0]!.slice(0, 300) : String(error)
  return new TidemarkError(
    'TM_LAKE',
    {
      what,
      problem: `it cannot be read: ${text}`,
      todo: 'see what `tidemark verify` says of it; restore it from a copy where it is damaged',
    },
    { cause: error },
  )
}
