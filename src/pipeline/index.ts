export type {
  Acknowledge,
  DroppedRows,
  IngestBatch,
  IngestReport,
  Pipeline,
  PipelineState,
  RejectedRow,
  RowEnricher,
  StrayLetter,
} from './contract.ts'
export { rotateSeen } from './event-ids.ts'
export { deleteOldBatches } from './idempotency.ts'
export { createPipeline, type PipelineOptions, pipelineDefaults } from './pipeline.ts'
