import { setMaxListeners } from 'node:events'
import type { DuckDBDataChunk, DuckDBValue } from '@duckdb/node-api'
import { TidemarkError } from '../util/errors.ts'
import { join, printSql, raw, type Sql, sql } from '../util/sql.ts'
import type { LakeCatalogs } from './catalog.ts'
import type { LakeFile, ObjectStore } from './contract.ts'
import { deletedBits } from './deleted-bits.ts'
import { type DuckDB, parametersOf } from './duckdb.ts'
import { inexact } from './json-sql.ts'
import type { LakeSnapshot } from './lake-snapshot.ts'
import { pathLiteral } from './literal-sql.ts'
import type { SummaryMemory } from './summary-memory.ts'

/** What one request reads with. */
export interface LakeAccess {
  readonly duckdb: DuckDB
  readonly store: ObjectStore
  readonly catalogs: LakeCatalogs
  readonly summaries: SummaryMemory
  readonly snapshot: LakeSnapshot
  readonly signal: AbortSignal | null
  /** DuckDB only hands over rows: slow, for tests. */
  readonly onlyTypeScript: boolean
}

/** Files with deletions that one statement reads; each is a branch of a UNION ALL. */
const maxBranches = 50

/** The files as statements can read them: those without deletions at once, the others some at a time. */
export function inStatements(files: readonly LakeFile[]): readonly (readonly LakeFile[])[] {
  const whole = files.filter((file) => file.deletedRows === 0)
  const holed = files.filter((file) => file.deletedRows > 0)
  if (holed.length === 0) return files.length === 0 ? [] : [files]
  const parts: LakeFile[][] = []
  for (let i = 0; i < holed.length; i += maxBranches) parts.push(holed.slice(i, i + maxBranches))
  parts[0]!.unshift(...whole)
  return parts
}

/**
 * What follows `from`: the rows of files that count. The places of deleted rows are a bit for each row of the file: that needs no
 * table, costs nothing for row groups that are left out, and 6 ms for 432,000 rows whatever the number of places; a join
 * costs 2 to 300 ms and has to be handed a list.
 *
 * @param columns Of the files; at least one.
 */
export async function fromFiles(
  access: LakeAccess,
  files: readonly LakeFile[],
  columns: readonly Sql[],
): Promise<Sql> {
  const paths = await Promise.all(files.map((file) => access.store.localFile(file.path, access.signal)))
  const read = (list: readonly string[], options: string): Sql =>
    raw(`read_parquet([${list.map(pathLiteral).join(', ')}], hive_partitioning = false${options})`)
  const whole = paths.filter((_, i) => files[i]!.deletedRows === 0)
  if (whole.length === files.length) return read(whole, '')
  const list = join(columns, ', ')
  const branches: Sql[] = whole.length === 0 ? [] : [sql`select ${list} from ${read(whole, '')}`]
  for (const [i, file] of files.entries()) {
    if (file.deletedRows === 0) continue
    const places = await access.catalogs.deletions(access.snapshot, file, access.signal)
    const bits = deletedBits(file.rowCount, places)
    branches.push(
      sql`select ${list} from ${read([paths[i]!], ', file_row_number = true')}
        where get_bit(${bits}, file_row_number::integer) = 0`,
    )
  }
  return sql`(${join(branches, ' union all ')}) r`
}

/** Rows of a statement, as DuckDB gives them. `InexactError` when it met JSON that DuckDB reads differently. */
export async function askFiles(
  access: LakeAccess,
  statement: Sql,
): Promise<readonly (readonly DuckDBValue[])[]> {
  return (await answerOf(access, statement)).getRows()
}

/** Columns of a statement's answer, as `askFiles` gives its rows. */
export async function askColumns(
  access: LakeAccess,
  statement: Sql,
): Promise<readonly (readonly DuckDBValue[])[]> {
  return (await answerOf(access, statement)).getColumns()
}

function answerOf(access: LakeAccess, statement: Sql) {
  const { text, values } = printSql(statement)
  return withLakeErrors(access, () =>
    access.duckdb.withConnection(access.signal, (connection) =>
      connection.runAndReadAll(text, parametersOf(values)),
    ),
  )
}

/**
 * Calls `use` with one block of rows after the other; reads no faster than that. False from it ends the reading.
 *
 * @param isBounded The answer ends in a LIMIT, so it may as well be made at once: a stream is planned twice (0.4 ms).
 */
export async function streamFiles(
  access: Pick<LakeAccess, 'duckdb' | 'store' | 'signal'>,
  statement: Sql,
  use: (chunk: DuckDBDataChunk) => boolean,
  isBounded = false,
): Promise<void> {
  const { text, values } = printSql(statement)
  await withLakeErrors(access, () =>
    access.duckdb.withConnection(access.signal, async (connection) => {
      const parameters = parametersOf(values)
      const result = isBounded
        ? await connection.run(text, parameters)
        : await connection.stream(text, parameters)
      for (;;) {
        const chunk = await result.fetchChunk()
        if (!chunk || chunk.rowCount === 0) return
        if (!use(chunk)) return
        access.signal?.throwIfAborted()
      }
    }),
  )
}

/** DuckDB met JSON that it reads in another way than PostgreSQL: the question has to be answered in TypeScript. */
export class InexactError extends Error {}

/** Names what went wrong in DuckDB: memory, a file, JSON that it reads differently. */
export async function withLakeErrors<T>(
  access: Pick<LakeAccess, 'store'>,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run()
  } catch (cause) {
    if (cause instanceof TidemarkError) throw cause
    const text = cause instanceof Error ? cause.message : String(cause)
    // DuckDB has no codes: the message of `error()` is all that comes
    if (text.includes(inexact)) throw new InexactError(text, { cause })
    if (text.startsWith('Out of Memory Error'))
      throw new TidemarkError(
        'TM_LIMIT',
        {
          what: 'the memory that a query of cold rows needs',
          value: 'more than it may have',
          limit: text.split('\n')[0]!.slice(0, 200),
          todo: 'ask for a coarser bucket, fewer groups or a shorter range, or give DuckDB more memory or a folder to spill to',
        },
        { cause },
      )
    throw new TidemarkError(
      'TM_LAKE',
      {
        what: access.store.description,
        problem: `its files cannot be read: ${text.split('\n')[0]!.slice(0, 300)}`,
        todo: 'run tidemark verify, which names the files that are absent or damaged',
      },
      { cause },
    )
  }
}

/** Statements of one request that run at the same time: each may use all threads, and holds a connection. */
const maxAtOnce = 4

/**
 * Runs some at a time, gives the results in order, and waits for every one that has begun, also when one fails: nothing may go
 * on reading when the answer is out. The others are stopped then.
 */
export async function allOrStop<T>(
  access: LakeAccess,
  tasks: readonly ((access: LakeAccess) => Promise<T>)[],
): Promise<T[]> {
  if (tasks.length === 1) return [await tasks[0]!(access)]
  const stop = new AbortController()
  const signal = access.signal ? AbortSignal.any([access.signal, stop.signal]) : stop.signal
  // every statement of every task listens, which is no leak
  setMaxListeners(0, signal)
  const inner: LakeAccess = { ...access, signal }
  const results: T[] = new Array(tasks.length)
  const failures: unknown[] = []
  let next = 0
  const work = async (): Promise<void> => {
    while (next < tasks.length && failures.length === 0) {
      const at = next++
      try {
        results[at] = await tasks[at]!(inner)
      } catch (error) {
        failures.push(error)
        stop.abort()
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(maxAtOnce, tasks.length) }, work))
  if (failures.length > 0) throw failures[0]
  return results
}
