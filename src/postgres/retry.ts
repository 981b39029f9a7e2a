import { TidemarkError } from '../util/errors.ts'
import { cancelledError, isNetworkError, isStaleStatement, sqlstateOf } from './translate-error.ts'

const readOnlyState = '25006'

/** SQLSTATEs after which the same transaction may succeed when it is run again from its start. */
export const retryableStates: Readonly<Record<string, string>> = Object.freeze({
  '40001': 'serialization failure',
  '40P01': 'deadlock',
  '55P03': 'lock not available within lock_timeout',
  '55006': 'object in use',
  [readOnlyState]: 'the server became read-only: the connection is to a demoted primary',
  '08000': 'connection exception',
  '08001': 'the connection could not be made',
  '08003': 'the connection does not exist',
  '08004': 'the server rejected the connection',
  '08006': 'the connection failed',
  '57P01': 'the server is being shut down',
  '57P02': 'the server crashed',
  '57P03': 'the server is not ready',
  '57P05': 'the connection was idle for too long',
  '53300': 'too many connections',
})

/** Whether running the same transaction again can help. Never where it is unknown if a commit went through. */
export function isRetryable(error: unknown): boolean {
  if (error instanceof TidemarkError && error.code === 'TM_COMMIT_UNKNOWN') return false
  if (isStaleStatement(error)) return true
  const state = sqlstateOf(error)
  if (state !== null) return Object.hasOwn(retryableStates, state)
  return error instanceof TidemarkError
    ? error.code === 'TM_CONNECT' && !(error.cause instanceof TidemarkError)
    : isNetworkError(error)
}

export interface RetryOptions {
  /** For the message: "attaching a chunk". */
  readonly what: string
  /** Tries altogether; default 8. */
  readonly tries?: number
  /** ms before the second try at most; doubles each time. Default 50. */
  readonly baseMs?: number
  /** ms between tries at most; default 2,000. */
  readonly maxMs?: number
  readonly signal?: AbortSignal | null
  readonly isRetryable?: (error: unknown) => boolean
  /** In [0, 1); default Math.random. */
  readonly random?: () => number
  readonly sleep?: (ms: number, signal: AbortSignal | null) => Promise<void>
}

const retryDefaults = Object.freeze({ tries: 8, baseMs: 50, maxMs: 2_000 })

/**
 * Runs `attempt` until it succeeds, fails for good, or the tries are used up (TM_BUSY, or TM_READ_ONLY,
 * with the last error as cause).
 * Waits a random part of an exponentially growing limit in between ("full jitter", Brooker 2015), so that those who
 * collided do not collide again.
 *
 * @example
 * await retry({ what: 'attaching a chunk' }, () => db.transaction({ lockTimeoutMs: 200 }, attach))
 */
export async function retry<T>(options: RetryOptions, attempt: (n: number) => Promise<T>): Promise<T> {
  const { tries, baseMs, maxMs } = { ...retryDefaults, ...withoutUndefined(options) }
  const random = options.random ?? Math.random
  const sleep = options.sleep ?? sleepFor
  const mayRetry = options.isRetryable ?? isRetryable
  const signal = options.signal ?? null
  for (let n = 1; ; n += 1) {
    if (signal?.aborted) throw cancelledError(signal, options.what)
    try {
      return await attempt(n)
    } catch (error) {
      if (!mayRetry(error)) throw error
      if (n >= tries) {
        const lastProblem = error instanceof Error ? error.message : String(error)
        if (sqlstateOf(error) === readOnlyState)
          throw new TidemarkError(
            'TM_READ_ONLY',
            { what: options.what, problem: lastProblem },
            { cause: error },
          )
        throw new TidemarkError('TM_BUSY', { what: options.what, tries: n, lastProblem }, { cause: error })
      }
    }
    await sleep(random() * Math.min(maxMs, baseMs * 2 ** (n - 1)), signal)
  }
}

function withoutUndefined(options: RetryOptions): { tries?: number; baseMs?: number; maxMs?: number } {
  const { tries, baseMs, maxMs } = options
  return {
    ...(tries === undefined ? {} : { tries }),
    ...(baseMs === undefined ? {} : { baseMs }),
    ...(maxMs === undefined ? {} : { maxMs }),
  }
}

/** Ends early, without an error, when the signal aborts: the loop then answers. */
function sleepFor(ms: number, signal: AbortSignal | null): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal?.addEventListener('abort', end, { once: true })
  })
}
