import { readCatalogMigrations } from '../migrate/index.ts'
import type { Database } from '../postgres/index.ts'
import type { QueryableDefinition } from '../schema/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { lookAtFolder } from './lake-folder.ts'

/** One thing that has to hold before requests can be answered. */
export interface ReadyCheck {
  readonly check: 'database' | 'catalog' | 'datasets' | 'spool'
  readonly ok: boolean
  /** What is wrong, without names of hosts or users; null: nothing. */
  readonly problem: string | null
  /** What to do. */
  readonly todo: string | null
}

const ok = (check: ReadyCheck['check']): ReadyCheck => ({ check, ok: true, problem: null, todo: null })

/**
 * Whether the database answers, has the catalog that this version needs and everything that is declared, and whether rows can be put on
 * disk. Only what would be better on another machine: what all of them share (a table that is locked) takes none of them away.
 */
export async function readReadiness(
  db: Database,
  declared: readonly QueryableDefinition[],
  spoolDir: string,
  signal: AbortSignal | null,
): Promise<ReadyCheck[]> {
  const { isWritable } = await lookAtFolder(spoolDir)
  const spool: ReadyCheck = isWritable
    ? ok('spool')
    : {
        ...{ check: 'spool', ok: false, problem: 'the folder of the spool cannot be written to' },
        todo: 'see whether its disk is mounted read-only (ingest.spool.dir)',
      }
  return [...(await readDatabase(db, declared, signal)), spool]
}

async function readDatabase(
  db: Database,
  declared: readonly QueryableDefinition[],
  signal: AbortSignal | null,
): Promise<ReadyCheck[]> {
  const checks: ReadyCheck[] = []
  try {
    const { rows } = await db.query(
      sql`
      select
        to_regclass('tidemark.migration') is not null,
        array(
          select d.name
          from unnest(${declared.map((d) => d.name)}::text[], ${declared.map((d) => d.schema)}::text[],
                      ${declared.map((d) => d.table)}::text[]) as d (name, schema_name, table_name)
          where not exists (
            select from pg_class as c join pg_namespace as s on s.oid = c.relnamespace
            where s.nspname = d.schema_name and c.relname = d.table_name)
        )`,
      { signal },
    )
    checks.push(ok('database'))
    const [hasCatalog, missing] = rows[0] as [boolean, readonly string[]]
    const pending = await pendingOf(db, hasCatalog, signal)
    checks.push(
      pending === 0
        ? ok('catalog')
        : {
            ...{ check: 'catalog', ok: false, todo: 'run `tidemark migrate`' },
            problem: `${pending} migrations of Tidemark's catalog have not been applied`,
          },
      missing.length === 0
        ? ok('datasets')
        : {
            ...{ check: 'datasets', ok: false, todo: 'run `tidemark migrate`' },
            problem: `declared, but not in the database: ${missing.join(', ')}`,
          },
    )
  } catch (error) {
    // what PostgreSQL's message says (hosts, users) is for the log
    const code = isTidemarkError(error) ? error.code : 'TM_INTERNAL'
    const what = checks.length === 0 ? 'PostgreSQL does not answer' : 'the catalog could not be read'
    checks.push({
      ...{ check: checks.length === 0 ? 'database' : 'catalog', ok: false, problem: `${what} (${code})` },
      todo: 'see that PostgreSQL runs and DATABASE_URL is right; `tidemark doctor` says more',
    })
  }
  return checks
}

async function pendingOf(db: Database, hasCatalog: boolean, signal: AbortSignal | null): Promise<number> {
  const known = await readCatalogMigrations()
  if (!hasCatalog) return known.length
  const { rows } = await db.query(
    sql`
    select count(*)::int4
    from unnest(${known.map(({ id }) => id)}::int4[]) as k (id)
    where not exists (select from tidemark.migration as m where m.id = k.id)`,
    { signal },
  )
  return rows[0]![0] as number
}
