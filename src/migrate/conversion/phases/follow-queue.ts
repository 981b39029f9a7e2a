import { type Connection, retry, sqlstateOf } from '../../../postgres/index.ts'
import { TidemarkError } from '../../../util/errors.ts'
import { inTransaction, isLockProblem } from '../../transaction.ts'
import { catchUp } from '../queue.ts'
import type { Conversion } from '../record.ts'
import type { ConversionRun } from '../run.ts'
import type { Source } from '../source.ts'

export function followQueue(
  run: ConversionRun,
  connection: Connection,
  conversion: Conversion,
  source: Source,
): Promise<bigint> {
  const options = { mode: 'repeatable read', lockTimeoutMs: run.settings.lockTimeoutMs } as const
  return explainRows(run, async () => {
    const { entries } = await catchUp(
      connection,
      conversion,
      run.definition,
      source,
      run.settings.batchRows,
      async (attempt) => {
        run.assertGoing()
        await retrySerialization(run, () => inTransaction(connection, options, attempt))
      },
    )
    return entries
  })
}

export function retrySerialization(run: ConversionRun, attempt: () => Promise<void>): Promise<void> {
  return retry({ what: run.what, tries: 20, signal: run.signal, isRetryable: isLockProblem }, attempt)
}

/** Rows that fit the source need not fit what was declared: a key that the source does not have, for example. */
export async function explainRows<T>(run: ConversionRun, use: () => Promise<T>): Promise<T> {
  try {
    return await use()
  } catch (error) {
    if (!sqlstateOf(error)?.startsWith('23')) throw error
    throw new TidemarkError(
      'TM_MIGRATION',
      {
        problem: `rows of ${run.definition.name} that were written during the conversion do not fit: ${(error as Error).message}`,
        todo: 'correct them in the table, which is still the old one, and migrate again: the conversion goes on',
      },
      { cause: error },
    )
  }
}
