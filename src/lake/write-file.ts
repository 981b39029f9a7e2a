import { randomUUID } from 'node:crypto'
import { rm, stat } from 'node:fs/promises'
import type { DuckDBConnection } from '@duckdb/node-api'
import { formatInstant, type TimeRange } from '../time/index.ts'
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
import { cancelled, readCopyStream } from './copy-stream.ts'
import { plainValue } from './duckdb.ts'
import { createFeeds, type Feeds } from './feed.ts'
import { equalBytes, sha256 } from './file-digest.ts'
import { newFilePath } from './file-paths.ts'
import { decodedColumns, FeedPlan, fileSelect, layoutOfFile } from './file-plan.ts'
import { pathLiteral } from './literal-sql.ts'
import { hashFile } from './read-rows.ts'
import { type Block, RowDecoder } from './row-decoder.ts'
import { refused } from './store/folder.ts'
import { type DraftSummary, draftSummary, storeSummary } from './summary.ts'

/** Of rows on their way: two batches are held here at the most, one that fills and one that DuckDB takes. */
const batchBytes = 64 * 1024 * 1024

/** Chosen by measurement: docs/decisions/0009-lake.md. */
const parquet = { rowGroupRows: 122_880, zstdLevel: 3 }

const progressEveryMs = 200

export interface FileWriter {
  write(request: WriteFileRequest): Promise<WrittenFile | null>
}

export function createFileWriter(options: LakeFilesOptions): FileWriter {
  const feeds = createFeeds()
  return { write: (request) => write(options, feeds, request) }
}

async function write(
  options: LakeFilesOptions,
  feeds: Feeds,
  request: WriteFileRequest,
): Promise<WrittenFile | null> {
  const { duckdb, store } = options
  const { definition, range, signal } = request
  const what = `the file for ${definition.name} from ${formatInstant(range.from)}`
  const report = throttled(request.onProgress)
  const localFile = await store.temporaryFile()
  let draft: DraftSummary | null = null
  let storedPath: string | null = null
  try {
    const content = await duckdb.withConnection(signal, (connection) =>
      writeParquet(connection, feeds, request, what, localFile, report),
    )
    if (content === null) return null
    report('verify', 0)
    const path = newFilePath(definition, range.from, randomUUID())
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
      duckdb.withConnection(signal, (connection) => readStats(connection, localFile, content.layout)),
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
    throw signal?.aborted ? cancelled(signal, `writing ${what}`) : writeProblem(what, error)
  } finally {
    for (const left of [localFile, (draft as DraftSummary | null)?.localFile])
      if (left !== undefined) await rm(left, { force: true })
  }
}

interface Content {
  readonly rowCount: number
  readonly contentHash: Uint8Array
  readonly minTime: bigint
  readonly maxTime: bigint
  readonly layout: FileLayout
}

async function writeParquet(
  connection: DuckDBConnection,
  feeds: Feeds,
  request: WriteFileRequest,
  what: string,
  localFile: string,
  report: Report,
): Promise<Content | null> {
  const { definition, range, signal } = request
  const decoded = decodedColumns(definition)
  const table = `tidemark_rows_${randomUUID().replaceAll('-', '')}`
  let pending: Block[] = []
  let pendingBytes = 0
  let plan: FeedPlan | null = null
  let flushing: Promise<void> | null = null
  const decoder = new RowDecoder(decoded, (block) => {
    pending.push(block)
    pendingBytes += block.bytes
  })

  /** Runs `use` over what is pending; its blocks are gone as DuckDB takes them. */
  const drain = async (use: (source: string) => Sql): Promise<void> => {
    const blocks = pending
    pending = []
    pendingBytes = 0
    plan ??= new FeedPlan(decoded, blocks)
    const now = plan
    let at = 0
    const next = () => {
      const block = blocks[at]
      if (block === undefined) return null
      blocks[at] = undefined as never
      at += 1
      return now.feed(block)
    }
    await feeds.with(connection, now.columns, next, async (source) => {
      await connection.run(printSqlInline(use(source)))
    })
  }

  const flush = (): Promise<void> => {
    const isFirst = flushing === null
    return drain((source) =>
      isFirst
        ? sql`create temp table ${identifier(table)} as select * from ${raw(source)}`
        : sql`insert into ${identifier(table)} select * from ${raw(source)}`,
    )
  }

  try {
    await readCopyStream(
      request.rows,
      definition.name,
      signal,
      (bytes, view, start, end) => decoder.add(bytes, view, start, end),
      () => {
        report('read', decoder.rowCount)
        if (pendingBytes < batchBytes) return null
        return (async () => {
          if (flushing !== null) await flushing
          flushing = flush()
          // awaited before the next one and at the end
          flushing.catch(() => {})
        })()
      },
    )
    decoder.finish()
    const { rowCount } = decoder
    if (rowCount === 0) return null
    assertInRange(what, range, decoder)
    if (flushing !== null) {
      await flushing
      if (pending.length > 0) await flush()
    }
    plan ??= new FeedPlan(decoded, pending)
    const layout = layoutOfFile(definition, decoded, decoder.facts, plan)
    report('write', rowCount)
    const copy = (source: Sql): Sql =>
      copyStatement(
        source,
        layout,
        localFile,
        decoder.facts.some((facts) => facts.hasMinusZero),
      )
    if (flushing === null) await drain((source) => copy(raw(source)))
    else await connection.run(printSqlInline(copy(identifier(table))))
    return {
      rowCount,
      contentHash: decoder.hash.bytes(),
      minTime: decoder.minTime,
      maxTime: decoder.maxTime,
      layout,
    }
  } finally {
    const begun = flushing as Promise<void> | null
    if (begun !== null) {
      await begun.catch(() => {})
      await connection.run(`drop table if exists "${table}"`)
    }
  }
}

function copyStatement(source: Sql, layout: FileLayout, localFile: string, hasMinusZero: boolean): Sql {
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

function assertInRange(what: string, range: TimeRange, decoder: RowDecoder): void {
  if (decoder.minTime >= range.from && decoder.maxTime < range.to) return
  throw new TidemarkError('TM_LAKE', {
    what,
    problem:
      `a row is outside of its chunk [${formatInstant(range.from)}, ${formatInstant(range.to)}): ` +
      `rows reach from ${formatInstant(decoder.minTime)} to ${formatInstant(decoder.maxTime)}`,
    todo: 'select the rows of the chunk only',
  })
}

/** Texts longer than this would make the catalog large and prune little. */
const maxStatLength = 200

async function readStats(
  connection: DuckDBConnection,
  localFile: string,
  layout: FileLayout,
): Promise<Record<string, ColumnRange | null>> {
  const select = layout.sortedBy.flatMap((name) => {
    const column = identifier(name)
    return [sql`min(${column})`, sql`max(${column})`, sql`count(*) - count(${column})`]
  })
  const reader = await connection.runAndReadAll(
    printSqlInline(
      sql`select ${join(select, ', ')} from ${raw(`read_parquet(${pathLiteral(localFile)}, hive_partitioning = false)`)}`,
    ),
  )
  const row = reader.getRows()[0]!.map(plainValue)
  const stats: Record<string, ColumnRange | null> = {}
  layout.sortedBy.forEach((name, i) => {
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

type Report = (stage: WriteProgress['stage'], rows: number) => void

function throttled(onProgress: WriteFileRequest['onProgress']): Report {
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

function writeProblem(what: string, error: unknown): Error {
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
