export type * from './contract.ts'
export type { ParquetBatch, ParquetColumn, ParquetFile, ParquetKind } from './parquet-reader.ts'
export { openParquet } from './parquet-reader.ts'
