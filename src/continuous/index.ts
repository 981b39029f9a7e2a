export { type ReadVersionsOptions, readVersions } from './catalog.ts'
export { bucketColumn, type CellTable, cellSchema, cellTableOf } from './cell-table.ts'
export { aggregateDefaults, continuousAggregate } from './declare.ts'
export { dropAggregate } from './drop-aggregate.ts'
export { decodeAggregate, definitionHash, type EncodedAggregate, encodeAggregate } from './encode.ts'
export { expireCells } from './expire-cells.ts'
export { type DropRequest, mayDropChunk, readDropObstacles } from './gate.ts'
export { createLateMerger } from './late-merge.ts'
export { type AggregateReport, migrateAggregates } from './migrate.ts'
export { migrateDeclared } from './migrate-all.ts'
export { type RefreshReport, refreshAggregate } from './refresh.ts'
export type {
  RefreshContext,
  RefreshOptions,
  RefreshProgress,
  RefreshSettings,
  VersionRefresh,
} from './refresh-version.ts'
export { refreshEveryMs } from './refresh-work.ts'
export { type AggregateTierOptions, createAggregateTier, createAggregateTiers } from './tier.ts'
export { createAggregateCatalogs } from './tier-catalog.ts'
export { readValidity, type StartOver, type VersionValidity } from './validity.ts'
export { type AggregateVersion, consumerOf } from './version.ts'
export { type AggregateView, viewOf } from './view.ts'
export { bucketSql as bucketOfRowSql } from './view-ranges.ts'
export { replaceView } from './view-replace.ts'
