export type { Job, JobContext, JobResult, JobRun } from './job.ts'
export { Worker, type WorkerOptions, workerDefaults } from './worker.ts'
