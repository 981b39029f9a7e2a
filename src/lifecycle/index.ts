export { type ChunkChoice, chooseChunks, dueChunks } from './choice.ts'
export type { ChunkRecord } from './chunk-record.ts'
export { type AdoptOptions, type ColdLoads, createColdLoads } from './cold-loads.ts'
export type { MoveOptions, MoveProgress, Subject } from './context.ts'
export type { EjectReport } from './eject.ts'
export type { ErasedFile, ErasureInput, ErasureOptions, ErasurePlan, ErasureReport } from './erase.ts'
export type { ErasureLeftovers } from './erasure-leftovers.ts'
export type { ExpireReport, MayExpire } from './expire.ts'
export type {
  ChunkSelection,
  Lifecycle,
  LifecycleOptions,
  MovedChunks,
  PolicyRun,
} from './lifecycle.ts'
export { createLifecycle } from './lifecycle.ts'
export { type LifecycleSettings, lifecycleDefaults } from './options.ts'
export type { ReclaimReport } from './reclaim.ts'
export { type ChunkLife, readChunkLives } from './status.ts'
export { type SurveyedChunk, surveyChunks, tableObstacle } from './survey.ts'
export type { SweepOptions, SweepReport } from './sweep.ts'
export type { VerifyOptions, VerifyProblem, VerifyReport } from './verify.ts'
