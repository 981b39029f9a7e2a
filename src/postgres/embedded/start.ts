import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { TidemarkError } from '../../util/errors.ts'
import { identifier, sql } from '../../util/sql.ts'
import { createDatabase } from '../database.ts'
import { sqlstateOf } from '../translate-error.ts'
import { accountForServer } from './account.ts'
import { prepareBinaries } from './binaries.ts'
import {
  type DataDir,
  prepareDataDir,
  rememberPort,
  replaceFile,
  settingsFileName,
  userName,
} from './data-dir.ts'
import { embeddedError, endOfLog } from './errors.ts'
import { ownerOf, type PidFile, processesIn, readPidFile } from './pid-file.ts'
import { anyFreePort, host, isPortFree } from './port.ts'
import { ServerProcess } from './process.ts'
import { formatSettings, settingsFor, thisMachine } from './settings.ts'

export interface EmbeddedOptions {
  /** Where the data lies; made when absent, kept between runs. */
  readonly dataDir: string
  /** Default: that of the last start when it is free, else any free one. One that is given must be free. */
  readonly port?: number | null
  /** Made when absent; default `tidemark`. */
  readonly database?: string
  /** Use a server that already runs on this data directory, without owning it; default false: an error. */
  readonly reuse?: boolean
  /** PostgreSQL settings on top of Tidemark's own. */
  readonly settings?: Readonly<Record<string, string>>
  /** ms; default 60,000. Recovery after a crash may need it. */
  readonly startTimeoutMs?: number
  /** ms of a fast shutdown before an immediate one; default 60,000. */
  readonly stopTimeoutMs?: number
  /** Folder with `native/` of PostgreSQL's programs; default: the npm package of this platform. */
  readonly packageDir?: string | null
  /** Where the programs are copied to when the server's user cannot read them; default /var/cache/tidemark for root, else ~/.cache/tidemark. */
  readonly cacheDir?: string | null
}

export const embeddedDefaults = Object.freeze({
  port: null,
  database: 'tidemark',
  reuse: false,
  settings: Object.freeze({}),
  startTimeoutMs: 60_000,
  stopTimeoutMs: 60_000,
  packageDir: null,
  cacheDir: null,
}) satisfies Readonly<Required<Omit<EmbeddedOptions, 'dataDir'>>>

export interface EmbeddedServer {
  /** With the password. */
  readonly connectionString: string
  readonly port: number
  /** Where the data really lies: another place than asked for where root's server could not reach that. */
  readonly dataDir: string
  /** `18.4` */
  readonly version: string
  /** False when it was there already (`reuse`): then stop() leaves it running. */
  readonly isOwner: boolean
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

type Settled = Readonly<Required<EmbeddedOptions>>

/**
 * Starts a PostgreSQL 18 from npm's binaries on 127.0.0.1, or finds the one that runs already. It stops with stop(),
 * and by itself when this process ends in whatever way.
 *
 * @example
 * await using server = await startEmbedded({ dataDir: '.tidemark/postgres' })
 * const db = createDatabase({ connectionString: server.connectionString })
 *
 * Errors: TM_EMBEDDED with the cause, the way out and the end of the server's log (docs/guide/embedded.md); TM_CONFIG.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  const settled = settle(options)
  const { dataDir, binaries } = await prepareDataDir(settled.dataDir, await accountForServer(), (account) =>
    prepareBinaries(account, settled),
  )
  for (let tries = 1; ; tries += 1) {
    const running = await findRunning(dataDir, settled)
    if (running) return attach(dataDir, running, settled, binaries.version)
    const port = await choosePort(dataDir, settled.port)
    const started = await launch(dataDir, binaries.bin, port, settled)
    if (started instanceof ServerProcess)
      return own(started, dataDir, port, settled, binaries.version).catch(async (error) => {
        await started.stop(settled.stopTimeoutMs)
        throw error
      })
    // Another process started a server at the same moment, or took the port: look again.
    const rival = await readPidFile(dataDir.path)
    const hasRival = rival !== null && (await ownerOf(rival, dataDir.path)) === 'server'
    const lostPort = settled.port === null && !(await isPortFree(port))
    if ((hasRival || lostPort) && tries < 5) continue
    if (!hasRival && settled.port !== null && !(await isPortFree(port))) throw portTaken(port)
    throw embeddedError(
      `the server in ${dataDir.path} did not start`,
      'correct what its log names, then start again',
      { log: started.problem },
    )
  }
}

function settle(options: EmbeddedOptions): Settled {
  const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
  const settled: Required<EmbeddedOptions> = {
    ...embeddedDefaults,
    ...(given as unknown as EmbeddedOptions),
  }
  const refuse = (path: string, problem: string): never => {
    throw new TidemarkError('TM_CONFIG', { path: `embedded.${path}`, problem })
  }
  if (typeof settled.dataDir !== 'string' || settled.dataDir === '') refuse('dataDir', 'is missing')
  const { port } = settled
  if (port !== null && !(Number.isInteger(port) && port > 0 && port < 65536))
    refuse('port', `must be a whole number from 1 to 65535, not ${port}`)
  if (!/^[^\0]{1,63}$/.test(settled.database)) refuse('database', 'must have 1 to 63 characters')
  for (const path of ['startTimeoutMs', 'stopTimeoutMs'] as const)
    if (!(settled[path] >= 1)) refuse(path, `must be at least 1 ms, not ${settled[path]}`)
  for (const [name, value] of Object.entries(settled.settings))
    if (!/^[a-z_][a-z0-9_.]*$/i.test(name) || /[\n\r\0]/.test(value))
      refuse(`settings.${name}`, 'is not the name of a setting, or its value has a line break')
  return Object.freeze(settled)
}

/**
 * A server that takes connections on this directory, or null when the directory is free. Waits for one that starts or
 * stops, and for backends that outlive a killed postmaster. Removes a pid file only where it names a process that is
 * no server and nobody works in the directory: in every other case PostgreSQL judges by itself.
 */
async function findRunning({ path }: DataDir, options: Settled): Promise<PidFile | null> {
  const deadline = performance.now() + options.startTimeoutMs
  // A server whose owner was killed a moment ago is about to stop: that is not "already running".
  const graceEnd = performance.now() + (options.reuse ? 0 : 1_000)
  for (;;) {
    const file = await readPidFile(path)
    const owner = file ? await ownerOf(file, path) : 'gone'
    if (file && owner === 'server') {
      if (file.status === 'ready' && performance.now() >= graceEnd) return file
    } else {
      const left = await processesIn(path)
      if (left === null || left.length === 0) {
        if (owner === 'other') await rm(join(path, 'postmaster.pid'), { force: true })
        return null
      }
    }
    if (performance.now() > deadline)
      throw embeddedError(
        `processes of an earlier server still work in ${path} (${describeProcesses(file, await processesIn(path))})`,
        'wait until they have ended, or end them, then start again',
        { log: endOfLog(path) },
      )
    await sleep(50)
  }
}

function describeProcesses(file: PidFile | null, left: readonly number[] | null): string {
  if (left && left.length > 0) return `process ${left.join(', ')}`
  return file ? `process ${file.pid}, ${file.status || 'starting'}` : 'unknown'
}

async function choosePort(dataDir: DataDir, wanted: number | null): Promise<number> {
  if (wanted !== null) {
    if (await isPortFree(wanted)) return wanted
    throw portTaken(wanted)
  }
  if (dataDir.lastPort !== null && (await isPortFree(dataDir.lastPort))) return dataDir.lastPort
  return anyFreePort()
}

function portTaken(port: number): TidemarkError {
  return embeddedError(
    `port ${port} on ${host} is taken by another program`,
    'give another port, or none to have a free one chosen',
  )
}

async function launch(
  dataDir: DataDir,
  bin: string,
  port: number,
  options: Settled,
): Promise<ServerProcess | { readonly problem: string }> {
  const settings = { ...settingsFor(thisMachine()), ...options.settings }
  await replaceFile(join(dataDir.path, settingsFileName), formatSettings(settings), dataDir.account)
  const fixed = { port: String(port), listen_addresses: host, unix_socket_directories: '' }
  return ServerProcess.start({
    bin,
    dataDir: dataDir.path,
    account: dataDir.account,
    args: Object.entries(fixed).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
    startTimeoutMs: options.startTimeoutMs,
  })
}

async function own(
  server: ServerProcess,
  dataDir: DataDir,
  port: number,
  options: Settled,
  version: string,
): Promise<EmbeddedServer> {
  await makeDatabase(dataDir, port, options.database)
  await rememberPort(dataDir, port)
  let stopping: Promise<void> | null = null
  const stop = () => {
    stopping ??= server.stop(options.stopTimeoutMs).then((inTime) => {
      if (inTime) return
      throw embeddedError(
        `the server in ${dataDir.path} did not shut down within ${options.stopTimeoutMs} ms and was ended`,
        'nothing acknowledged is lost: the next start recovers it',
        { log: endOfLog(dataDir.path) },
      )
    })
    return stopping
  }
  return face(dataDir, port, options.database, version, true, stop)
}

async function attach(
  dataDir: DataDir,
  running: PidFile,
  options: Settled,
  version: string,
): Promise<EmbeddedServer> {
  const at = `(process ${running.pid}, port ${running.port})`
  if (!options.reuse)
    throw embeddedError(
      `a server already runs in ${dataDir.path} ${at}`,
      'stop the process that started it, start with reuse: true to share it, or give another data directory',
    )
  if (options.port !== null && options.port !== running.port)
    throw embeddedError(
      `a server already runs in ${dataDir.path} ${at}, not on port ${options.port}`,
      'leave the port out to share it, or stop it first',
    )
  await makeDatabase(dataDir, running.port, options.database)
  return face(dataDir, running.port, options.database, version, false, async () => {})
}

function face(
  dataDir: DataDir,
  port: number,
  database: string,
  version: string,
  isOwner: boolean,
  stop: () => Promise<void>,
): EmbeddedServer {
  return Object.freeze({
    connectionString: urlOf(dataDir, port, database),
    port,
    dataDir: dataDir.path,
    version,
    isOwner,
    stop,
    [Symbol.asyncDispose]: stop,
  })
}

function urlOf({ password }: DataDir, port: number, database: string): string {
  return `postgres://${userName}:${password}@${host}:${port}/${encodeURIComponent(database)}`
}

async function makeDatabase(dataDir: DataDir, port: number, database: string): Promise<void> {
  const db = createDatabase({ connectionString: urlOf(dataDir, port, 'postgres'), max: 1 })
  try {
    const { rows } = await db.query(sql`select 1::int4 from pg_database where datname = ${database}::text`)
    if (rows.length === 0) await db.execute(sql`create database ${identifier(database)}`)
  } catch (cause) {
    // Two that share the server make it at the same moment: 42P04, or 23505 on the catalog's own index.
    const state = sqlstateOf(cause)
    if (state === '42P04' || state === '23505') return
    throw embeddedError(
      `the server in ${dataDir.path} started, but its database "${database}" cannot be used: ${(cause as Error).message}`,
      'correct what the message names',
      { cause, log: endOfLog(dataDir.path) },
    )
  } finally {
    await db.close()
  }
}
