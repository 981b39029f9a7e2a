import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { TidemarkError } from '../util/errors.ts'

/** The socket in a process's folder on which it listens as long as it lives. */
const lockName = 'lock'
const newPrefix = '.new-'
/** What a process that died between two calls has left of a folder without a lock. */
const staleMs = 60_000
/** Of a socket's path, on every system that has them. */
const maxPathBytes = 100

/**
 * A process's own folder under the spool's: `<dir>/<owner>/<spool>/…`. The kernel closes a socket with its process, however
 * that ends, and pids of containers mean nothing to each other; so the lock is a socket that answers. An owner's name is never
 * used again: one that does not answer has died for ever, and its spools are renamed into the folder of whoever comes first.
 */
export class SpoolOwner {
  readonly dir: string
  readonly #base: string
  readonly #server: Server
  readonly #folder: FileHandle

  private constructor(base: string, dir: string, server: Server, folder: FileHandle) {
    this.#base = base
    this.dir = dir
    this.#server = server
    this.#folder = folder
  }

  static async claim(base: string): Promise<SpoolOwner> {
    await mkdir(base, { recursive: true })
    const name = randomUUID()
    const making = join(base, `${newPrefix}${name}`)
    const dir = join(base, name)
    await mkdir(making)
    const folder = await open(making, 'r')
    try {
      // renamed with its lock, so that nobody sees it without
      const server = await listen(socketPath(making, folder))
      await rename(making, dir)
      await syncFolder(base)
      return new SpoolOwner(base, dir, server, folder)
    } catch (error) {
      await folder.close()
      await rm(making, { recursive: true, force: true })
      throw error
    }
  }

  /** Takes over the spools of processes that have died. @returns their names. */
  async adopt(): Promise<readonly string[]> {
    const adopted: string[] = []
    for (const entry of await readdir(this.#base, { withFileTypes: true })) {
      const dir = join(this.#base, entry.name)
      if (!entry.isDirectory() || dir === this.dir || entry.name === damagedName) continue
      if (entry.name.startsWith(newPrefix)) {
        const { mtimeMs } = await stat(dir).catch(() => ({ mtimeMs: Date.now() }))
        if (Date.now() - mtimeMs > staleMs && !(await isAlive(dir)))
          await rm(dir, { recursive: true, force: true })
        continue
      }
      if (await isAlive(dir)) continue
      for (const spool of await spoolsOf(dir)) {
        // two may try; the file system lets one of them
        const isMine = await rename(join(dir, spool), join(this.dir, spool)).then(() => true, passOverGone)
        if (isMine) adopted.push(spool)
      }
      await removeEmpty(dir)
    }
    if (adopted.length > 0) {
      await syncFolder(this.dir)
      await syncFolder(this.#base)
    }
    return adopted
  }

  /** From here on others may take what is left in it. */
  async release(): Promise<void> {
    await new Promise<void>((done) => this.#server.close(() => done()))
    await this.#folder.close()
    if ((await spoolsOf(this.dir)).length === 0) await removeEmpty(this.dir)
  }
}

/** Where segments are kept that somebody has said to go on without. */
export const damagedName = 'damaged'

/** Names of the folders in a folder: of an owner, its own spool and those that it has taken over. None where it is not there. */
export async function spoolsOf(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return []
    throw error
  })
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
}

/** Whether the process that a folder belongs to lives. */
export async function isAlive(dir: string): Promise<boolean> {
  let folder: FileHandle
  try {
    folder = await open(dir, 'r')
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw error
  }
  try {
    const path = socketPath(dir, folder)
    return await new Promise((tell) => {
      const socket = connect(path)
      socket.once('connect', () => {
        socket.destroy()
        tell(true)
      })
      // a full queue of callers is a sign of life, too
      socket.once('error', (error) => tell(!['ECONNREFUSED', 'ENOENT'].includes(codeOf(error) ?? '')))
    })
  } finally {
    await folder.close()
  }
}

/** Makes what was created, renamed or removed in a folder outlive a power cut. */
export async function syncFolder(dir: string): Promise<void> {
  const folder = await open(dir, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

export function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | null)?.code
}

/** The kernel takes about a hundred bytes; Linux has a short name for a folder that is open. */
function socketPath(dir: string, folder: FileHandle): string {
  const path = join(dir, lockName)
  if (Buffer.byteLength(path) <= maxPathBytes) return path
  if (process.platform === 'linux') return `/proc/self/fd/${folder.fd}/${lockName}`
  throw new TidemarkError('TM_CONFIG', {
    path: 'ingest.spool.dir',
    problem: `"${path}" is longer than the ${maxPathBytes} bytes that a socket's path may have; choose a shorter one`,
  })
}

function listen(path: string): Promise<Server> {
  const server = createServer((socket) => socket.destroy())
  // nothing waits for it
  server.unref()
  return new Promise((done, fail) => {
    server.once('error', fail)
    server.listen(path, () => {
      server.off('error', fail)
      done(server)
    })
  })
}

async function removeEmpty(dir: string): Promise<void> {
  await rm(join(dir, lockName), { force: true })
  await rmdir(dir).catch(passOverGone)
}

/** Somebody else was faster. */
function passOverGone(error: unknown): false {
  if (['ENOENT', 'ENOTEMPTY', 'EEXIST'].includes(codeOf(error) ?? '')) return false
  throw error
}
