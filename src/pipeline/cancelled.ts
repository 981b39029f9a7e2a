import { isTidemarkError, TidemarkError } from '../util/errors.ts'

/** What an aborted call is answered with: the signal's own reason where that is one of our errors. */
export function cancelledError(signal: AbortSignal): TidemarkError {
  if (isTidemarkError(signal.reason)) return signal.reason
  return new TidemarkError('TM_CANCELLED', { what: 'writing rows' }, { cause: signal.reason })
}
