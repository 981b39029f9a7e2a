import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, inject } from 'vitest'
import { type Connection, createDatabase, type Database } from '../../src/postgres/index.ts'
import { sql } from '../../src/util/sql.ts'
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
}

const open = new Set<TestDatabase>()
let fileFailed = false

afterEach(({ task }) => {
  if (task.result?.state === 'fail') fileFailed = true
})

/**
 * What a file did not drop itself is dropped after its last test. The database of a file with a failed test is kept
 * and named: it can be looked at while the run goes on, and afterwards where DATABASE_URL is used.
 */
afterAll(async () => {
  for (const database of open) {
    if (fileFailed) {
      await database.db.close()
      console.error(`kept the database of the failed file: ${database.name}`)
    } else await database.drop()
  }
})

/**
 * A fresh database with the catalog, on the server of the lane.
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
      const left = await connectionsLeft(name)
      await admin((server) => server.execute(`drop database ${name} with (force)`))
      if (left.length > 0) throw new Error(`connections were left open:\n${left.join('\n')}`)
    },
  }
  open.add(database)
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
    async close() {
      end()
      await finished
      await db.close()
    },
  }
}

/** A backend needs a moment to leave after its client has. */
async function connectionsLeft(name: string): Promise<string[]> {
  return admin(async (db) => {
    for (let tries = 0; ; tries += 1) {
      const { rows } = await db.query(sql`
        select format('%s %s: %s', pid, state, query)
        from pg_stat_activity
        where datname = ${name}::text and backend_type = 'client backend'`)
      if (rows.length === 0 || tries >= 60) return rows.map(([line]) => String(line))
      await sleep(50)
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
