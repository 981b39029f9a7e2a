import { isTidemarkError, TidemarkError } from '../util/errors.ts'

/** What an aborted call is answered with: the signal's own reason where that is one of our errors. */
export function cancelledError(signal: AbortSignal): TidemarkError {
  if (isTidemarkError(signal.reason)) return signal.reason
  return new TidemarkError('TM_CANCELLED', { what: 'writing rows' }, { cause: signal.reason })
}

/**
 * Waits for somebody else's work, which goes on when the signal aborts.
 *
 * @throws TidemarkError TM_CANCELLED
 */
export async function untilAborted(work: Promise<unknown>, signal: AbortSignal | null): Promise<void> {
  if (signal === null) return void (await work)
  if (signal.aborted) throw cancelledError(signal)
  let leave = (): void => {}
  const aborted = new Promise<never>((_, reject) => {
    leave = () => reject(cancelledError(signal))
    signal.addEventListener('abort', leave)
  })
  try {
    await Promise.race([work, aborted])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}
