import { installTriggers } from '../changelog/index.ts'
import { type Connection, type Database, retry, sqlstateOf } from '../postgres/index.ts'
import { encodeDefinition, type HypertableDefinition, type StoredDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { migrateCatalog } from './catalog.ts'
import { type ConversionReport, convertTable } from './conversion/convert.ts'
import type { ConvertOptions } from './conversion/options.ts'
import { buildIndex } from './index-build.ts'
import { readCatalog } from './inspect.ts'
import { applyPartitionPolicies } from './partition-policies.ts'
import { planMigration, planOn } from './plan.ts'
import { recordChange } from './record-change.ts'
import type { DeclaredRelation, Drift, MigrationPlan, MigrationStep } from './step.ts'
import { chunkSchema, defaultPartitionName } from './table-ddl.ts'
import { assertPassesRowSecurity, giveTenantRights } from './tenant-roles.ts'
import { inTransaction, isLockProblem, withMigrationLock } from './transaction.ts'

export interface MigrateOptions {
  /** Only says what it would do. Default false. */
  readonly dryRun?: boolean
  /** Each step waits this long for a lock, because who waits for one blocks everybody behind. ms, default 200. */
  readonly lockTimeoutMs?: number
  /** How often a step is tried before TM_BUSY. Default 60, which takes about a minute and a half. */
  readonly tries?: number
  /** How long to wait for another process that migrates. ms, default 60,000. */
  readonly waitMs?: number
  /** Converts existing tables that are declared as hypertables. Default false: then they are an error TM_MIGRATION. */
  readonly convert?: boolean | Omit<ConvertOptions, 'signal'>
  /** Told before each step. */
  readonly onStep?: (step: MigrationStep) => void
  readonly signal?: AbortSignal | null
}

export const migrateDefaults = Object.freeze({ lockTimeoutMs: 200, tries: 60, waitMs: 60_000 })

export interface MigrationReport {
  readonly dryRun: boolean
  /** Files of Tidemark's own catalog that were applied. */
  readonly catalog: readonly string[]
  /** What was done; with `dryRun` what would be. */
  readonly steps: readonly MigrationStep[]
  /** Of the tables that were converted into hypertables. */
  readonly conversions: readonly ConversionReport[]
  readonly drift: readonly Drift[]
  /** Declared before, and no longer. They stay as they are. */
  readonly undeclared: readonly string[]
  /** Those of them that are continuous aggregates: the change log and the retention of their hypertables wait for them. */
  readonly undeclaredAggregates: readonly string[]
}

/** Of `withMigrationLock`: 'tide', and one for declared tables. */
const lockKey = [0x74696465, 1] as const

/** More rounds than any migration needs: tables, then what stands on them. */
const maxRounds = 4

/**
 * Brings the database to the declarations: creates what is missing and alters what can be altered without losing or
 * rewriting a row. Every step is one short transaction with its record in tidemark.schema_change (indexes are built
 * concurrently instead). A second run does nothing; any number of processes may run it at once, one after the other.
 *
 * Raises TM_MIGRATION where a table has a tenant and the role does not pass by row security, or may not make the roles of tenants;
 * the message holds the SQL for an administrator. Raises TM_MIGRATION_DESTRUCTIVE, before anything is changed, when a declaration
 * would lose or rewrite rows; the message holds the SQL that it would take. Raises TM_BUSY when a lock is not to be had.
 *
 * @example
 * const report = await migrate(db, config.datasets)
 * for (const { sentence } of report.steps) console.log(sentence) // creates the hypertable metrics.cpu
 */
export async function migrate(
  db: Database,
  definitions: readonly DeclaredRelation[],
  options: MigrateOptions = {},
): Promise<MigrationReport> {
  await db.withConnection((connection) => assertPassesRowSecurity(connection, definitions))
  if (options.dryRun) {
    const plan = await planMigration(db, definitions)
    return { dryRun: true, catalog: [], conversions: [], ...plan, undeclaredAggregates: [] }
  }
  const { applied: catalog } = await migrateCatalog(db, { waitMs: options.waitMs })
  const steps: MigrationStep[] = []
  const conversions: ConversionReport[] = []
  let plan = await planMigration(db, definitions)
  for (let round = 1; plan.steps.length > 0; round += 1) {
    assertNothingDestructive(plan)
    plan = await applyAdditive(db, definitions, options, steps)
    const next = plan.steps.find((s) => s.class === 'conversion')
    if (!next) break
    if (!options.convert || round > definitions.length)
      throw new TidemarkError('TM_MIGRATION', {
        problem: plan.steps.map((s) => `not done: ${s.sentence}`).join('; '),
        todo: 'run `tidemark migrate --convert`',
      })
    options.onStep?.(next)
    // Without the lock of migrations: this may take hours, and has a lock of its own for the table.
    const definition = definitions.find((d) => d.name === next.relation) as HypertableDefinition
    const given = options.convert === true ? {} : options.convert
    const report = await convertTable(db, definition, { ...given, signal: options.signal ?? null })
    steps.push(next)
    conversions.push(report)
    await db.withConnection((connection) => record(connection, next, definition))
    if (report.unfinished !== null) break
    plan = await planMigration(db, definitions)
  }
  const { drift, undeclared } = plan
  return { dryRun: false, catalog, steps, conversions, drift, undeclared, undeclaredAggregates: [] }
}

/** Everything that loses nothing; what is left of the plan then are conversions. */
async function applyAdditive(
  db: Database,
  definitions: readonly DeclaredRelation[],
  options: MigrateOptions,
  done: MigrationStep[],
): Promise<MigrationPlan> {
  const wait = {
    what: 'migrating the declared tables',
    waitMs: options.waitMs ?? migrateDefaults.waitMs,
    signal: options.signal ?? null,
  }
  return withMigrationLock(db, lockKey, wait, async (connection) => {
    for (let round = 1; ; round += 1) {
      // Planned again under the lock: another process may have done it all meanwhile.
      const plan = await planOn(connection, definitions)
      assertNothingDestructive(plan)
      const todo = plan.steps.filter((s) => s.class === 'additive')
      if (todo.length === 0) return plan
      if (round > maxRounds)
        throw new TidemarkError('TM_MIGRATION', {
          problem: `after ${maxRounds} rounds there is still to do: ${todo.map((s) => s.sentence).join('; ')}`,
          todo: 'look for something else that changes these tables',
        })
      for (const one of todo) {
        options.onStep?.(one)
        done.push(await applyStep(connection, definitions, one, options))
      }
    }
  })
}

/** @throws TidemarkError TM_MIGRATION_DESTRUCTIVE */
export function assertNothingDestructive(plan: Pick<MigrationPlan, 'steps'>): void {
  const refused = plan.steps.filter((s) => s.class === 'destructive')
  if (refused.length === 0) return
  throw new TidemarkError('TM_MIGRATION_DESTRUCTIVE', {
    table: [...new Set(refused.map((s) => s.relation))].join(', '),
    changes: refused.flatMap((s) => [`-- ${s.sentence}`, ...s.statements.map((line) => `${line};`)]),
  })
}

async function applyStep(
  connection: Connection,
  definitions: readonly DeclaredRelation[],
  one: MigrationStep,
  options: MigrateOptions,
): Promise<MigrationStep> {
  const lockTimeoutMs = options.lockTimeoutMs ?? migrateDefaults.lockTimeoutMs
  const tries = options.tries ?? migrateDefaults.tries
  const signal = options.signal ?? null
  const declared = definitions.find((d) => d.name === one.relation)
  const stored = declared && declared.kind !== 'view' ? declared : null
  if (one.kind === 'create-index') {
    const index = stored!.indexes.find((i) => i.name === one.index)!
    const statements = await buildIndex(connection, stored!, index, { lockTimeoutMs, tries, signal })
    const done = { ...one, statements }
    await record(connection, done, stored)
    return done
  }
  await retry({ what: one.sentence, tries, signal, isRetryable: isLockProblem }, () =>
    explained(one, () =>
      inTransaction(connection, { lockTimeoutMs }, async () => {
        await record(connection, one, stored)
        if (one.kind === 'roles') await giveTenantRights(connection, one)
        else for (const statement of one.statements) await connection.execute(statement)
        if (stored?.kind === 'hypertable' && needsTriggers.has(one.kind))
          await installTriggers(connection, stored)
        if (stored?.kind === 'hypertable' && one.kind === 'create-hypertable')
          await applyPartitionPolicies(connection, stored, {
            schema: chunkSchema,
            table: defaultPartitionName(stored),
          })
      }),
    ),
  )
  return one
}

/** What PostgreSQL refuses because something else depends on it is for people to decide. */
export async function explained<T>(one: MigrationStep, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (error) {
    const state = sqlstateOf(error)
    if (state === '23503')
      throw new TidemarkError(
        'TM_MIGRATION',
        {
          problem: `${one.relation} was dropped by hand, and continuous aggregates stand on it still`,
          todo: `take each away with its cells: select tidemark.drop_aggregate('<name>')`,
        },
        { cause: error },
      )
    if (state !== '0A000' && state !== '2BP01') throw error
    throw new TidemarkError(
      'TM_MIGRATION',
      {
        problem: `"${one.sentence}" is refused by PostgreSQL: ${(error as Error).message}`,
        todo: `take what depends on it away and put it back afterwards, or run by hand: ${one.statements.join('; ')}`,
      },
      { cause: error },
    )
  }
}

/** The catalog's row holds the width of the change log's cells, which the triggers know by heart. */
const needsTriggers: ReadonlySet<MigrationStep['kind']> = new Set([
  'create-hypertable',
  'change-log',
  'catalog',
])

async function record(
  connection: Connection,
  one: MigrationStep,
  after: StoredDefinition | null,
): Promise<void> {
  const before = (await readCatalog(connection)).get(one.relation)?.definition ?? null
  await recordChange(connection, one, before, after && encodeDefinition(after))
}
