export type {
  Acknowledge,
  CommitCounts,
  DroppedRows,
  IngestBatch,
  IngestReport,
  Pipeline,
  PipelineCommit,
  PipelineState,
  RejectedRow,
  RowEnricher,
  StrayLetter,
} from './contract.ts'
export { DeadLetters } from './dead-letter-desk.ts'
export { type PatchOperation, type RowChange, valueOfText } from './dead-letter-patch.ts'
export type {
  DeadLetterGroup,
  ExplainedLetter,
  FixOptions,
  FixReport,
  LetterPage,
  RejectedLetter,
  ReplayOptions,
  ReplayReport,
} from './dead-letter-reports.ts'
export type { DeadLetter, DeadLetterChoice, DeadLetterCount, LetterState } from './dead-letter-store.ts'
export { forgetSeen, rotateSeen } from './event-ids.ts'
export { deleteOldBatches } from './idempotency.ts'
export { createPipeline, type PipelineOptions, pipelineDefaults, type SpoolPlace } from './pipeline.ts'
export { lookAtSpool, type SpoolLaneStatus, type SpoolStatus } from './spool-status.ts'
