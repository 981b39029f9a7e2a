import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createTidemark, type Tidemark } from '../engine.ts'
import type { EmbeddedServer } from '../postgres/embedded/index.ts'
import { startEmbedded } from '../postgres/embedded/index.ts'
import { createDatabase, type Database } from '../postgres/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import { type Audited, createAudited } from './audited.ts'
import { holdSession } from './hold-session.ts'
import { type LoadedConfig, loadConfig } from './load-config.ts'
import { createOutput, exitCodes, Interrupted, type Output, type StopSignal } from './output.ts'

export interface GlobalOptions {
  readonly config?: string
  readonly json?: boolean
}

export interface CommandContext extends LoadedConfig {
  readonly output: Output
  /** Aborted by the first Ctrl-C or SIGTERM; a second one ends the process at once. */
  readonly signal: AbortSignal
  readonly tm: Tidemark
  /** Does an administrative act, and notes it in the audit log. */
  readonly audited: Audited
  /** Null when DATABASE_URL names the server. */
  readonly embedded: EmbeddedServer | null
}

/**
 * Lends a command everything it needs and gives it back in reverse, whatever happens: configuration, PostgreSQL
 * (DATABASE_URL, the configuration's, or the embedded one beside the configuration, started when it does not run yet) and the engine.
 */
export async function withContext<T>(
  options: GlobalOptions,
  use: (context: CommandContext) => Promise<T>,
): Promise<T> {
  const loaded = await loadConfig(options.config, process.cwd())
  const output = createOutput(options.json === true)
  const interruption = listenForInterruption()
  try {
    const database = await openDatabase(loaded, output)
    try {
      const { connectionString, embedded } = database
      await using _held = await holdSession(embedded && !embedded.isOwner ? connectionString : null)
      const tm = await createTidemark(loaded.config, { connectionString, root: loaded.root })
      try {
        const audited = createAudited(tm, output)
        const { signal } = interruption
        return await use({ ...loaded, output, signal, tm, audited, embedded: database.embedded })
      } finally {
        await tm.close()
      }
    } finally {
      if (database.embedded) await stopWhenUnused(database.embedded, output)
    }
  } catch (error) {
    throw interruption.explain(error)
  } finally {
    interruption.end()
  }
}

async function openDatabase(
  loaded: LoadedConfig,
  output: Output,
): Promise<{ connectionString: string; embedded: EmbeddedServer | null }> {
  const url = process.env['DATABASE_URL'] || loaded.config.database.url
  if (url) return { connectionString: url, embedded: null }
  const dataDir = resolve(loaded.root, loaded.config.database.dir)
  const embedded = await startEmbedded({ dataDir, reuse: true })
  output.note(`embedded PostgreSQL ${embedded.version} on 127.0.0.1:${embedded.port}, data in ${dataDir}`)
  return { connectionString: embedded.connectionString, embedded }
}

/**
 * Other commands may share the server that this one started: it stops when the last of them has left. They are known
 * by the name of their sessions. An interrupted command waits too, or its Ctrl-C would cut off an import in another terminal;
 * a second Ctrl-C ends it at once.
 */
async function stopWhenUnused(embedded: EmbeddedServer, output: Output): Promise<void> {
  if (embedded.isOwner) {
    const db = createDatabase({ connectionString: embedded.connectionString, max: 1 })
    try {
      for (let isTold = false; (await countSessions(db)) > 0; await sleep(200)) {
        if (!isTold) output.note('other commands use this server; it stops after them (Ctrl-C stops it now)')
        isTold = true
      }
    } finally {
      await db.close()
    }
  }
  await embedded.stop()
}

async function countSessions(db: Database): Promise<number> {
  const { rows } = await db.query(sql`
    select count(*)::int4
    from pg_stat_activity
    where application_name = 'tidemark' and backend_type = 'client backend' and pid <> pg_backend_pid()`)
  return rows[0]?.[0] as number
}

interface Interruption {
  readonly signal: AbortSignal
  /** What a command that was interrupted has ended with is not a mistake of its caller. */
  explain(error: unknown): unknown
  end(): void
}

function listenForInterruption(): Interruption {
  const controller = new AbortController()
  let received: StopSignal | null = null
  const onSignal = (name: StopSignal): void => {
    if (received !== null) process.exit(exitCodes[name])
    received = name
    controller.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return {
    signal: controller.signal,
    explain: (error) =>
      received !== null && isTidemarkError(error) && error.code === 'TM_CANCELLED'
        ? new Interrupted(received, error)
        : error,
    end() {
      process.off('SIGINT', onSignal)
      process.off('SIGTERM', onSignal)
    },
  }
}

/** Resolves when the signal is aborted. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((done) => {
    if (signal.aborted) done()
    else signal.addEventListener('abort', () => done(), { once: true })
  })
}
