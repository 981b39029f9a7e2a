export type { AggregateStatus } from './aggregates.ts'
export { type Alarm, acknowledgeAlarm, listAlarms, raiseAlarm } from './alarms.ts'
export type { Finding } from './check.ts'
export { runDoctor } from './doctor.ts'
export { type ChunkGauges, type DatasetGauges, type Gauges, type JobGauges, readGauges } from './gauges.ts'
export type { LakeHandle } from './lake-folder.ts'
export { OperationsDesk } from './operations-desk.ts'
export { type ReadyCheck, readReadiness } from './readiness.ts'
export {
  type ChunkStatus,
  type DatasetLake,
  type DatasetStatus,
  type JobStatus,
  type LakeStatus,
  readStatus,
  type Status,
} from './status.ts'
