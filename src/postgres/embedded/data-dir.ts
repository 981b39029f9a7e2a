import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  appendFile,
  chown,
  lchown,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { type Account, asAccount } from './account.ts'
import type { Binaries } from './binaries.ts'
import { embeddedError, lastLines } from './errors.ts'
import { isAlive } from './pid-file.ts'

export const settingsFileName = 'tidemark.conf'
const passwordFileName = 'tidemark.password'
const portFileName = 'tidemark.port'

/** The superuser that initdb makes. */
export const userName = 'tidemark'

/** An initialised data directory that the account can use. */
export interface DataDir {
  /** Without symbolic links. */
  readonly path: string
  readonly account: Account | null
  readonly password: string
  /** Of the last start; null at the first. */
  readonly lastPort: number | null
}

/** Where directories go that the server's user cannot reach where they were asked for. */
const reachableRoot = '/var/lib/tidemark'
const removal = { recursive: true, force: true, maxRetries: 10, retryDelay: 20 } as const
const leastFreeBytes = 128 * 1024 * 1024

/** Makes the directory when it is new, and refuses one that this server must not touch. */
export async function prepareDataDir(
  wanted: string,
  account: Account | null,
  prepare: (account: Account | null) => Promise<Binaries>,
): Promise<{ dataDir: DataDir; binaries: Binaries }> {
  const path = await locate(resolve(wanted), account)
  const owner = await ownerOfDirectory(path, account)
  const binaries = await prepare(owner)
  await removeLeftDrafts(path)
  for (let tries = 0; !(await isInitialised(path, binaries)); tries += 1) {
    if (tries > 2) throw embeddedError(`${path} cannot be initialised`, 'remove it and start again')
    await initialise(path, owner, binaries)
  }
  return { dataDir: await readDataDir(path, owner), binaries }
}

/**
 * Makes the parent. As root under a folder that the server's user may not enter (a home with mode 0700), the data
 * goes to /var/lib/tidemark, and the wanted path becomes a symbolic link to it.
 */
async function locate(wanted: string, account: Account | null): Promise<string> {
  try {
    await mkdir(dirname(wanted), { recursive: true })
    const existing = await realpath(wanted).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      // A link to a directory that is gone: it is made again where it was.
      return readlink(wanted).catch(() => null)
    })
    const path = existing ?? join(await realpath(dirname(wanted)), basename(wanted))
    if (account === null) return path
    await mkdir(dirname(path), { recursive: true })
    if (await canEnter(dirname(path), account)) return path
    const name = `${basename(path)}-${createHash('sha256').update(path).digest('hex').slice(0, 12)}`
    const target = join(reachableRoot, name)
    if (existing !== null) {
      await rmdir(path).catch((cause) => {
        throw embeddedError(
          `the user "${account.name}", as whom it runs because PostgreSQL refuses root, may not enter ${dirname(path)}`,
          'allow others to enter that folder and those above it (chmod o+x), or give a data directory elsewhere',
          { cause },
        )
      })
    }
    await mkdir(reachableRoot, { recursive: true, mode: 0o755 })
    await symlink(target, path)
    return target
  } catch (error) {
    throw explainAccess(error, wanted)
  }
}

function canEnter(folder: string, account: Account): Promise<boolean> {
  return new Promise((done) => {
    const child = ['-c', 'cd -- "$1"', 'sh', folder]
    execFile('/bin/sh', child, { cwd: '/', ...asAccount(account) }, (error) => done(error === null))
  })
}

function explainAccess(error: unknown, path: string): unknown {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'EACCES' || code === 'EPERM')
    return embeddedError(
      `the data directory ${path} cannot be read or made: ${message}`,
      'start it as the user who made it, give that directory to the present user (chown -R), or use another one',
      { cause: error },
    )
  if (code === 'ENOTDIR' || code === 'EEXIST')
    return embeddedError(`${path} is not a directory`, 'give another data directory', { cause: error })
  if (code === 'ENOSPC') return diskFull(path, 0, error)
  if (code === 'EROFS')
    return embeddedError(`${path} is on a read-only file system`, 'give another data directory', {
      cause: error,
    })
  return error
}

function diskFull(path: string, free: number, cause?: unknown): Error {
  return embeddedError(
    `the disk that holds ${path} is full: ${Math.floor(free / 1048576)} MB are free, a new database needs 128 MB`,
    'make room, or give a data directory on another disk',
    { cause },
  )
}

/** Whoever owns an existing directory goes on running it; one of ours that root took over is given back. */
async function ownerOfDirectory(path: string, account: Account | null): Promise<Account | null> {
  if (account === null) return null
  const found = await stat(path).catch(() => null)
  if (!found?.isDirectory()) return account
  if (found.uid !== 0) return { name: `uid ${found.uid}`, uid: found.uid, gid: found.gid }
  const names = await readdir(path)
  if (names.length === 0) await chown(path, account.uid, account.gid)
  // Nothing but a directory that tidemark made may be chowned: the path may be a mistake.
  else if (names.includes('PG_VERSION') && names.includes(passwordFileName)) await chownAll(path, account)
  return account
}

async function chownAll(path: string, account: Account): Promise<void> {
  await lchown(path, account.uid, account.gid)
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const child = join(path, entry.name)
    if (entry.isDirectory()) await chownAll(child, account)
    else await lchown(child, account.uid, account.gid)
  }
}

/** Drafts of processes that were killed inside initdb. */
async function removeLeftDrafts(path: string): Promise<void> {
  const prefix = `${basename(path)}.init-`
  for (const name of await readdir(dirname(path))) {
    if (!name.startsWith(prefix)) continue
    const pid = Number.parseInt(name.slice(prefix.length), 10)
    if (isAlive(pid)) continue
    // Its initdb may still be writing, and ends when its files go. What is left is tried again at the next start.
    await rm(join(dirname(path), name), removal).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY') throw error
    })
  }
}

async function isInitialised(path: string, binaries: Binaries): Promise<boolean> {
  let names: string[]
  try {
    names = await readdir(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw explainAccess(error, path)
  }
  if (names.length === 0) return false
  if (!names.includes('PG_VERSION'))
    throw embeddedError(
      `${path} is neither empty nor a PostgreSQL data directory`,
      'give a new or empty directory',
    )
  const major = (await readFile(join(path, 'PG_VERSION'), 'utf8')).trim()
  if (major !== String(binaries.major))
    throw embeddedError(
      `the data directory ${path} is of PostgreSQL ${major}, the programs are ${binaries.version}`,
      `start it with PostgreSQL ${major}, dump it (pg_dumpall) and load it into a new directory; or give another directory`,
    )
  if (!names.includes(passwordFileName))
    throw embeddedError(
      `the data directory ${path} was not made by tidemark: it has no ${passwordFileName}`,
      'start that server yourself and set DATABASE_URL, or give another directory',
    )
  return true
}

/** In a draft beside it, which is renamed when it is complete: a kill in between leaves nothing half made. */
async function initialise(path: string, account: Account | null, binaries: Binaries): Promise<void> {
  const parent = dirname(path)
  const free = await freeBytes(parent)
  if (free < leastFreeBytes) throw diskFull(path, free)
  const draft = `${path}.init-${process.pid}-${randomBytes(4).toString('hex')}`
  const passwordFile = `${draft}.password`
  const password = randomBytes(24).toString('base64url')
  try {
    await mkdir(draft, { mode: 0o700 })
    await writeFile(passwordFile, password, { mode: 0o600, flag: 'wx' })
    if (account) {
      await chown(draft, account.uid, account.gid)
      await chown(passwordFile, account.uid, account.gid)
    }
    await runInitdb(draft, passwordFile, account, binaries)
    await appendFile(join(draft, 'postgresql.conf'), `\ninclude_if_exists '${settingsFileName}'\n`)
    await rename(passwordFile, join(draft, passwordFileName))
    await syncFolder(draft)
    await rename(draft, path)
    await syncFolder(parent)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // Another process was faster; its directory is as good.
    if (code === 'ENOTEMPTY' || code === 'EEXIST') return
    if ((await freeBytes(parent).catch(() => leastFreeBytes)) < 16 * 1024 * 1024)
      throw diskFull(path, await freeBytes(parent), error)
    throw explainAccess(error, path)
  } finally {
    await rm(draft, removal)
    await rm(passwordFile, { force: true })
  }
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize
}

async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function runInitdb(
  draft: string,
  passwordFile: string,
  account: Account | null,
  { bin }: Binaries,
): Promise<void> {
  // macOS and Windows have no C.UTF-8 of their own; PostgreSQL's built-in one sorts the same.
  const locale =
    process.platform === 'linux'
      ? ['--locale=C.UTF-8']
      : ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8']
  const args = [
    '-D',
    draft,
    '-U',
    userName,
    '-E',
    'UTF8',
    '-A',
    'scram-sha-256',
    '--data-checksums',
    ...locale,
  ]
  return new Promise((done, fail) => {
    execFile(
      join(bin, 'initdb'),
      [...args, `--pwfile=${passwordFile}`],
      { cwd: draft, ...asAccount(account) },
      (error, stdout, stderr) => {
        if (error === null) done()
        else
          fail(
            embeddedError(
              `initdb failed for ${draft.replace(/\.init-[^/]*$/, '')}`,
              'correct what its output names, then start again',
              { log: lastLines(`${stdout}\n${stderr}`), cause: error },
            ),
          )
      },
    )
  })
}

async function readDataDir(path: string, account: Account | null): Promise<DataDir> {
  try {
    const password = (await readFile(join(path, passwordFileName), 'utf8')).trim()
    const port = Number(await readFile(join(path, portFileName), 'utf8').catch(() => ''))
    return { path, account, password, lastPort: port > 0 && port < 65536 ? port : null }
  } catch (error) {
    throw explainAccess(error, path)
  }
}

export function rememberPort({ path, account }: DataDir, port: number): Promise<void> {
  return replaceFile(join(path, portFileName), `${port}\n`, account)
}

/** All of the new text or all of the old. */
export async function replaceFile(path: string, text: string, account: Account | null): Promise<void> {
  const draft = `${path}.${randomBytes(4).toString('hex')}`
  await writeFile(draft, text, { mode: 0o600 })
  if (account) await chown(draft, account.uid, account.gid)
  await rename(draft, path)
}
