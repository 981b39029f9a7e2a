import { isTidemarkError, TidemarkError } from '../util/errors.ts'

/** The fields of PostgreSQL's ErrorResponse that decide what an error means. */
interface ServerError extends Error {
  readonly code: string
  readonly severity: string
  readonly detail?: string
  readonly schema?: string
  readonly table?: string
  readonly constraint?: string
  /** Where in the server's source it was raised. */
  readonly routine?: string
}

/** What is known about a statement when it fails. */
export interface ErrorContext {
  /** `postgres://user@host:port/database`, without password. */
  readonly target: string
  /** Our own statement_timeout, when one is set. */
  readonly statementTimeoutMs?: number | null
}

const connectionStates = /^(08|57P0[1235]|28|3D000|53300)/
const networkCodes = /^(E(CONN|HOST|NET|PIPE|TIMEDOUT|AI_|NOTFOUND|ADDR)|ERR_(TLS|SSL|SOCKET|STREAM))/

/**
 * The SQLSTATE of an error or of what caused it, or null when PostgreSQL did not raise it.
 *
 * @example
 * if (sqlstateOf(error) === '42P01') …
 */
export function sqlstateOf(error: unknown): string | null {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 10; at = at.cause, depth += 1) {
    if (isServerError(at)) return at.code
    if (isTidemarkError(at) && at.code === 'TM_DATABASE') return (at.params as { sqlstate: string }).sqlstate
  }
  return null
}

/**
 * Whether what the connection kept parsed is gone (DISCARD ALL), or gives other columns by now (a migration): it has been forgotten, so
 * that the same transaction succeeds when it is run again.
 */
export function isStaleStatement(error: unknown): boolean {
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 10; at = at.cause, depth += 1)
    if (isServerError(at))
      return at.code === '26000' || (at.code === '0A000' && at.routine === 'RevalidateCachedQuery')
  return false
}

export function isServerError(error: unknown): error is ServerError {
  if (!(error instanceof Error)) return false
  const candidate = error as Partial<ServerError>
  return typeof candidate.severity === 'string' && /^[0-9A-Z]{5}$/.test(String(candidate.code))
}

/** Gives an error of pg its Tidemark code; the original stays reachable as `cause`. Told apart by SQLSTATE only. */
export function translateError(error: unknown, context: ErrorContext): TidemarkError {
  if (isTidemarkError(error)) return error
  const cause = error instanceof Error ? error : new Error(String(error))
  if (!isServerError(cause)) return connectFailure(cause, context)
  const { code } = cause
  const table = cause.table ? [cause.schema, cause.table].filter(Boolean).join('.') : 'the database'
  if (code === '23505') {
    const detail = cause.detail ?? cause.message
    return new TidemarkError('TM_DUPLICATE_KEY', { table, detail: trimPeriod(detail) }, { cause })
  }
  if (code.startsWith('23')) {
    const constraint = cause.constraint ?? (code === '23502' ? 'not null' : 'unnamed')
    return new TidemarkError('TM_CONSTRAINT', { table, constraint, detail: cause.message }, { cause })
  }
  if (code === '57014' && context.statementTimeoutMs)
    return new TidemarkError(
      'TM_TIMEOUT',
      { what: 'the statement', limitMs: context.statementTimeoutMs },
      { cause },
    )
  if (connectionStates.test(code)) return connectFailure(cause, context)
  return new TidemarkError('TM_DATABASE', { sqlstate: code, problem: cause.message }, { cause })
}

/** What an aborted call is answered with: the signal's own reason where that is one of our errors. */
export function cancelledError(signal: AbortSignal, what: string, cause?: unknown): TidemarkError {
  if (signal.reason instanceof TidemarkError) return signal.reason
  return new TidemarkError('TM_CANCELLED', { what }, { cause: cause ?? signal.reason })
}

/** What a login that was refused takes. The server refuses it the same way when it is tried again. */
const loginStates: Readonly<Record<string, string>> = {
  '28P01': 'correct the user or the password in DATABASE_URL',
  '28000':
    'correct the user in DATABASE_URL, or let pg_hba.conf of the server take it from this machine (sslmode=require?)',
  '3D000': 'create that database (create database …), or name another one in DATABASE_URL',
}

export function connectFailure(
  cause: Error,
  context: ErrorContext,
): TidemarkError<'TM_CONNECT'> | TidemarkError<'TM_LOGIN'> {
  const todo = isServerError(cause) ? loginStates[cause.code] : undefined
  if (todo !== undefined)
    return new TidemarkError('TM_LOGIN', { target: context.target, problem: cause.message, todo }, { cause })
  return new TidemarkError('TM_CONNECT', { target: context.target, problem: describe(cause) }, { cause })
}

/** Node joins the failures of several addresses in one AggregateError with an empty message. */
function describe(error: Error): string {
  if (error instanceof AggregateError && error.message === '')
    return error.errors.map((each) => (each as Error).message).join('; ')
  return error.message
}

export function isNetworkError(error: unknown): boolean {
  return error instanceof Error && networkCodes.test(String((error as { code?: unknown }).code))
}

function trimPeriod(text: string): string {
  return text.replace(/\.$/, '')
}
