import type { Overview } from 'tidemark/client'
import { formatBytes, formatMs, formatNumber, formatPercent } from '../../format/index.ts'
import { pageFor } from '../operate/advice-text.ts'

/** Something that somebody should look at, and what he does about it. */
export interface Concern {
  readonly level: 'error' | 'warn'
  readonly subject: string
  readonly message: string
  readonly doNext: string | null
  readonly page: { readonly to: string; readonly label: string } | null
}

/** Shares of a limit from which on something is near it, and at it. */
const nearly = 0.8
const full = 0.95

const lags = { feedMs: 60_000, spoolMs: 60_000 }

/** What the server has found, and what its figures say, the worst first; each with a way out. */
export function concernsOf(overview: Overview): Concern[] {
  const found = overview.findings
    .filter(({ level }) => level === 'error' || level === 'warn')
    .map(
      ({ level, subject, message, doNext }): Concern => ({
        level: level === 'error' ? 'error' : 'warn',
        subject,
        message,
        doNext,
        page: pageFor(subject),
      }),
    )
  const told = new Set(found.map(({ subject }) => subject))
  const figures = figuresOf(overview).filter(({ subject }) => !told.has(subject))
  return [...found, ...figures].sort((a, b) => Number(b.level === 'error') - Number(a.level === 'error'))
}

function figuresOf({ postgres, pool, queries, writes, ingest, syncLag, redis }: Overview): Concern[] {
  const concerns: Concern[] = []
  const add = (
    level: Concern['level'],
    subject: string,
    message: string,
    doNext: string,
    page: Concern['page'] = null,
  ): void => {
    concerns.push({ level, subject, message, doNext, page })
  }
  if (!postgres.reachable)
    add(
      'error',
      'database',
      `PostgreSQL at ${postgres.target} cannot be reached.`,
      'see that it runs, then run `tidemark doctor`',
    )
  if (pool.waiting > 0)
    add(
      'warn',
      'connections',
      `${formatNumber(pool.waiting)} wait for one of ${formatNumber(pool.max)} connections.`,
      'look at the slow queries below; when none is to blame, raise `database.maxConnections`',
    )
  if (queries.errors > 0)
    add(
      'warn',
      'queries',
      `${formatNumber(queries.errors)} failed in the last 5 minutes, and not for what was asked.`,
      'slow queries below tell the outcome of those that took long; the server’s log has every one',
    )
  if (writes.errors > 0)
    add(
      'warn',
      'writes',
      `${formatNumber(writes.errors)} failed in the last 5 minutes, and not for what was sent.`,
      'see the server’s log; senders of Tidemark’s client try again by themselves',
    )
  const memory = share(ingest.waitingBytes, ingest.maxWaitingBytes)
  if (memory >= nearly)
    add(
      memory >= full ? 'error' : 'warn',
      'ingest',
      `${formatBytes(ingest.waitingBytes)} of ${formatBytes(ingest.maxWaitingBytes)} wait for PostgreSQL: ${formatPercent(memory)}. When it is full, senders are told to wait.`,
      'see what holds PostgreSQL up: `tidemark doctor`',
    )
  const disk = share(ingest.spoolBytes, ingest.maxSpoolBytes)
  if (disk >= nearly)
    add(
      disk >= full ? 'error' : 'warn',
      'spool',
      `The spool holds ${formatBytes(ingest.spoolBytes)} of ${formatBytes(ingest.maxSpoolBytes)}. When it is full, rows are refused while PostgreSQL is away.`,
      'see that PostgreSQL takes rows: `tidemark doctor`; then raise `ingest.spool.maxBytes`',
    )
  if ((syncLag.spoolMs ?? 0) > lags.spoolMs)
    add(
      'warn',
      'spool',
      `Rows have waited in the spool for ${formatMs(syncLag.spoolMs)}.`,
      'see that PostgreSQL takes rows: `tidemark doctor`',
    )
  if ((syncLag.feedMs ?? 0) > lags.feedMs)
    add(
      'warn',
      'feed',
      `Live answers are ${formatMs(syncLag.feedMs)} behind.`,
      'look for a long transaction, which holds the change log back: `tidemark doctor`',
    )
  if (redis !== null && !redis.isUp)
    add(
      'warn',
      'redis',
      'Redis cannot be reached. Answers stay right; servers share neither answers nor rates of callers.',
      'see that it runs, and that `cache.redis` is right',
    )
  return concerns
}

/** Of a limit; 0 where there is none. */
export function share(part: number, whole: number): number {
  return whole > 0 ? part / whole : 0
}

export function statusOf(part: number, whole: number): 'ok' | 'warn' | 'error' {
  const of = share(part, whole)
  return of >= full ? 'error' : of >= nearly ? 'warn' : 'ok'
}
