export { statsToJson } from './catalog.ts'
export type * from './contract.ts'
export { createDuckDB, type DuckDB, type DuckDBOptions } from './duckdb.ts'
export { createEventStore, type EventStoreOptions } from './events.ts'
export { equalBytes, sha256 } from './file-digest.ts'
export { datasetPrefix, isFilePath } from './file-paths.ts'
export { createFileReader, type FileRecord, fileColumnCount, fileColumns } from './file-record.ts'
export { createLakeFiles } from './files.ts'
export { JsonbProblem, toJsonbText } from './jsonb-text.ts'
export {
  type CheckedFile,
  createLoadChecks,
  type LoadChecks,
  type SharedKeyRequest,
  type TouchedCell,
} from './load-checks.ts'
export type { ParquetBatch, ParquetColumn, ParquetFile, ParquetKind } from './parquet-reader.ts'
export { openParquet } from './parquet-reader.ts'
export { hashRows } from './read-rows.ts'
export {
  createLakeSegments,
  type LakeSegment,
  type LakeSegments,
  type SegmentFile,
  type SegmentRequest,
} from './segment.ts'
export { createFolderStore } from './store/folder.ts'
export {
  defaultSummaryShare,
  mergeSummaryColumn,
  summarizedInput,
  summaryColumns,
  summaryKinds,
  summaryStateColumns,
} from './summary.ts'
export { type ColdTierOptions, coldTierDefaults, createColdTier } from './tier.ts'
