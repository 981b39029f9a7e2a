import type { Logger } from 'pino'
import type { JobRun, WorkerOptions } from '../worker/index.ts'

/**
 * Logs the jobs of a worker: what failed as an error, what did something as info, what found nothing to do as debug.
 *
 * @example const worker = tm.createWorker(jobLog(log))
 */
export function jobLog(
  log: Pick<Logger, 'error' | 'info' | 'debug'>,
): Pick<WorkerOptions, 'onRun' | 'onError'> {
  return {
    onRun: (run) => {
      const { name: job, result, error } = run
      const ms = Math.round(run.ms)
      if (error !== null) log.error({ job, ms, err: error }, 'job failed')
      else if (didSomething(run)) log.info({ job, ms, result }, 'job')
      else log.debug({ job, ms, result }, 'job')
    },
    onError: (error) => log.error({ err: error }, 'due jobs could not be looked for'),
  }
}

function didSomething({ result }: JobRun): boolean {
  return Object.values(result ?? {}).some(
    (value) =>
      value === true ||
      (typeof value === 'number' && value > 0) ||
      (Array.isArray(value) && value.length > 0),
  )
}
