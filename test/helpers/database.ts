import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { inject } from 'vitest'
import { type Connection, createDatabase, type Database } from '../../src/postgres/index.ts'
import { sql } from '../../src/util/sql.ts'
import { afterFile } from './after-file.ts'
import './global-setup.ts'

export interface TestDatabase {
  readonly db: Database
  readonly name: string
  readonly connectionString: string
  /** A connection of its own, for tests that interleave; closed by drop() at the latest. */
  connect(): Promise<Connection & { close(): Promise<void> }>
  /** Fails when connections were left open by anything but this object. */
  drop(): Promise<void>
}

export interface TestDatabaseOptions {
  /** Without Tidemark's catalog; default false. */
  readonly empty?: boolean
  /** Connections of `db`; default 10. */
  readonly max?: number
  /** How long drop() waits for backends of clients that have left; default 3000. */
  readonly leaveMs?: number
}

const open = new Set<TestDatabase>()

/**
 * A fresh database with the catalog, on the server of the lane. When the file does not drop it, that is done after its last test;
 * the database of a file with a failed test is kept and named: it can be looked at while the run goes on, and afterwards where
 * DATABASE_URL is used.
 *
 * @example
 * let test: TestDatabase
 * beforeAll(async () => { test = await createTestDatabase() })
 * afterAll(() => test.drop())
 */
export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const server = inject('postgres')
  const name = `t_${randomBytes(8).toString('hex')}`
  await admin((db) =>
    db.execute(`create database ${name} template ${options.empty ? 'template0' : server.template}`),
  )
  const url = new URL(server.connectionString)
  url.pathname = `/${name}`
  const connectionString = url.href
  const db = createDatabase({ connectionString, max: options.max ?? 10 })
  const lent = new Set<() => Promise<void>>()
  const database: TestDatabase = {
    db,
    name,
    connectionString,
    async connect() {
      const connection = await connectAlone(connectionString)
      lent.add(connection.close)
      return connection
    },
    async drop() {
      if (!open.delete(database)) return
      await Promise.all([...lent].map((close) => close()))
      await db.close()
      const left = await connectionsLeft(name, options.leaveMs ?? 3000)
      await admin((server) => server.execute(`drop database ${name} with (force)`))
      if (left.length > 0) throw new Error(`connections were left open:\n${left.join('\n')}`)
    },
  }
  open.add(database)
  afterFile(async (hasFailed) => {
    if (!open.has(database)) return
    if (!hasFailed) return database.drop()
    await database.db.close()
    console.error(`kept the database of the failed file: ${name}`)
  })
  return database
}

async function connectAlone(connectionString: string): Promise<Connection & { close(): Promise<void> }> {
  const db = createDatabase({ connectionString, max: 1, closeTimeoutMs: 100 })
  let end!: () => void
  const ended = new Promise<void>((resolve) => {
    end = resolve
  })
  let finished: Promise<void> = Promise.resolve()
  const connection = await new Promise<Connection>((resolve, reject) => {
    finished = db.withConnection(async (lent) => {
      resolve(lent)
      await ended
    })
    finished.catch(reject)
  })
  return {
    processId: connection.processId,
    query: (statement, options) => connection.query(statement, options),
    execute: (script) => connection.execute(script),
    copyFrom: (statement, source, options) => connection.copyFrom(statement, source, options),
    copyTo: (statement, options) => connection.copyTo(statement, options),
    cursor: (statement, options) => connection.cursor(statement, options),
    async close() {
      end()
      await finished
      await db.close()
    },
  }
}

/** A backend needs a moment to leave after its client has. */
async function connectionsLeft(name: string, waitMs: number): Promise<string[]> {
  return admin(async (db) => {
    const end = performance.now() + waitMs
    for (;;) {
      const { rows } = await db.query(sql`
        select format('%s %s: %s', pid, state, query)
        from pg_stat_activity
        where datname = ${name}::text and backend_type = 'client backend'`)
      if (rows.length === 0 || performance.now() > end) return rows.map(([line]) => String(line))
      await sleep(10)
    }
  })
}

async function admin<T>(use: (db: Database) => Promise<T>): Promise<T> {
  const db = createDatabase({ connectionString: inject('postgres').connectionString, max: 1 })
  try {
    return await use(db)
  } finally {
    await db.close()
  }
}
