export { ChunkMoves } from './chunk-moves.ts'
export { describeTarget } from './describe-target.ts'
export { Enrichers } from './enrichers.ts'
export { type IngestOptions, ingestRows } from './ingest-rows.ts'
export { type EndedQuery, type EndedWrite, type EngineObserver, Observers } from './observers.ts'
export type {
  CallOptions,
  CallOrigin,
  ChunkCallOptions,
  ChunkProgress,
  EraseCallOptions,
  ErasureSelection,
  FreezePlan,
  FreezeReport,
  ImportCallOptions,
  InsertOptions,
  MoveReport,
  Ping,
  QueryOptions,
  RefreshCallOptions,
  ScopedCallOptions,
  Selection,
  SqlOptions,
  TidemarkOptions,
  VerifyCallOptions,
} from './options.ts'
export { assertOwnChange, ownRows } from './own-rows.ts'
export { PlainSql, type SqlAnswer } from './plain-sql.ts'
export { askEvents, type ProductCalls, type ProductOptions } from './product.ts'
export { Queries } from './queries.ts'
export { createRecordSets } from './records.ts'
export { callRefresh } from './refresh-call.ts'
export { selectChange, selectErased, selectRows } from './select-rows.ts'
export type { ShadowCounts } from './shadow-checks.ts'
export { spoolFindings } from './spool-findings.ts'
export { explainUnmigrated } from './unmigrated.ts'
export { withholdOthers } from './withheld.ts'
