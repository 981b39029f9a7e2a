import { TidemarkError } from './errors.ts'

/**
 * Raises TM_INTERNAL where the code itself must be wrong for the place to be reached. `what` says what was found: it is
 * the cause of the error, for logs, and reaches no client.
 *
 * @example
 * if (row === null) unreachable(`row ${line} was read in two ways`)
 */
export function unreachable(what: string): never {
  throw new TidemarkError(
    'TM_INTERNAL',
    { id: globalThis.crypto.randomUUID() },
    { cause: new UnreachableError(what) },
  )
}

class UnreachableError extends Error {
  override readonly name = 'UnreachableError'
}
