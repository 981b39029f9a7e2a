export type { Actor, ApiKey, AuditEntry, IssuedKey, NewKey, Principal } from './access/index.ts'
export { continuousAggregate } from './continuous/index.ts'
export type {
  CallOptions,
  ChunkCallOptions,
  ChunkProgress,
  EndedQuery,
  EndedWrite,
  EngineObserver,
  FreezePlan,
  FreezeReport,
  ImportCallOptions,
  IngestOptions,
  InsertOptions,
  MoveReport,
  QueryOptions,
  ScopedCallOptions,
  Selection,
  SqlAnswer,
  SqlOptions,
  TidemarkOptions,
  VerifyCallOptions,
} from './engine/index.ts'
export { createTidemark, Tidemark } from './engine.ts'
export type {
  ChunkChoice,
  EjectReport,
  ErasurePlan,
  ErasureReport,
  ExpireReport,
  SweepReport,
  VerifyReport,
} from './lifecycle/index.ts'
export type {
  DeadLetter,
  DeadLetterChoice,
  DeadLetterGroup,
  DeadLetters,
  ExplainedLetter,
  FixOptions,
  FixReport,
  IngestReport,
  LetterPage,
  LetterState,
  RejectedRow,
  ReplayOptions,
  ReplayReport,
  RowChange,
} from './pipeline/index.ts'
export type {
  ActiveUsersRow,
  EventsAnswer,
  FunnelRow,
  LifecycleRow,
  PathsRow,
  ProductKind,
  ProductQuestions,
  RetentionRow,
  SessionsRow,
  TopPagesRow,
} from './product/index.ts'
export type { Answer, AnswerPlan, PlanPart, QueryInput, QueryRow } from './query/index.ts'
export {
  avg,
  candlestick,
  count,
  countDistinct,
  delta,
  first,
  histogram,
  increase,
  last,
  max,
  min,
  percentile,
  percentiles,
  rate,
  stddev,
  sum,
  timeWeightedAvg,
  topK,
  uniques,
  variance,
} from './query/index.ts'
export type {
  BulkAnswer,
  BulkFailure,
  BulkInput,
  KeyInput,
  ListAnswer,
  ListInput,
  Precondition,
  RecordSet,
  StoredRecord,
} from './records/index.ts'
export type { InsertRow, Row, TenantScope, UpdateRow } from './schema/index.ts'
export { defineConfig, hypertable, t, table, view } from './schema/index.ts'
export { type ScopedTidemark, scopedTo } from './scoped.ts'
export type { ErrorCode } from './util/errors.ts'
export { isTidemarkError, TidemarkError } from './util/errors.ts'
