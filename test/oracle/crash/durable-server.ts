import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { accountForServer, asAccount } from '../../../src/postgres/embedded/account.ts'
import { anyFreePort } from '../../../src/postgres/embedded/port.ts'

/** A server that keeps what it has acknowledged, to be killed and started again. */
export interface DurableServer {
  readonly connectionString: string
  /** SIGKILL of the postmaster. Its backends end by themselves, some of them a moment later. */
  kill(): void
  /** Starts it again, with recovery; waits for the backends of before, who hold its memory. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** As delivered (fsync, synchronous_commit and full_page_writes on), but for room for what the oracle does. */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '60',
  max_prepared_transactions: '10',
  wal_level: 'logical',
  shared_buffers: '64MB',
  max_wal_size: '128MB',
  timezone: 'UTC',
  log_min_messages: 'warning',
}

export async function startDurableServer(bin: string): Promise<DurableServer> {
  const dir = mkdtempSync(join(tmpdir(), 'tidemark-crash-'))
  const owner = await accountForServer()
  if (owner) chownSync(dir, owner.uid, owner.gid)
  else chmodSync(dir, 0o700)
  const data = join(dir, 'data')
  const as = { cwd: dir, ...asAccount(owner) }
  const initdb = ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C.UTF-8', '-N']
  execFileSync(join(bin, 'initdb'), initdb, { ...as, stdio: ['ignore', 'ignore', 'pipe'] })
  const port = await anyFreePort()
  const options = Object.entries({ ...settings, port: String(port) }).flatMap(([k, v]) => ['-c', `${k}=${v}`])
  const logFile = join(dir, 'server.log')
  const log = openSync(logFile, 'a')
  // When this process dies, however it does, the pipe closes: whichever server is there then is stopped.
  const script =
    'while read -r _; do :; done; kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")"; sleep 1; rm -rf "$1"'
  const watchdog = spawn('/bin/sh', ['-c', script, 'sh', dir], {
    ...as,
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watchdog.unref()
  let current = await start()

  /** The process, once it is ready; null when it gave up (somebody still holds the memory). */
  async function tryToStart() {
    const server = spawn(join(bin, 'postgres'), ['-D', data, ...options], {
      ...as,
      stdio: ['ignore', log, log],
      detached: true,
    })
    let isOver = false
    const over = new Promise<void>((resolve) => {
      server.once('exit', () => {
        isOver = true
        resolve()
      })
    })
    while (!isOver && !readyIn(data, server.pid!)) await sleep(10)
    return isOver ? null : { server, over }
  }

  async function start() {
    for (let tries = 0; ; tries += 1) {
      const started = await tryToStart()
      if (started) return started
      if (tries > 200)
        throw new Error(`the server does not start again:\n${readFileSync(logFile, 'utf8').slice(-4000)}`)
      await sleep(25)
    }
  }

  return {
    connectionString: `postgres://postgres@127.0.0.1:${port}/postgres`,
    kill: () => {
      current.server.kill('SIGKILL')
    },
    async restart() {
      await current.over
      current = await start()
    },
    async stop() {
      watchdog.kill('SIGKILL')
      current.server.kill('SIGQUIT')
      await current.over
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** The pid file is of this process, and its last line says so. A killed server leaves its own behind. */
function readyIn(data: string, pid: number): boolean {
  const file = join(data, 'postmaster.pid')
  if (!existsSync(file)) return false
  const lines = readFileSync(file, 'utf8').split('\n')
  return lines[0] === String(pid) && lines[7]?.trim() === 'ready'
}
