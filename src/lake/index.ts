export { statsToJson } from './catalog.ts'
export type * from './contract.ts'
export { createDuckDB, type DuckDB, type DuckDBOptions } from './duckdb.ts'
export { datasetPrefix, isFilePath } from './file-paths.ts'
export { createLakeFiles } from './files.ts'
export type { ParquetBatch, ParquetColumn, ParquetFile, ParquetKind } from './parquet-reader.ts'
export { openParquet } from './parquet-reader.ts'
export { hashRows } from './read-rows.ts'
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
