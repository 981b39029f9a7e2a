import type { Queryable } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'
import type { Job, JobResult } from './job.ts'

/** Makes the rows of jobs that are new. */
export async function registerJobs(db: Queryable, jobs: readonly Job[]): Promise<void> {
  await db.query(sql`
    insert into tidemark.job (name)
    select unnest(${jobs.map((job) => job.name)}::text[])
    on conflict (name) do nothing`)
}

/**
 * Takes the lease of a job that is due; null when somebody holds it. `now()` is the server's: the clocks of workers do not
 * matter. A row that another worker is claiming at this moment is skipped, not waited for.
 */
export async function claimJob(
  db: Queryable,
  job: Job,
  owner: string,
  force: boolean,
): Promise<{ readonly failuresInARow: number } | null> {
  const answer = await db.query(sql`
    update tidemark.job
    set lease_owner = ${owner}::text,
        lease_until = now() + ${job.leaseMs}::float8 * interval '1 millisecond',
        last_started_at = now()
    where name = (
      select name
      from tidemark.job
      where name = ${job.name}::text
        and (next_run_at <= now() or ${force}::bool)
        and (lease_until is null or lease_until < now())
      for update skip locked
    )
    returning failures_in_a_row`)
  const [row] = answer.rows
  return row === undefined ? null : { failuresInARow: row[0] as number }
}

/** As if it had not been claimed. */
export async function releaseJob(db: Queryable, job: Job, owner: string): Promise<void> {
  await db.query(sql`
    update tidemark.job
    set lease_owner = null,
        lease_until = null
    where name = ${job.name}::text and lease_owner = ${owner}::text`)
}

export async function finishJob(
  db: Queryable,
  job: Job,
  owner: string,
  outcome: {
    readonly ms: number
    readonly result: JobResult | null
    readonly error: string | null
    readonly nextInMs: number
  },
): Promise<void> {
  await db.query(sql`
    update tidemark.job
    set lease_owner = null,
        lease_until = null,
        last_finished_at = now(),
        last_ms = ${outcome.ms}::float8,
        last_result = coalesce(${outcome.result === null ? null : JSON.stringify(outcome.result)}::jsonb, last_result),
        last_error = ${outcome.error}::text,
        runs = runs + 1,
        failures = failures + case when ${outcome.error}::text is null then 0 else 1 end,
        failures_in_a_row = case when ${outcome.error}::text is null then 0 else failures_in_a_row + 1 end,
        next_run_at = now() + ${outcome.nextInMs}::float8 * interval '1 millisecond'
    where name = ${job.name}::text and lease_owner = ${owner}::text`)
}
