import type { JobHealth, JobsHealth, WorkerHealth } from '../client/index.ts'
import type { Queryable } from '../postgres/index.ts'
import { formatInstant, type Instant } from '../time/index.ts'
import { sql } from '../util/sql.ts'

/** A job as it is declared. */
export interface DeclaredJob {
  readonly name: string
  readonly everyMs: number
}

/** A worker that was not heard of for longer counts as gone. It says every 15 seconds that it lives. */
const aliveMs = 60_000
const startWorker = 'start `tidemark worker` (or `tidemark dev`, `npm start`)'

/** What the catalog says of a job. */
export interface JobReading {
  readonly name: string
  readonly lastStartedAt: Instant | null
  readonly lastFinishedAt: Instant | null
  readonly lastMs: number | null
  readonly lastResult: Readonly<Record<string, unknown>> | null
  readonly lastError: string | null
  /** Null: at once. */
  readonly nextRunAt: Instant | null
  readonly runs: number
  readonly failures: number
  readonly failuresInARow: number
  /** Whoever runs it; null: nobody does. */
  readonly owner: string | null
  readonly isDue: boolean
  /** ms since it has been due. */
  readonly overdueMs: number
  /** Of any job: a worker was heard of lately. */
  readonly isWorkerAlive: boolean
}

export async function readJobReadings(db: Queryable): Promise<JobReading[]> {
  const { rows } = await db.query(sql`
    select
      name, last_started_at, last_finished_at, last_ms, last_result, last_error,
      case when isfinite(next_run_at) then next_run_at end,
      runs::float8, failures::float8, failures_in_a_row,
      case when lease_until > now() then lease_owner end,
      next_run_at <= now(),
      case when isfinite(next_run_at) then extract(epoch from now() - next_run_at) * 1000 else 0 end::float8,
      exists (
        select from tidemark.worker as w where w.seen_at > now() - ${aliveMs}::float8 * interval '1 millisecond'
      )
    from tidemark.job
    order by name`)
  return rows.map((row) => ({
    name: row[0] as string,
    lastStartedAt: row[1] as Instant | null,
    lastFinishedAt: row[2] as Instant | null,
    lastMs: row[3] as number | null,
    lastResult: row[4] as JobReading['lastResult'],
    lastError: row[5] as string | null,
    nextRunAt: row[6] as Instant | null,
    runs: row[7] as number,
    failures: row[8] as number,
    failuresInARow: row[9] as number,
    owner: row[10] as string | null,
    isDue: row[11] as boolean,
    overdueMs: row[12] as number,
    isWorkerAlive: row[13] as boolean,
  }))
}

/** Why a job that has something to do has not done it; null: it will with its next run. */
export function whyNotRun(jobs: readonly JobReading[], name: string): string | null {
  const job = jobs.find((one) => one.name === name)
  if (job === undefined) return `no worker has run yet: ${startWorker}`
  if (job.owner !== null) return null
  if (!job.isWorkerAlive) return `no worker runs: ${startWorker}`
  if (job.failuresInARow === 0) return null
  const again = job.nextRunAt === null ? '' : `; it is tried again at ${formatInstant(job.nextRunAt)}`
  return `the job "${name}" failed ${times(job.failuresInARow)}: ${job.lastError}${again}`
}

/** Background jobs with what each waits for, and the processes that run them. */
export async function readJobs(db: Queryable, declared: readonly DeclaredJob[]): Promise<JobsHealth> {
  const readings = await readJobReadings(db)
  const workers = await readWorkers(db, readings)
  const known = new Map(readings.map((reading) => [reading.name, reading]))
  const every = new Map(declared.map(({ name, everyMs }) => [name, everyMs]))
  const names = [...new Set([...declared.map(({ name }) => name), ...known.keys()])].sort()
  return {
    jobs: names.map((name) => toHealth(name, known.get(name) ?? null, every.get(name) ?? null, workers)),
    workers,
  }
}

async function readWorkers(db: Queryable, readings: readonly JobReading[]): Promise<WorkerHealth[]> {
  const { rows } = await db.query(sql`
    select
      id, host, process_id, started_at, seen_at,
      seen_at > now() - ${aliveMs}::float8 * interval '1 millisecond'
    from tidemark.worker
    order by seen_at desc
    limit 100`)
  return rows.map(([id, host, processId, startedAt, seenAt, isAlive]) => ({
    id: id as string,
    host: host as string,
    processId: processId as number,
    startedAt: formatInstant(startedAt as Instant),
    seenAt: formatInstant(seenAt as Instant),
    isAlive: isAlive as boolean,
    running: readings.find(({ owner }) => owner === id)?.name ?? null,
  }))
}

function toHealth(
  name: string,
  job: JobReading | null,
  everyMs: number | null,
  workers: readonly WorkerHealth[],
): JobHealth {
  const space = name.indexOf(' ')
  const text = (at: Instant | null | undefined): string | null => (at == null ? null : formatInstant(at))
  return {
    name,
    job: space < 0 ? name : name.slice(0, space),
    dataset: space < 0 ? null : name.slice(space + 1),
    everyMs,
    isRunning: job?.owner != null,
    lastStartedAt: text(job?.lastStartedAt),
    lastFinishedAt: text(job?.lastFinishedAt),
    lastMs: job?.lastMs ?? null,
    lastResult: job?.lastResult ?? null,
    nextAt: text(job?.nextRunAt),
    runs: job?.runs ?? 0,
    failures: job?.failures ?? 0,
    failuresInARow: job?.failuresInARow ?? 0,
    lastError: job?.lastError ?? null,
    ...adviseOn(job, everyMs, workers),
  }
}

function adviseOn(
  job: JobReading | null,
  everyMs: number | null,
  workers: readonly WorkerHealth[],
): Pick<JobHealth, 'waitsFor' | 'advice'> {
  if (everyMs === null) return { waitsFor: 'nobody declares it any more', advice: null }
  const alive = workers.filter(({ isAlive }) => isAlive)
  if (alive.length === 0)
    return {
      waitsFor: job === null || job.isDue ? 'no worker runs' : null,
      advice: `${startWorker}: no worker was heard of within the last minute`,
    }
  if (job === null) return { waitsFor: 'no worker has come to it yet', advice: null }
  const advice =
    job.failuresInARow === 0
      ? null
      : `it failed ${times(job.failuresInARow)}: do what the message says. It tries again by itself${job.nextRunAt === null ? '' : ` at ${formatInstant(job.nextRunAt)}`}`
  if (job.owner !== null || !job.isDue) return { waitsFor: null, advice }
  const others = alive.flatMap(({ running }) => running ?? [])
  return {
    waitsFor: others.length > 0 ? `a worker runs ${others.map((one) => `"${one}"`).join(', ')} first` : null,
    advice,
  }
}

function times(count: number): string {
  return count === 1 ? 'once' : `${count} times in a row`
}
