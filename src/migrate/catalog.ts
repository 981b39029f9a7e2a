import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import {
  assertSupportedVersion,
  type Connection,
  type Database,
  type Queryable,
  sqlstateOf,
} from '../postgres/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { quoteIdentifier, sql } from '../util/sql.ts'

/** One file of `sql/`. */
export interface CatalogMigration {
  readonly id: number
  readonly name: string
  readonly checksum: string
  /** Why a Tidemark that does not know this migration must not run on a database that has it; null: it may. */
  readonly breaking: string | null
  readonly script: string
}

export interface CatalogReport {
  /** Names of the files that this call applied, in order; empty when the catalog was up to date. */
  readonly applied: string[]
}

export interface CatalogOptions {
  /** Folder of the numbered files; the tests give their own. Default: `sql/` of this package. */
  readonly folder?: URL | undefined
  /** How long to wait for another process that migrates, in ms. Default 60,000. */
  readonly waitMs?: number | undefined
}

interface AppliedMigration {
  readonly id: number
  readonly name: string
  readonly checksum: string
  readonly breaking: string | null
  readonly appliedBy: string
}

/** Both `src/migrate/` and `dist/migrate/` lie two folders below the package. */
const packageFolder = new URL('../../', import.meta.url)

/** Any constant does, as long as every version of Tidemark uses the same: 'tide' in ASCII. */
const lockKey = 0x74696465

/**
 * Brings Tidemark's own catalog (schema `tidemark`) to the state that this version needs. Each file of `sql/` runs
 * in one transaction with its record, under a transaction-level advisory lock: any number of processes may start at
 * once, also through PgBouncer in transaction mode, and a kill at any point leaves whole migrations only.
 *
 * Raises TM_POSTGRES_VERSION for a server that is not 15–18, TM_MIGRATION for a file that changed after it was
 * applied, a database of a newer Tidemark whose changes break this one, or a role without the rights.
 *
 * @example
 * const { applied } = await migrateCatalog(db) // ['000000_migration', '000001_catalog', …], later []
 */
export async function migrateCatalog(db: Database, options: CatalogOptions = {}): Promise<CatalogReport> {
  await assertSupportedVersion(db)
  const known = await readCatalogMigrations(options.folder)
  const applied: string[] = []
  try {
    // The usual start finds nothing to do: look without the lock first.
    for (const migration of pendingMigrations(known, await readAppliedMigrations(db))) {
      const done = await applyCatalogMigration(db, known, migration, options.waitMs ?? 60_000)
      if (done) applied.push(migration.name)
    }
  } catch (error) {
    throw await describeRefusal(db, error)
  }
  return { applied }
}

/** The numbered files in order. */
export async function readCatalogMigrations(
  folder: URL = new URL('sql/', packageFolder),
): Promise<readonly CatalogMigration[]> {
  const migrations: CatalogMigration[] = []
  for (const file of (await readdir(folder)).sort()) {
    const match = /^((\d{6})_[a-z0-9_]+)\.sql$/.exec(file)
    if (!match) continue
    // A checkout on Windows may have other line ends; the checksum is of the text, not of its line ends.
    const script = (await readFile(new URL(file, folder), 'utf8')).replaceAll('\r\n', '\n')
    const id = Number(match[2])
    if (migrations.some((m) => m.id === id))
      throw new TidemarkError('TM_MIGRATION', {
        problem: `two catalog migrations have the number ${match[2]}`,
        todo: 'give one of them the next free number',
      })
    migrations.push({
      id,
      name: match[1]!,
      checksum: createHash('sha256').update(script).digest('hex'),
      breaking: /^-- breaking: (.+)$/m.exec(script)?.[1] ?? null,
      script,
    })
  }
  return migrations
}

async function readAppliedMigrations(from: Queryable): Promise<readonly AppliedMigration[]> {
  // Not to_regclass: it answers from a cache that is only renewed when a relation is locked, so after waiting for
  // another process it would still say that there is none.
  const exists = await from.query(sql`
    select exists (
      select from pg_class as c
      join pg_namespace as n on n.oid = c.relnamespace
      where n.nspname = 'tidemark' and c.relname = 'migration'
    )`)
  if (exists.rows[0]![0] !== true) return []
  const answer = await from.query(sql`
    select id, name, checksum, breaking, applied_by
    from tidemark.migration
    order by id`)
  return answer.rows.map(([id, name, checksum, breaking, appliedBy]) => ({
    id: id as number,
    name: name as string,
    checksum: checksum as string,
    breaking: breaking as string | null,
    appliedBy: appliedBy as string,
  }))
}

/** What is left to do; refuses a database that this version must not touch. */
function pendingMigrations(
  known: readonly CatalogMigration[],
  applied: readonly AppliedMigration[],
): readonly CatalogMigration[] {
  for (const one of applied) {
    const file = known.find((m) => m.id === one.id)
    if (!file) {
      if (one.breaking === null) continue
      throw new TidemarkError('TM_MIGRATION', {
        problem:
          `this database was migrated by Tidemark ${one.appliedBy} with "${one.name}", ` +
          `which this version does not know and cannot run with: ${one.breaking}`,
        todo: `use Tidemark ${one.appliedBy} or newer`,
      })
    }
    if (file.checksum !== one.checksum)
      throw new TidemarkError('TM_MIGRATION', {
        problem:
          `catalog migration "${one.name}" is not the one that Tidemark ${one.appliedBy} applied ` +
          `(checksum ${file.checksum.slice(0, 12)} here, ${one.checksum.slice(0, 12)} in the database)`,
        todo: 'install the published package again; applied migrations are never edited',
      })
  }
  return known.filter((m) => !applied.some((one) => one.id === m.id))
}

/** True when this call applied it, false when another process had. */
async function applyCatalogMigration(
  db: Database,
  known: readonly CatalogMigration[],
  migration: CatalogMigration,
  waitMs: number,
): Promise<boolean> {
  const version = await readPackageVersion()
  return db.transaction({ mode: 'read committed', lockTimeoutMs: waitMs }, async (connection) => {
    await takeCatalogLock(connection, waitMs)
    // A new statement has a new snapshot: it sees what the process before us committed.
    const pending = pendingMigrations(known, await readAppliedMigrations(connection))
    if (!pending.some((m) => m.id === migration.id)) return false
    await connection.execute(migration.script)
    await connection.query(sql`
      insert into tidemark.migration (id, name, checksum, breaking, applied_by)
      values (
        ${migration.id}::int, ${migration.name}::text, ${migration.checksum}::text,
        ${migration.breaking}::text, ${version}::text
      )`)
    return true
  })
}

/** Transaction-level, because a session-level lock would be shared by PgBouncer's clients. */
async function takeCatalogLock(connection: Connection, waitMs: number): Promise<void> {
  try {
    await connection.query(sql`select pg_advisory_xact_lock(${lockKey}::int8)`)
  } catch (error) {
    if (sqlstateOf(error) !== '55P03') throw error
    throw new TidemarkError(
      'TM_BUSY',
      {
        what: 'migrating the catalog',
        tries: 1,
        lastProblem: `another process has been migrating it for more than ${waitMs} ms`,
      },
      { cause: error },
    )
  }
}

/** Missing rights and read-only servers get one clear error; everything else stays what it is. */
async function describeRefusal(db: Database, error: unknown): Promise<unknown> {
  const state = sqlstateOf(error)
  if (state !== '42501' && state !== '25006') return error
  const answer = await db.query(sql`select current_user::text, current_database()::text`)
  const [role, database] = answer.rows[0] as [string, string]
  const problem = error instanceof Error ? error.message : String(error)
  if (state === '25006')
    return new TidemarkError(
      'TM_MIGRATION',
      {
        problem: `database "${database}" only reads for role "${role}" (${problem})`,
        todo: 'connect to the primary, or set default_transaction_read_only to off for the role',
      },
      { cause: error },
    )
  return new TidemarkError(
    'TM_MIGRATION',
    {
      problem: `role "${role}" may not set up Tidemark's catalog in database "${database}" (${problem})`,
      todo:
        `migrate as the owner of the database, or as a superuser run: ` +
        `grant create on database ${quoteIdentifier(database)} to ${quoteIdentifier(role)}`,
    },
    { cause: error },
  )
}

let packageVersion: Promise<string> | undefined

export function readPackageVersion(): Promise<string> {
  packageVersion ??= readFile(new URL('package.json', packageFolder), 'utf8').then(
    (text) => (JSON.parse(text) as { version: string }).version,
  )
  return packageVersion
}
