import { findHypertable, registerConsumer } from '../changelog/index.ts'
import {
  assertNothingDestructive,
  explained,
  inTransaction,
  isLockProblem,
  type MigrateOptions,
  type MigrationStep,
  migrateDefaults,
  recordChange,
  withMigrationLock,
} from '../migrate/index.ts'
import { type Connection, type Database, retry } from '../postgres/index.ts'
import type { ContinuousAggregateDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { type AggregatePlan, type AggregateStep, planAggregates } from './migrate-plan.ts'
import { replaceView } from './view-replace.ts'

/** Of `withMigrationLock`: 'tide', and one for aggregates. */
const lockKey = [0x74696465, 2] as const

export interface AggregateReport {
  readonly steps: readonly MigrationStep[]
  /** Aggregates that were declared before and no longer are. They stay as they are, and are refreshed no more. */
  readonly undeclared: readonly string[]
}

/**
 * Brings the database to the declared aggregates, after their tables are there. A new one gets its table of cells, its place in the
 * change log and its view in one transaction; nothing of it is valid yet, so that the first refresh fills it. A changed definition
 * becomes a version that is built beside the current one; refresh interval, retention, comment and dimensions change in place.
 *
 * @example
 * const { steps } = await migrateAggregates(db, [hourly])
 * steps[0].sentence // 'creates the continuous aggregate metrics.hourly over metrics.requests'
 *
 * @throws TidemarkError TM_MIGRATION, TM_MIGRATION_DESTRUCTIVE before anything is changed; TM_BUSY when a lock is not to be had.
 */
export async function migrateAggregates(
  db: Database,
  aggregates: readonly ContinuousAggregateDefinition[],
  options: MigrateOptions = {},
): Promise<AggregateReport> {
  if (options.dryRun)
    return toReport(await db.withConnection((connection) => planAggregates(connection, aggregates)))
  // The usual start finds nothing to do: look without the lock first.
  const first = await db.withConnection((connection) => planAggregates(connection, aggregates))
  if (first.steps.length === 0) return toReport(first)
  const wait = {
    what: 'migrating the continuous aggregates',
    waitMs: options.waitMs ?? migrateDefaults.waitMs,
    signal: options.signal ?? null,
  }
  return withMigrationLock(db, lockKey, wait, async (connection) => {
    const plan = await planAggregates(connection, aggregates)
    assertNothingDestructive({ steps: plan.steps.map(({ step }) => step) })
    for (const one of plan.steps) {
      options.onStep?.(one.step)
      await applyStep(connection, one, options)
    }
    return toReport(plan)
  })
}

function toReport({ steps, undeclared }: AggregatePlan): AggregateReport {
  return { steps: steps.map(({ step }) => step), undeclared }
}

async function applyStep(connection: Connection, one: AggregateStep, options: MigrateOptions): Promise<void> {
  const lockTimeoutMs = options.lockTimeoutMs ?? migrateDefaults.lockTimeoutMs
  const tries = options.tries ?? migrateDefaults.tries
  const { step, before, after, definition, creates, view } = one
  // before the transaction: it says what is missing
  if (creates !== null) await findHypertable(connection, definition.base)
  await retry(
    { what: step.sentence, tries, signal: options.signal ?? null, isRetryable: isLockProblem },
    () =>
      explained(step, () =>
        inTransaction(connection, { lockTimeoutMs }, async () => {
          await recordChange(connection, step, before, after)
          const statements =
            view === null ? step.statements : step.statements.slice(0, -view.statements.length)
          for (const statement of statements) await connection.execute(statement)
          if (view !== null) await replaceView(connection, definition, view)
          if (creates !== null) await registerVersion(connection, creates)
        }),
      ),
  )
}

/** Last in its transaction: trimming the change log waits for it. */
async function registerVersion(connection: Connection, relation: string): Promise<void> {
  const { rows } = await connection.query(sql`
    select v.id, a.hypertable_id
    from tidemark.aggregate_version as v
    join tidemark.aggregate as a on a.id = v.aggregate_id
    where v.relation_name = ${relation}::text`)
  const [id, hypertableId] = (rows[0] ?? []) as [number?, number?]
  if (id === undefined || hypertableId === undefined)
    throw new TidemarkError('TM_MIGRATION', {
      problem: `the version "${relation}" was taken away while it was being made`,
      todo: 'run `tidemark migrate` again',
    })
  await registerConsumer(connection, { name: `aggregate:${id}`, hypertableId })
}
