import { accountForServer } from '../../src/postgres/embedded/account.ts'
import { prepareBinaries } from '../../src/postgres/embedded/binaries.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { raw } from '../../src/util/sql.ts'
import { startTestServer, type TestServer } from '../helpers/test-server.ts'

/** A server on which each episode has an empty database of its own. */
export interface EpisodeServer {
  readonly server: TestServer
  readonly bin: string
  withDatabase<T>(use: (connectionString: string) => Promise<T>): Promise<T>
  close(): Promise<void>
}

export async function binariesOf(lane: string): Promise<string> {
  return lane === 'pg15'
    ? '/usr/lib/postgresql/15/bin'
    : (await prepareBinaries(await accountForServer())).bin
}

export async function startEpisodeServer(lane: string): Promise<EpisodeServer> {
  const bin = await binariesOf(lane)
  const server = await startTestServer(`oracle-${lane}`, bin)
  const admin = createDatabase({ connectionString: server.connectionString, max: 1 })
  let databases = 0
  return {
    server,
    bin,
    async withDatabase(use) {
      const name = `oracle_${databases++}`
      await admin.execute(`create database ${name} template template0`)
      const url = new URL(server.connectionString)
      url.pathname = `/${name}`
      try {
        return await use(url.href)
      } finally {
        // what was prepared and not ended would keep it
        const db = createDatabase({ connectionString: url.href, max: 1 })
        await rollBackPrepared(db).finally(() => db.close())
        await admin.execute(`drop database ${name} with (force)`)
      }
    },
    async close() {
      await admin.close()
      await server.stop()
    },
  }
}

async function rollBackPrepared(db: ReturnType<typeof createDatabase>): Promise<void> {
  const { rows } = await db.query(
    raw('select gid from pg_prepared_xacts where database = current_database()'),
  )
  for (const [gid] of rows) await db.execute(`rollback prepared '${String(gid)}'`)
}
