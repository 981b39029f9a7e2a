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
  SqlOptions,
  TidemarkOptions,
  VerifyCallOptions,
} from './options.ts'
export { PlainSql, type SqlAnswer } from './plain-sql.ts'
export { ShadowChecks, type ShadowCounts } from './shadow-checks.ts'
export { explainUnmigrated } from './unmigrated.ts'
