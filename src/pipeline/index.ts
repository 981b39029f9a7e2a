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
export {
  type DeadLetterGroup,
  DeadLetters,
  type ExplainedLetter,
  type FixOptions,
  type FixReport,
  type RejectedLetter,
  type ReplayOptions,
  type ReplayReport,
} from './dead-letter-desk.ts'
export { type PatchOperation, type RowChange, valueOfText } from './dead-letter-patch.ts'
export type { DeadLetter, DeadLetterChoice, DeadLetterCount } from './dead-letter-store.ts'
export { forgetSeen, rotateSeen } from './event-ids.ts'
export { deleteOldBatches } from './idempotency.ts'
export { createPipeline, type PipelineOptions, pipelineDefaults, type SpoolPlace } from './pipeline.ts'
export { lookAtSpool, type SpoolLaneStatus, type SpoolStatus } from './spool-status.ts'
