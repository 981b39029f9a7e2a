export type {
  BatchInsert,
  BatchOptions,
  BatchWriter,
  ColumnValues,
  OnConflict,
  OpenBatch,
  WrittenCounts,
} from './batch-contract.ts'
export { matchingSql } from './change-rows.ts'
export { createChangeWatch } from './change-watch.ts'
export type { Chunk, ChunkMap, ChunkState } from './chunk-map.ts'
export { chunkAt, loadChunkMap } from './chunk-map.ts'
export { ChunkRouter } from './chunk-router.ts'
export type { CallOptions, ChunkManager, ChunkOptions } from './chunks.ts'
export { createChunkManager } from './chunks.ts'
export { ColdNeed, type ColdRow, type ColdRows, type OpenColdRows } from './cold-contract.ts'
export {
  disableGuardsSql,
  guardChunkSql,
  guardDefaultSql,
  guardNames,
  guardTableSql,
  hasGuard,
  hasTableGuard,
  type UniqueColumns,
  uniqueColumns,
} from './cold-guards.ts'
export { aggregateInput, groupKey } from './column-sql.ts'
export type { ApplyPartitionPolicies } from './create-chunks.ts'
export { bumpEpoch, findDefaultPartition } from './create-chunks.ts'
export type { DefaultPartitionStatus, DrainOutcome } from './default-partition.ts'
export { hasDroppedChunks } from './dropped-chunks.ts'
export { readEvents } from './events.ts'
export { findExistingKeys } from './existing-keys.ts'
export { filterToSql } from './filter-sql.ts'
export { rangeConditions, relationSql } from './instant-sql.ts'
export type { LateMerger, OpenLateMerge } from './late-contract.ts'
export { expired } from './late-refusal.ts'
export { publicationOfInserts } from './publications.ts'
export type { PostgresSnapshot, ReadSnapshotOptions } from './read-snapshot.ts'
export { postgresSnapshot, seesAllRows, snapshotOf, withReadSnapshot } from './read-snapshot.ts'
export type { RowLane } from './row-lane.ts'
export { bucketSql, cellReader, groupBy, scanConditions, scanRows } from './scan.ts'
export type { HotTierOptions } from './tier.ts'
export { createHotTier } from './tier.ts'
export { parameterText, rowLane } from './writable-table.ts'
export { createHotWriter } from './write.ts'
export type {
  ChangeOptions,
  DeleteInput,
  HotWriter,
  HotWriterOptions,
  InsertOptions,
  Rows,
  UpdateInput,
  UpsertOptions,
} from './write-contract.ts'
export { writerDefaults } from './write-contract.ts'
