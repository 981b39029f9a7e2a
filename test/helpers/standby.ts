import { chmodSync, chownSync, copyFileSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { launchServer, serverFolder, type TestServer } from './test-server.ts'

/** A streaming standby that takes readers. */
export interface Standby extends TestServer {
  /** Of the database `postgres` there. */
  readonly admin: Database
  /** Waits until it has replayed all that the primary has written by now. */
  catchUp(): Promise<void>
  /** From the return on nothing is replayed, though it is received. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Settings that take effect without a restart. */
  configure(settings: Readonly<Record<string, string>>): Promise<void>
  /** Makes a primary of it. */
  promote(): Promise<void>
}

const slot = 'standby'

/**
 * Makes a standby of a server by a base backup over a low-level API that every version has: the embedded server comes
 * without pg_basebackup. The slot keeps what it has not received yet.
 */
export async function startStandby(primary: TestServer, bin: string, name: string): Promise<Standby> {
  const source = createDatabase({ connectionString: primary.connectionString, max: 1 })
  const dir = await serverFolder(`tidemark-standby-${name}-`)
  const data = join(dir, 'data')
  await source.query(
    sql`select slot_name::text from pg_create_physical_replication_slot(${slot}::text, true)`,
  )
  // one connection for both: a backup ends with the one that began it
  await source.withConnection(async (connection) => {
    await connection.query(raw(`select pg_backup_start('standby', true)::text`))
    copyFolder(join(primary.dir, 'data'), data, '')
    const { rows } = await connection.query(raw('select labelfile from pg_backup_stop(false)'))
    writeOwned(join(data, 'backup_label'), rows[0]![0] as string, data)
  })
  writeOwned(join(data, 'standby.signal'), '', data)
  const { hostname, port } = new URL(primary.connectionString)
  const server = await launchServer({
    name: `${name} standby`,
    dir,
    bin,
    more: {
      hot_standby: 'on',
      primary_conninfo: `host=${hostname} port=${port} user=postgres application_name=standby`,
      primary_slot_name: slot,
      shared_buffers: '64MB',
      wal_receiver_status_interval: '1s',
      wal_retrieve_retry_interval: '100ms',
    },
  })
  const admin = createDatabase({ connectionString: server.connectionString, max: 1 })
  const ask = async (statement: string): Promise<unknown> => (await admin.query(raw(statement))).rows[0]![0]
  async function until(statement: string, what: string): Promise<void> {
    for (let tries = 0; (await ask(statement)) !== true; tries += 1) {
      if (tries > 3000) throw new Error(`the standby ${what}`)
      await sleep(10)
    }
  }
  return {
    ...server,
    admin,
    async catchUp() {
      // commits that do not wait for the log may not be in it yet; this one takes them along
      await source.execute(
        `begin; set local synchronous_commit = on; select pg_logical_emit_message(true, 'standby', ''); commit`,
      )
      const { rows } = await source.query(raw('select pg_current_wal_flush_lsn()::text'))
      await until(
        `select coalesce(pg_last_wal_replay_lsn() >= '${rows[0]![0] as string}'::pg_lsn, false)`,
        'does not catch up',
      )
    },
    async pause() {
      await ask('select pg_wal_replay_pause()::text')
      await until(`select pg_get_wal_replay_pause_state() = 'paused'`, 'does not pause')
    },
    async resume() {
      await ask('select pg_wal_replay_resume()::text')
    },
    async configure(settings) {
      for (const [key, value] of Object.entries(settings))
        await admin.execute(`alter system set ${key} = '${value}'`)
      await ask('select pg_reload_conf()')
      for (const [key, value] of Object.entries(settings))
        await until(`select current_setting('${key}') = '${value}'`, `does not take ${key} = ${value}`)
    },
    async promote() {
      await until('select pg_promote(true)', 'is not promoted')
    },
    async stop() {
      await admin.close()
      await server.stop()
      await source.close()
    },
  }
}

/** What is of the running server, or made anew at every start (as pg_basebackup has it). */
const emptied = new Set(
  'pg_wal pg_replslot pg_stat_tmp pg_dynshmem pg_notify pg_serial pg_snapshots pg_subtrans'.split(' '),
)

/** Files may go, and change, while they are copied: replaying the log makes up for both. */
function copyFolder(from: string, to: string, path: string): void {
  const { uid, gid } = statSync(join(from, path))
  const target = join(to, path)
  mkdirSync(target)
  chownSync(target, uid, gid)
  chmodSync(target, 0o700)
  if (emptied.has(path)) return
  for (const entry of readdirSync(join(from, path), { withFileTypes: true })) {
    const inner = join(path, entry.name)
    if (/^(postmaster\.(pid|opts)|pgsql_tmp.*|pg_internal\.init.*)$/.test(entry.name)) continue
    try {
      if (entry.isDirectory()) copyFolder(from, to, inner)
      else {
        copyFileSync(join(from, inner), join(to, inner))
        chownSync(join(to, inner), uid, gid)
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    }
  }
}

function writeOwned(file: string, text: string, like: string): void {
  writeFileSync(file, text)
  const { uid, gid } = statSync(like)
  chownSync(file, uid, gid)
}
