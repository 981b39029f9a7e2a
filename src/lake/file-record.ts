import type { Instant } from '../time/index.ts'
import { raw, type Sql } from '../util/sql.ts'
import type { FileLayout, LakeFile, SummaryLayout } from './contract.ts'

/** What a row of tidemark.lake_file says of a file; its stats are for who prunes by them. */
export type FileRecord = Omit<LakeFile, 'stats' | 'deletedRows'>

/** The columns of tidemark.lake_file, called f, with which rows for `createFileReader` begin. */
export const fileColumns: Sql = raw(`
  f.id, f.chunk_id, f.path, f.row_count, f.bytes, f.min_time, f.max_time, f.checksum, f.content_hash, f.layout::text,
  f.summary_path, f.summary_bytes, f.summary_checksum, f.summary_layout`)

/** How many they are. */
export const fileColumnCount = 14

type FileRow = readonly [
  id: bigint,
  chunkId: bigint,
  path: string,
  rowCount: bigint,
  bytes: bigint,
  minTime: Instant,
  maxTime: Instant,
  checksum: Uint8Array,
  contentHash: Uint8Array,
  layout: string,
  summaryPath: string | null,
  summaryBytes: bigint | null,
  summaryChecksum: Uint8Array | null,
  summaryLayout: SummaryLayout | null,
]

/** For the rows of one answer. Mostly all files have one layout: one object for equal ones. */
export function createFileReader(): (row: readonly unknown[]) => FileRecord {
  const layouts = new Map<string, FileLayout>()
  return (row) => {
    const [id, chunkId, path, rowCount, bytes, minTime, maxTime, checksum, contentHash, text, ...summary] =
      row as FileRow
    const [summaryPath, summaryBytes, summaryChecksum, summaryLayout] = summary
    const layout = layouts.get(text) ?? (JSON.parse(text) as FileLayout)
    layouts.set(text, layout)
    return {
      id,
      chunkId,
      path,
      rowCount: Number(rowCount),
      bytes: Number(bytes),
      minTime,
      maxTime,
      checksum,
      contentHash,
      layout,
      summary:
        summaryPath === null || summaryLayout === null
          ? null
          : {
              path: summaryPath,
              bytes: Number(summaryBytes),
              checksum: summaryChecksum!,
              layout: summaryLayout,
            },
    }
  }
}
