import { randomUUID } from 'node:crypto'
import { rm, stat } from 'node:fs/promises'
import type { DuckDBConnection } from '@duckdb/node-api'
import type { HypertableDefinition } from '../schema/index.ts'
import { formatInstant, type Instant, type TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, printSqlInline, quoteLiteral, raw, type Sql, sql } from '../util/sql.ts'
import type {
  ColumnRange,
  FileLayout,
  LakeFilesOptions,
  WriteFileRequest,
  WriteProgress,
  WrittenFile,
} from './contract.ts'
import { plainValue } from './duckdb.ts'
import { equalBytes, sha256 } from './file-digest.ts'
import { newFilePath } from './file-paths.ts'
import { fileSelect } from './file-plan.ts'
import { pathLiteral } from './literal-sql.ts'
import { hashFile } from './read-rows.ts'
import type { RowTally } from './row-decoder.ts'
import { refused } from './store/folder.ts'
import { type DraftSummary, draftSummary, storeSummary } from './summary.ts'

/** Chosen by measurement: docs/decisions/0009-lake.md. */
const parquet = { rowGroupRows: 122_880, zstdLevel: 3 }

const progressEveryMs = 200

/** What a Parquet file has to hold. */
export interface FileContent {
  readonly rowCount: number
  readonly contentHash: Uint8Array
  readonly minTime: Instant
  readonly maxTime: Instant
  readonly layout: FileLayout
}

/** @throws TidemarkError TM_LAKE when a row lies outside of the chunk. */
export function contentOf(what: string, range: TimeRange, tally: RowTally, layout: FileLayout): FileContent {
  assertInRange(what, range, tally)
  const { hash, minTime, maxTime } = tally
  return { rowCount: hash.count, contentHash: hash.bytes(), minTime, maxTime, layout }
}

export interface CompleteFileRequest {
  readonly definition: HypertableDefinition
  /** Start of its chunk. */
  readonly from: Instant
  readonly what: string
  /** A finished Parquet file, made by the store's `temporaryFile`. Gone in any case. */
  readonly localFile: string
  readonly content: FileContent
  readonly signal: AbortSignal | null
  readonly report: Report
}

/** Reads a file back, compares, and puts it into the store, with its summary. Nothing is left when it throws. */
export async function completeFile(
  options: LakeFilesOptions,
  request: CompleteFileRequest,
): Promise<WrittenFile> {
  const { duckdb, store } = options
  const { definition, what, localFile, content, signal, report } = request
  let draft: DraftSummary | null = null
  let storedPath: string | null = null
  try {
    report('verify', 0)
    const path = newFilePath(definition, request.from, randomUUID())
    // side by side: JavaScript hashes rows while DuckDB's threads read on and make the summary
    const readBack = hashFile({ duckdb, what, localFile, layout: content.layout, signal }, (rows) =>
      report('verify', rows),
    )
    const summaryRequest = {
      ...options,
      definition,
      localFile,
      dataPath: path,
      layout: content.layout,
      signal,
    }
    const drafting = draftSummary(summaryRequest).then((made) => {
      draft = made
    })
    const [back, checksum, { size }, stats] = await settled([
      readBack,
      sha256(localFile, signal),
      stat(localFile),
      duckdb.withConnection(signal, (connection) => readStats(connection, localFile, content)),
      drafting,
    ])
    if (back.rowCount !== content.rowCount || !equalBytes(back.contentHash, content.contentHash))
      throw new TidemarkError('TM_LAKE', {
        what,
        problem:
          `what was written does not read back the same: ${back.rowCount} of ${content.rowCount} rows` +
          (back.rowCount === content.rowCount ? ', with other values' : ''),
        todo: 'nothing was kept, the rows stay where they are; please report it with the declaration of the table',
      })
    await store.put(localFile, path, signal)
    storedPath = path
    const summary = await storeSummary(summaryRequest, draft)
    return {
      path,
      rowCount: content.rowCount,
      bytes: size,
      minTime: content.minTime,
      maxTime: content.maxTime,
      checksum,
      contentHash: content.contentHash,
      layout: content.layout,
      stats,
      summary,
    }
  } catch (error) {
    // a stray file costs space only: what went wrong first is what has to be said
    if (storedPath !== null) await store.remove(storedPath).catch(() => {})
    throw error
  } finally {
    for (const left of [localFile, (draft as DraftSummary | null)?.localFile])
      if (left !== undefined) await rm(left, { force: true })
  }
}

/** Writes rows that are staged (`FeedPlan`) as a file of that layout. */
export function copyStatement(
  source: Sql,
  layout: FileLayout,
  localFile: string,
  hasMinusZero: boolean,
): Sql {
  const order = join(
    layout.sortedBy.map((name) => sql`${identifier(name)} asc nulls last`),
    ', ',
  )
  const options = [
    'format parquet',
    'parquet_version v2',
    'compression zstd',
    `compression_level ${parquet.zstdLevel}`,
    `row_group_size ${parquet.rowGroupRows}`,
    'write_bloom_filter false',
    `kv_metadata { tidemark: ${quoteLiteral(JSON.stringify(layout))} }`,
    // a dictionary takes -0 and 0 for one value
    ...(hasMinusZero ? ['dictionary_size_limit 0'] : []),
  ]
  return sql`
    copy (
      select ${fileSelect(layout)}
      from ${source}
      order by ${order}
    ) to ${raw(`${quoteLiteral(localFile)} (${options.join(', ')})`)}`
}

function assertInRange(what: string, range: TimeRange, { minTime, maxTime }: RowTally): void {
  if (minTime >= range.from && maxTime < range.to) return
  throw new TidemarkError('TM_LAKE', {
    what,
    problem:
      `a row is outside of its chunk [${formatInstant(range.from)}, ${formatInstant(range.to)}): ` +
      `rows reach from ${formatInstant(minTime)} to ${formatInstant(maxTime)}`,
    todo: 'select the rows of the chunk only',
  })
}

/** Texts longer than this would make the catalog large and prune little. */
const maxStatLength = 200

async function readStats(
  connection: DuckDBConnection,
  localFile: string,
  { layout, minTime, maxTime }: FileContent,
): Promise<Record<string, ColumnRange | null>> {
  const stats: Record<string, ColumnRange | null> = {
    [layout.time]: { min: minTime, max: maxTime, hasNull: false },
  }
  // the integers of `wideInstant` are no instants
  const names = layout.sortedBy.filter(
    (name) => name !== layout.time && layout.columns[name]!.kind !== 'wideInstant',
  )
  if (names.length === 0) return stats
  const select = names.flatMap((name) => {
    const column = identifier(name)
    return [sql`min(${column})`, sql`max(${column})`, sql`count(*) - count(${column})`]
  })
  const reader = await connection.runAndReadAll(
    printSqlInline(
      sql`select ${join(select, ', ')} from ${raw(`read_parquet(${pathLiteral(localFile)}, hive_partitioning = false)`)}`,
    ),
  )
  const row = reader.getRows()[0]!.map(plainValue)
  names.forEach((name, i) => {
    const [min, max, nulls] = row.slice(i * 3, i * 3 + 3) as [
      ColumnRange['min'] | null,
      ColumnRange['max'] | null,
      bigint,
    ]
    if (min === null || max === null) stats[name] = null
    else if (String(min).length <= maxStatLength && String(max).length <= maxStatLength)
      stats[name] = { min, max, hasNull: nulls > 0n }
  })
  return stats
}

export type Report = (stage: WriteProgress['stage'], rows: number) => void

export function throttled(onProgress: WriteFileRequest['onProgress']): Report {
  if (onProgress === undefined) return () => {}
  let lastStage = ''
  let lastAt = 0
  return (stage, rows) => {
    const now = performance.now()
    if (stage === lastStage && now - lastAt < progressEveryMs) return
    lastStage = stage
    lastAt = now
    onProgress({ stage, rows })
  }
}

/** As Promise.all, but nothing goes on behind it: files are removed then. */
async function settled<T extends readonly unknown[]>(
  work: readonly [...{ [K in keyof T]: Promise<T[K]> }],
): Promise<T> {
  const results = await Promise.allSettled(work)
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason
    return result.value
  }) as unknown as T
}

export function writeProblem(what: string, error: unknown): Error {
  if (error instanceof TidemarkError) return error
  const text = error instanceof Error ? error.message.split('\n')[0]!.slice(0, 300) : String(error)
  // DuckDB gives texts only
  if (/no space left on device|disk quota exceeded/i.test(text))
    return refused(what, Object.assign(new Error(text, { cause: error }), { code: 'ENOSPC' }))
  const isMemory = text.startsWith('Out of Memory')
  return new TidemarkError(
    'TM_LAKE',
    {
      what,
      problem: `it cannot be written: ${text}`,
      todo: isMemory
        ? 'raise lake.memory, or declare shorter chunks'
        : 'see what the disk reports, and try again',
    },
    { cause: error },
  )
}
