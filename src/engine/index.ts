export { chooseRange } from './choose-range.ts'
export { ChunkMoves } from './chunk-moves.ts'
export type {
  CallOptions,
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
  Selection,
  TidemarkOptions,
  VerifyCallOptions,
} from './options.ts'
export { readAggregates, runSql, type SqlAnswer } from './run-sql.ts'
export { ShadowChecks, type ShadowCounts } from './shadow-checks.ts'
export { explainUnmigrated } from './unmigrated.ts'
