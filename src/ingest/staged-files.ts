import {
  type FileLayout,
  type LakeSummary,
  type SegmentFile,
  type SummaryLayout,
  statsToJson,
  type WrittenFile,
} from '../lake/index.ts'
import type { Connection, Queryable } from '../postgres/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'

/** A file of an import that is not done: written, and counted by nobody. */
export type StagedFile = SegmentFile

/** What `tidemark.import_file.file` holds: JSON has neither bytes nor whole numbers beyond 2^53. */
interface StoredFile {
  readonly path: string
  readonly rowCount: number
  readonly bytes: number
  readonly minTime: string
  readonly maxTime: string
  readonly checksum: string
  readonly contentHash: string
  readonly layout: FileLayout
  readonly stats: WrittenFile['stats']
  readonly summary: {
    readonly path: string
    readonly bytes: number
    readonly checksum: string
    readonly layout: SummaryLayout
  } | null
}

/** In the transaction of the batch whose rows they hold. */
export async function stageFiles(
  connection: Connection,
  importId: bigint,
  batch: number,
  files: readonly StagedFile[],
): Promise<void> {
  if (files.length === 0) return
  const rows = files.map(({ range, file }) => ({
    range_from: String(range.from),
    range_to: String(range.to),
    file: toStored(file),
  }))
  const text = JSON.stringify(rows)
  await connection.query(sql`
    insert into tidemark.import_file (path, import_id, batch, range_from, range_to, file)
    select
      file ->> 'path', ${importId}::int8, ${batch}::int8, range_from, range_to, file
    from json_to_recordset(${text}::json) as staged (range_from int8, range_to int8, file jsonb)`)
}

/** In the order of time. */
export async function readStagedFiles(db: Queryable, importId: bigint): Promise<StagedFile[]> {
  const { rows } = await db.query(sql`
    select range_from, range_to, file
    from tidemark.import_file
    where import_id = ${importId}::int8
    order by range_from, path`)
  return rows.map((row) => {
    const [from, to, stored] = row as [bigint, bigint, StoredFile]
    return { range: { from, to }, file: fromStored(stored) }
  })
}

/** In the transaction that makes them count. @throws TidemarkError TM_IMPORT when the import has been given up meanwhile. */
export async function unstageFiles(
  connection: Connection,
  importId: bigint,
  files: readonly StagedFile[],
  source: string,
): Promise<void> {
  const { rowCount } = await connection.query(sql`
    delete from tidemark.import_file where import_id = ${importId}::int8`)
  if (rowCount === files.length) return
  throw new TidemarkError('TM_IMPORT', {
    file: source,
    problem: `${files.length} files of the lake were written and ${rowCount} of them are noted`,
    todo: 'begin anew: another process has gone on with it, or given it up',
  })
}

function toStored(file: WrittenFile): StoredFile {
  const { checksum, contentHash, minTime, maxTime, stats, summary, ...rest } = file
  return {
    ...rest,
    stats: statsToJson(stats),
    minTime: String(minTime),
    maxTime: String(maxTime),
    checksum: toHex(checksum),
    contentHash: toHex(contentHash),
    summary: summary === null ? null : { ...summary, checksum: toHex(summary.checksum) },
  }
}

function fromStored(stored: StoredFile): WrittenFile {
  const { checksum, contentHash, minTime, maxTime, summary, ...rest } = stored
  return {
    ...rest,
    minTime: BigInt(minTime),
    maxTime: BigInt(maxTime),
    checksum: Buffer.from(checksum, 'hex'),
    contentHash: Buffer.from(contentHash, 'hex'),
    summary:
      summary === null
        ? null
        : ({ ...summary, checksum: Buffer.from(summary.checksum, 'hex') } satisfies LakeSummary),
  }
}

function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}
