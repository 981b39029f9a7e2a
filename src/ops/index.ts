export { type Finding, runDoctor } from './doctor.ts'
export { type ChunkStatus, type DatasetStatus, type JobStatus, readStatus, type Status } from './status.ts'
