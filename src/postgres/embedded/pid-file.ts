import { execFile } from 'node:child_process'
import { readdir, readFile, readlink, realpath } from 'node:fs/promises'
import { join } from 'node:path'

/** postmaster.pid, line by line (src/include/utils/pidfile.h). */
export interface PidFile {
  readonly pid: number
  /** Seconds since 1970 at which the server started. */
  readonly startedAt: number
  readonly port: number
  readonly status: string
}

/** Null when there is none, or it is not complete yet. */
export async function readPidFile(dataDir: string): Promise<PidFile | null> {
  let text: string
  try {
    text = await readFile(join(dataDir, 'postmaster.pid'), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw error
  }
  const lines = text.split('\n').map((line) => line.trim())
  const pid = Number(lines[0])
  if (!Number.isInteger(pid) || pid <= 0) return null
  return {
    pid,
    startedAt: Number(lines[2] ?? 0),
    port: Number(lines[3] ?? 0),
    status: lines[7] ?? '',
  }
}

/**
 * Who the pid file speaks of: `server` runs on this data directory; `gone` is no process, which PostgreSQL finds out
 * by itself; `other` is a process that got the number later, which PostgreSQL would take for the server.
 */
export async function ownerOf(file: PidFile, dataDir: string): Promise<'server' | 'gone' | 'other'> {
  if (!isAlive(file.pid)) return 'gone'
  return (await worksIn(file.pid, dataDir)) ? 'server' : 'other'
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

/** Every PostgreSQL process has its data directory as working directory. */
async function worksIn(pid: number, dataDir: string): Promise<boolean> {
  if (process.platform === 'linux') {
    // Not readable: a process of another user, so not one of this directory's owner.
    const folder = await readlink(`/proc/${pid}/cwd`).catch(() => '')
    return folder === (await realpath(dataDir))
  }
  const command = await new Promise<string>((resolve) => {
    execFile('ps', ['-p', String(pid), '-o', 'command='], (_error, stdout) => resolve(stdout))
  })
  return command.includes('postgres') && command.includes(dataDir)
}

/**
 * Processes that still work in the directory: after its postmaster was killed, a busy backend lives on until it
 * looks up, and a second server beside it would destroy data. Null where that cannot be known.
 */
export async function processesIn(dataDir: string): Promise<number[] | null> {
  if (process.platform !== 'linux') return null
  const folder = await realpath(dataDir)
  const found: number[] = []
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const cwd = await readlink(`/proc/${name}/cwd`).catch(() => '')
    if (cwd !== folder) continue
    // A person's shell may stand there too.
    const command = await readFile(`/proc/${name}/comm`, 'utf8').catch(() => '')
    if (command.trim() === 'postgres') found.push(Number(name))
  }
  return found
}
