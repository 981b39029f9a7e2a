import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, fchownSync, openSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Account, asAccount } from './account.ts'
import { endOfLog, startupLogName } from './errors.ts'
import { readPidFile } from './pid-file.ts'

export interface ServerOptions {
  readonly bin: string
  readonly dataDir: string
  readonly account: Account | null
  readonly args: readonly string[]
  readonly startTimeoutMs: number
}

/** A postmaster that was started here, and the watchdog that stops it when this process is gone. */
export class ServerProcess {
  readonly pid: number
  readonly #child: ChildProcess
  readonly #watchdog: ChildProcess
  readonly #options: ServerOptions
  readonly #exit: Promise<void>
  #hasExited = false

  private constructor(child: ChildProcess, options: ServerOptions) {
    this.pid = child.pid!
    this.#child = child
    this.#options = options
    this.#watchdog = startWatchdog(this.pid, options)
    this.#exit = new Promise((resolve) => {
      child.once('exit', () => {
        this.#hasExited = true
        this.#watchdog.kill('SIGKILL')
        resolve()
      })
    })
    // A program that forgets to stop its server still ends, and the watchdog sees to the rest.
    child.unref()
  }

  /** Resolves with the server when it takes connections, or with the reason why it does not. */
  static async start(options: ServerOptions): Promise<ServerProcess | { readonly problem: string }> {
    const { bin, dataDir, account } = options
    const log = openSync(join(dataDir, startupLogName), 'w', 0o600)
    let child: ChildProcess
    try {
      if (account) fchownSync(log, account.uid, account.gid)
      child = spawn(join(bin, 'postgres'), ['-D', dataDir, ...options.args], {
        cwd: dataDir,
        ...asAccount(account),
        stdio: ['ignore', log, log],
        // A Ctrl-C in the terminal goes to its whole process group; the server leaves when its owner says so.
        detached: true,
        windowsHide: true,
      })
    } finally {
      closeSync(log)
    }
    const spawnProblem = await new Promise<Error | null>((resolve) => {
      child.once('spawn', () => resolve(null))
      child.once('error', resolve)
    })
    if (spawnProblem) return { problem: spawnProblem.message }
    const server = new ServerProcess(child, options)
    return (await server.#becomesReady())
      ? server
      : { problem: endOfLog(dataDir) || 'the server wrote nothing' }
  }

  /** The pid file's last line says `ready`: pg_ctl looks at nothing else. */
  async #becomesReady(): Promise<boolean> {
    const deadline = performance.now() + this.#options.startTimeoutMs
    while (!this.#hasExited) {
      const file = await readPidFile(this.#options.dataDir)
      if (file?.pid === this.pid && file.status === 'ready') return true
      if (performance.now() > deadline) {
        await this.stop(5_000)
        return false
      }
      await Promise.race([sleep(20), this.#exit])
    }
    return false
  }

  /** Fast shutdown: open transactions are rolled back, everything is written. False when it took too long. */
  async stop(timeoutMs: number): Promise<boolean> {
    this.#child.ref()
    this.#watchdog.kill('SIGKILL')
    if (await this.#askToExit('SIGINT', timeoutMs)) return true
    // Immediate: nothing acknowledged is lost, the next start recovers from the log.
    await this.#askToExit('SIGQUIT', 10_000)
    if (!this.#hasExited) this.#child.kill('SIGKILL')
    await this.#exit
    return false
  }

  async #askToExit(signal: 'SIGINT' | 'SIGQUIT', timeoutMs: number): Promise<boolean> {
    if (this.#hasExited) return true
    if (process.platform === 'win32') {
      const mode = signal === 'SIGINT' ? 'fast' : 'immediate'
      execFile(join(this.#options.bin, 'pg_ctl'), ['stop', '-D', this.#options.dataDir, '-m', mode, '-W'])
    } else this.#child.kill(signal)
    const limit = new AbortController()
    await Promise.race([
      this.#exit,
      sleep(timeoutMs, undefined, { signal: limit.signal }).catch(() => {
        // aborted below
      }),
    ])
    limit.abort()
    return this.#hasExited
  }
}

const posixWatchdog = `
while read -r _; do :; done
read -r pid < "$2/postmaster.pid" && [ "$pid" = "$1" ] && kill -INT "$1"
`

const windowsWatchdog = `
process.stdin.resume().on('end', () =>
  require('node:child_process').execFile(process.argv[1], ['stop', '-D', process.argv[2], '-m', 'fast']))
`

/**
 * Waits on a pipe whose other end only this process holds. However the process ends (return, exit, signal, SIGKILL,
 * out of memory), the kernel closes the pipe, and the watchdog asks the server for a fast shutdown. So no signal
 * handler is needed here that could get in the way of others.
 */
function startWatchdog(pid: number, { bin, dataDir, account }: ServerOptions): ChildProcess {
  const [command, args] =
    process.platform === 'win32'
      ? [process.execPath, ['-e', windowsWatchdog, join(bin, 'pg_ctl'), dataDir]]
      : ['/bin/sh', ['-c', posixWatchdog, 'tidemark-watchdog', String(pid), dataDir]]
  const watchdog = spawn(command, args, {
    cwd: '/',
    ...asAccount(account),
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    windowsHide: true,
  })
  // It is killed before its pipe is closed.
  watchdog.stdin!.on('error', () => {})
  watchdog.unref()
  ;(watchdog.stdin as unknown as { unref(): void }).unref()
  return watchdog
}
