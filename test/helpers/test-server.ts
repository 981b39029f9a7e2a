import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { accountForServer, asAccount } from '../../src/postgres/embedded/account.ts'
import { anyFreePort } from '../../src/postgres/embedded/port.ts'

/** A server of one test run. Not durable, and gone when the run ends, however it ends. */
export interface TestServer {
  readonly connectionString: string
  readonly dir: string
  stop(): Promise<void>
}

/** fsync is off only here: nothing that tests write has to outlive a power cut. */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  max_connections: '200',
  max_prepared_transactions: '50',
  wal_level: 'logical',
  max_wal_senders: '10',
  max_replication_slots: '10',
  shared_buffers: '256MB',
  max_wal_size: '1GB',
  timezone: 'UTC',
  log_min_messages: 'warning',
}

export async function startTestServer(lane: string, bin: string): Promise<TestServer> {
  const dir = await serverFolder(`tidemark-test-${lane}-`)
  const data = join(dir, 'data')
  const initdb = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '-N']
  const as = { cwd: dir, ...asAccount(await accountForServer()) }
  execFileSync(join(bin, 'initdb'), initdb, { ...as, stdio: ['ignore', 'ignore', 'pipe'] })
  return launchServer({ name: lane, dir, bin })
}

/** A folder that the server's account owns. */
export async function serverFolder(prefix: string): Promise<string> {
  const dir = mkdtempSync(join(tmpdir(), prefix))
  const owner = await accountForServer()
  if (owner) chownSync(dir, owner.uid, owner.gid)
  else chmodSync(dir, 0o700)
  return dir
}

/** Starts a server on `dir`/data, which is removed with it; waits until it takes connections. */
export async function launchServer(options: {
  readonly name: string
  readonly dir: string
  readonly bin: string
  /** Beside those of every test server. */
  readonly more?: Readonly<Record<string, string>>
}): Promise<TestServer> {
  const { name, dir, bin } = options
  const data = join(dir, 'data')
  const as = { cwd: dir, ...asAccount(await accountForServer()) }
  const port = await anyFreePort()
  const all = { ...settings, ...options.more, port: String(port) }
  const given = Object.entries(all).flatMap(([k, v]) => ['-c', `${k}=${v}`])
  const logFile = join(dir, 'server.log')
  const log = openSync(logFile, 'a')
  const server = spawn(join(bin, 'postgres'), ['-D', data, ...given], {
    ...as,
    stdio: ['ignore', log, log],
    // Ctrl-C in the terminal reaches vitest only, which stops the server in order.
    detached: true,
  })
  let exited = false
  const exit = new Promise<void>((resolve) => {
    server.once('exit', () => {
      exited = true
      resolve()
    })
  })
  // When this process dies, even by SIGKILL, the pipe closes and the watchdog stops the server.
  const watchdog = spawn(
    '/bin/sh',
    [
      '-c',
      'while read -r _; do :; done; kill -QUIT "$1" && sleep 1; rm -rf "$2"',
      'sh',
      String(server.pid),
      dir,
    ],
    {
      ...as,
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    },
  )
  server.unref()
  watchdog.unref()
  for (let tries = 0; !readyIn(data); tries += 1) {
    if (exited || tries > 600)
      throw new Error(`the ${name} server did not start:\n${readFileSync(logFile, 'utf8')}`)
    await sleep(50)
  }
  return {
    connectionString: `postgres://postgres@127.0.0.1:${port}/postgres`,
    dir,
    async stop() {
      watchdog.kill('SIGKILL')
      // Nothing else may be left to keep this process alive until the server has gone.
      server.ref()
      server.kill('SIGQUIT')
      await exit
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** The last line of the pid file says so (src/include/utils/pidfile.h, PM_STATUS_READY). */
function readyIn(data: string): boolean {
  const file = join(data, 'postmaster.pid')
  return existsSync(file) && readFileSync(file, 'utf8').split('\n')[7]?.trim() === 'ready'
}
