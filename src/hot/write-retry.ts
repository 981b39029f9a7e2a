import { isRetryable, retry, sqlstateOf } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { ColdNeed, type ColdRows } from './cold-contract.ts'
import { triesBeforeDetour } from './copy-chunks.ts'
import { isMoved, isRefusedByGuard, StaleRouting } from './write-errors.ts'
import type { WriteTargets } from './write-targets.ts'

export interface WriteRetryOptions {
  readonly tries: number
  readonly random: (() => number) | undefined
  readonly targets: WriteTargets
  /** Null: a write that meets a guard of cold rows fails. */
  readonly cold: ColdRows | null
}

/** Runs a write again when it met a lock, a conflict, a chunk that has moved, or rows that are in the lake. */
export class WriteRetry {
  readonly #options: WriteRetryOptions

  constructor(options: WriteRetryOptions) {
    this.#options = options
  }

  /** `attempt` is told whether a guard of cold rows has refused the one before. */
  async run<T>(
    what: string,
    definition: StoredDefinition,
    signal: AbortSignal | null,
    attempt: (n: number, wasRefused: boolean) => Promise<T>,
  ): Promise<T> {
    const { tries, random, cold, targets } = this.#options
    let isFinal = false
    let wasRefused = false
    return retry(
      {
        what,
        tries,
        signal,
        isRetryable: (error) => !isFinal && (isMoved(error) || isRetryable(error)),
        ...(random ? { random } : {}),
      },
      async (n) => {
        try {
          return await attempt(n, wasRefused)
        } catch (error) {
          if (cold !== null && definition.kind === 'hypertable') {
            if (error instanceof ColdNeed) {
              await cold.makeRoom(definition, error, signal)
              throw new StaleRouting()
            }
            if (isRefusedByGuard(error) && !wasRefused) {
              wasRefused = true
              targets.forget()
              throw new StaleRouting()
            }
          }
          if (!isMoved(error)) throw error
          targets.forget()
          if (n < triesBeforeDetour || error instanceof StaleRouting) throw error
          // A table that is really not there stays so.
          isFinal = true
          if (sqlstateOf(error) !== '42P01') throw error
          throw new TidemarkError(
            'TM_MIGRATION',
            { problem: `${what} failed: ${(error as Error).message}`, todo: 'run `tidemark migrate`' },
            { cause: error },
          )
        }
      },
    )
  }
}
