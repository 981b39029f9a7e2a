export type {
  Board,
  BoardDocument,
  BoardInput,
  BoardSummary,
  IssuedShare,
  Panel,
  PanelChart,
  PanelPlace,
  PanelQuery,
  Share,
  SharedBoard,
  SharedQuestion,
} from '../boards/index.ts'
export type {
  Answer,
  AnswerPlan,
  ConsideredAggregate,
  OutputColumn,
  OutputRow,
  PartialOutput,
  PlanPart,
} from '../query/index.ts'
export { autoBucket } from '../util/auto-bucket.ts'
export type {
  Access,
  AccessScope,
  ApiKeyEntry,
  AuditLogEntry,
  AuditPage,
  AuditQuery,
  IssuedApiKey,
  NewApiKey,
  ReportEntry,
  ReportRunEntry,
  SlowQueries,
} from './access.ts'
export { BoardsClient } from './boards.ts'
export type {
  Client,
  ClientOptions,
  ConflictRule,
  InsertOptions,
  RejectedRow,
  WriteFailure,
  WriteReport,
} from './client.ts'
export { createClient } from './client.ts'
export { isTidemarkClientError, TidemarkClientError } from './errors.ts'
export type { Fetch } from './http.ts'
export type {
  LiveAnswer,
  LiveSocketClass,
  LiveState,
  LiveSubscription,
  SubscribeOptions,
} from './live.ts'
export type { CheckedLive, LiveInput, LiveListInput } from './live-types.ts'
export type * from './operation-types.ts'
export { Operations } from './operations.ts'
export type * from './overview-types.ts'
export {
  type BulkFailure,
  type BulkItems,
  type BulkOptions,
  type BulkReport,
  type ListOptions,
  type Page,
  type RecordKey,
  Records,
  type RecordsOf,
  type WriteOptions,
} from './records.ts'
export type { AggregateInfo, ColumnInfo, DatasetInfo, Me, Session } from './session.ts'
export type { CallOptions, ClientQuery, ClientRow, Named, QueryableName, StoredName } from './types.ts'
