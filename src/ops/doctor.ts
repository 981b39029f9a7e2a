import type { Database, Queryable } from '../postgres/index.ts'
import { assertSupportedVersion } from '../postgres/index.ts'
import type { ContinuousAggregateDefinition, StoredDefinition } from '../schema/index.ts'
import { type Clock, formatInstant } from '../time/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { checkAggregates } from './aggregates.ts'
import { countAlarms } from './alarms.ts'
import type { Check, Finding, Found } from './check.ts'
import { lakeChecks } from './lake-checks.ts'
import type { LakeHandle } from './lake-folder.ts'
import { checkTenants } from './tenant-checks.ts'

/**
 * Looks at everything that is known to go wrong: server settings, migrations, triggers, default partitions, long
 * transactions, jobs, dead letters, the lake. Changes nothing.
 */
export async function runDoctor(
  db: Database,
  definitions: readonly StoredDefinition[],
  clock: Clock,
  lake: LakeHandle,
  aggregates: readonly ContinuousAggregateDefinition[] = [],
): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const [check, run] of Object.entries({
    ...checks,
    'continuous aggregates': checkAggregates,
    tenants: checkTenants,
    ...lakeChecks,
  })) {
    try {
      const found = await db.withConnection((connection) =>
        run({ db, connection, definitions, aggregates, clock, lake }),
      )
      for (const finding of [found].flat()) findings.push({ check, ...finding })
    } catch (error) {
      if (!isTidemarkError(error)) throw error
      findings.push({ check, level: 'fail', message: error.message, todo: null })
      if (error.code === 'TM_CONNECT' || error.code === 'TM_LOGIN') break
    }
  }
  return findings
}

const ok = (message: string): Found => ({ level: 'ok', message, todo: null })

const checks: Readonly<Record<string, Check>> = {
  server: async ({ db, connection }) => {
    await assertSupportedVersion(db)
    return ok(`PostgreSQL ${await setting(connection, 'server_version')}`)
  },

  encoding: async ({ connection }) => {
    const encoding = await setting(connection, 'server_encoding')
    if (encoding === 'UTF8') return ok('the database is UTF8')
    return {
      level: 'fail',
      message: `the database is ${encoding}`,
      todo: 'create a database with encoding UTF8',
    }
  },

  clock: async ({ connection, clock }) => {
    const before = clock.now()
    const { rows } = await connection.query(sql`select clock_timestamp()`)
    const after = clock.now()
    const server = rows[0]?.[0] as bigint
    const skewMs = Number(server < before ? before - server : server > after ? server - after : 0n) / 1000
    if (skewMs < 1000)
      return ok(`this machine and the server agree on the time within ${Math.ceil(skewMs)} ms`)
    return {
      level: 'warn',
      message: `this machine and the server disagree on the time by ${Math.round(skewMs)} ms`,
      todo: 'run NTP on both; relative ranges ("-1 hour") use this machine\'s clock',
    }
  },

  durability: async ({ connection }) => {
    const wrong: string[] = []
    for (const name of ['fsync', 'full_page_writes', 'synchronous_commit']) {
      if ((await setting(connection, name)) === 'off') wrong.push(name)
    }
    if (wrong.length === 0)
      return ok('acknowledged means durable: fsync, full_page_writes, synchronous_commit are on')
    return {
      level: 'fail',
      message: `${wrong.join(', ')} off: acknowledged rows can be lost`,
      todo: 'turn them on',
    }
  },

  'wal level': async ({ connection }) => {
    const level = await setting(connection, 'wal_level')
    if (level === 'logical') return ok('wal_level is logical')
    return {
      level: 'note',
      message: `wal_level is ${level}; the change feed needs logical`,
      todo: 'set wal_level = logical and restart the server when you want the feed',
    }
  },

  catalog: async ({ connection }) => {
    const { rows } = await connection.query(sql`select to_regclass('tidemark.hypertable') is not null`)
    if (rows[0]?.[0] === true) return ok("Tidemark's catalog is there")
    return { level: 'fail', message: "Tidemark's catalog is not there", todo: 'run "tidemark migrate"' }
  },

  datasets: async ({ connection, definitions }) => {
    const { rows } = await connection.query(sql`
      select d.name
      from unnest(${definitions.map((d) => d.name)}::text[], ${definitions.map((d) => d.schema)}::text[],
                  ${definitions.map((d) => d.table)}::text[]) as d (name, schema_name, table_name)
      where not exists (
        select from pg_class c join pg_namespace s on s.oid = c.relnamespace
        where s.nspname = d.schema_name and c.relname = d.table_name)`)
    if (rows.length === 0) return ok(`all ${definitions.length} declared datasets exist`)
    return {
      level: 'fail',
      message: `declared, but not in the database: ${rows.map((row) => row[0]).join(', ')}`,
      todo: 'run "tidemark migrate"',
    }
  },

  locks: async ({ connection }) => {
    const perTransaction = Number(await setting(connection, 'max_locks_per_transaction'))
    const connections = Number(await setting(connection, 'max_connections'))
    const { rows } = await connection.query(sql`
      select coalesce(max(n), 0)::int4
      from (
        select sum(1 + (select count(*) from pg_index i where i.indrelid = c.inhrelid)) as n
        from pg_inherits c
        where c.inhparent in (
          select r.oid from tidemark.hypertable h
          join pg_namespace s on s.nspname = h.schema_name
          join pg_class r on r.relnamespace = s.oid and r.relname = h.table_name)
        group by c.inhparent) t`)
    const needed = rows[0]?.[0] as number
    const room = perTransaction * connections
    if (needed * 4 < room) return ok(`a query over all chunks takes ${needed} locks of ${room}`)
    return {
      level: needed < room ? 'warn' : 'fail',
      message: `a query over all chunks of one table takes ${needed} locks; the whole server has room for ${room}`,
      todo: 'raise max_locks_per_transaction, or declare a longer chunk interval',
    }
  },

  'default partitions': async ({ connection }) => {
    const { rows } = await connection.query(sql`
      select h.schema_name || '.' || h.table_name, d.oid::regclass::text
      from tidemark.hypertable h
      join pg_namespace s on s.nspname = h.schema_name
      join pg_class r on r.relnamespace = s.oid and r.relname = h.table_name
      join pg_partitioned_table p on p.partrelid = r.oid
      join pg_class d on d.oid = p.partdefid
      where pg_relation_size(d.oid) > 0`)
    if (rows.length === 0) return ok('no rows outside a chunk')
    return rows.map(([table, relation]) => ({
      level: 'warn' as const,
      message: `${table}: its default partition ${relation} holds rows or room that rows left`,
      todo: 'let "tidemark worker" run: it makes the chunks and moves the rows in',
    }))
  },

  triggers: async ({ connection }) => {
    const { rows } = await connection.query(sql`
      select t.tgrelid::regclass::text, t.tgname, t.tgenabled
      from pg_trigger t
      where not t.tgisinternal
        and t.tgname like 'tidemark%'
        and t.tgenabled <> 'A'`)
    if (rows.length === 0) return ok('every trigger of Tidemark is enabled always')
    return rows.map(([relation, trigger]) => ({
      level: 'fail' as const,
      message: `trigger ${trigger} on ${relation} is disabled: changes escape the change log`,
      todo: `alter table ${relation} enable always trigger ${trigger}; the next audit finds what escaped`,
    }))
  },

  transactions: async ({ connection }) => {
    const { rows } = await connection.query(sql`
      select pid, state, extract(epoch from now() - xact_start)::float8
      from pg_stat_activity
      where backend_type = 'client backend' and pid <> pg_backend_pid()
        and xact_start < now() - interval '10 minutes'
      order by xact_start
      limit 20`)
    const prepared = await connection.query(sql`
      select gid, extract(epoch from now() - prepared)::float8
      from pg_prepared_xacts
      where prepared < now() - interval '10 minutes'
      limit 20`)
    const found: Found[] = [
      ...rows.map(([pid, state, seconds]) => ({
        level: 'warn' as const,
        message: `a transaction of process ${pid} (${state}) is ${Math.round((seconds as number) / 60)} minutes old: nothing it may see can be cleaned up`,
        todo: `end it, or: select pg_terminate_backend(${pid})`,
      })),
      ...prepared.rows.map(([gid, seconds]) => ({
        level: 'warn' as const,
        message: `prepared transaction "${gid}" is ${Math.round((seconds as number) / 60)} minutes old`,
        todo: 'commit prepared or rollback prepared it',
      })),
      ...(await hiddenTransactions(connection)),
    ]
    return found.length === 0 ? ok('no transaction is older than ten minutes') : found
  },

  jobs: async ({ connection }) => {
    const { rows } = await connection.query(sql`
      select name, last_error, failures_in_a_row, last_finished_at, case when isfinite(next_run_at) then next_run_at end
      from tidemark.job
      order by name`)
    if (rows.length === 0) {
      return {
        level: 'note',
        message: 'no background job has run yet',
        todo: 'run "tidemark worker" or "tidemark dev"',
      }
    }
    const failing = rows.filter((row) => (row[2] as number) > 0)
    const left = failing.length === 0 ? await leftAlone(connection) : null
    if (left !== null) return left
    if (failing.length === 0) return ok(`${rows.length} background jobs, none failing`)
    return failing.map(([name, error, failures, at, next]) => ({
      level: 'fail' as const,
      message: `job "${name}" failed ${failures} times in a row, last ${at === null ? '' : `at ${formatInstant(at as bigint)}`}: ${error}`,
      todo: `look at the error; the job tries again by itself${next === null ? '' : ` at ${formatInstant(next as bigint)}`}`,
    }))
  },

  alarms: async ({ connection }) => {
    const { rows } = await connection.query(sql`select to_regclass('tidemark.alarm') is not null`)
    const open = rows[0]?.[0] === true ? await countAlarms(connection) : []
    if (open.length === 0) return ok('no alarm is open')
    return open.map(({ kind, dataset, alarms }) => ({
      level: 'fail' as const,
      message: `${dataset}: ${alarms} open ${kind} alarms`,
      todo: 'run "tidemark alarms"; "tidemark alarms ack ID" when it is seen to',
    }))
  },

  'dead letters': async ({ connection }) => {
    const { rows } = await connection.query(sql`
      select dataset, count(*) from tidemark.dead_letter group by dataset order by dataset`)
    if (rows.length === 0) return ok('no dead letters')
    return rows.map(([dataset, count]) => ({
      level: 'note' as const,
      message: `${dataset}: ${count} rows did not fit and are kept as dead letters`,
      todo: `tidemark dead-letters --dataset ${dataset} shows them; show, fix, replay and drop deal with each`,
    }))
  },
}

async function setting(connection: Queryable, name: string): Promise<string> {
  const { rows } = await connection.query(sql`select current_setting(${name}::text)`)
  return rows[0]?.[0] as string
}

/** Jobs that have been due for long, and nobody there to run them. */
async function leftAlone(connection: Queryable): Promise<Found | null> {
  const { rows } = await connection.query(sql`
    select name, next_run_at
    from tidemark.job
    where next_run_at < now() - interval '10 minutes' and isfinite(next_run_at)
      and not exists (select from tidemark.worker as w where w.seen_at > now() - interval '1 minute')
    order by next_run_at
    limit 1`)
  const [row] = rows
  if (row === undefined) return null
  return {
    level: 'warn',
    message: `no worker runs: job "${row[0]}" has been due since ${formatInstant(row[1] as bigint)}; nothing is frozen, refreshed or dropped meanwhile`,
    todo: 'start "tidemark worker" or "tidemark dev"',
  }
}

/** Sessions of other roles that hold a snapshot; since when they do is hidden from this one. */
async function hiddenTransactions(connection: Queryable): Promise<Found[]> {
  const { rows } = await connection.query(sql`
    select count(*), current_user::text
    from pg_stat_activity
    where query = '<insufficient privilege>' and backend_xmin is not null and datname = current_database()`)
  const [count, role] = rows[0] as [bigint, string]
  if (count === 0n) return []
  return [
    {
      level: 'note',
      message: `${count} sessions of other roles hold a snapshot, and ${role} may not see how old their transactions are`,
      todo: `grant pg_read_all_stats to "${role}"`,
    },
  ]
}
