import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { accountForServer, asAccount } from '../../src/postgres/embedded/account.ts'
import { anyFreePort } from '../../src/postgres/embedded/port.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { sql } from '../../src/util/sql.ts'

/** Where Debian has it; undefined: it is not installed. */
export const pgBouncer = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer'].find(existsSync)

export interface PgBouncer {
  readonly connectionString: string
  stop(): Promise<void>
}

/** In front of a server, in transaction mode, with fewer connections than clients: what one leaves behind, another finds. */
export async function startPgBouncer(
  connectionString: string,
  poolSize = 2,
  /** Logins of the server whose clients share its connections: the database `as_<login>` is that of the connection string, as this login. */
  logins: readonly string[] = [],
): Promise<PgBouncer> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-pgbouncer-'))
  await chmod(folder, 0o755)
  const port = await anyFreePort()
  const server = new URL(connectionString)
  const password = server.password ? ` password=${server.password}` : ''
  const file = join(folder, 'pgbouncer.ini')
  await writeFile(
    file,
    [
      '[databases]',
      `* = host=${server.hostname} port=${server.port || 5432} user=${server.username}${password}`,
      ...logins.map(
        (login) =>
          `as_${login} = host=${server.hostname} port=${server.port || 5432} dbname=${server.pathname.slice(1)} user=${login}`,
      ),
      '[pgbouncer]',
      `listen_port = ${port}`,
      'listen_addr = 127.0.0.1',
      'unix_socket_dir =',
      'auth_type = any',
      'pool_mode = transaction',
      `default_pool_size = ${poolSize}`,
      '',
    ].join('\n'),
  )
  const bouncer = spawn(pgBouncer as string, [file], {
    cwd: '/',
    stdio: 'ignore',
    ...asAccount(await accountForServer()),
  })
  const through = new URL(connectionString)
  through.hostname = '127.0.0.1'
  through.port = String(port)
  const db = createDatabase({ connectionString: through.href, max: 1 })
  for (let tries = 0; ; tries += 1) {
    try {
      await db.query(sql`select 1`)
      break
    } catch (error) {
      if (tries > 100) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
  await db.close()
  return {
    connectionString: through.href,
    async stop() {
      const exit = new Promise((resolve) => bouncer.once('exit', resolve))
      bouncer.kill('SIGTERM')
      await exit
      await rm(folder, { recursive: true, force: true })
    },
  }
}
