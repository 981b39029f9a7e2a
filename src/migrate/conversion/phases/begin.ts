import { sqlstateOf } from '../../../postgres/index.ts'
import { isTidemarkError, TidemarkError } from '../../../util/errors.ts'
import { findBlockers } from '../blockers.ts'
import { createQueue } from '../queue.ts'
import { insertConversion } from '../record.ts'
import type { ConversionRun } from '../run.ts'
import { createShadow, createTimeIndex, shadowIndexes } from '../shadow.ts'
import type { Source } from '../source.ts'
import { lockAllStatement, swap } from '../swap.ts'

/**
 * Nothing is written before everything that could stand in the way was looked at, and the whole way was gone once
 * with an empty table, up to the swap, and rolled back.
 */
export async function beginConversion(run: ConversionRun): Promise<void> {
  run.tell('preparing')
  const source = await run.readSource()
  const blockers = await findBlockers(run.connection, run.definition, source)
  if (blockers.length === 0) blockers.push(...(await rehearse(run, source)))
  if (blockers.length > 0) throw blocked(run, blockers)
  try {
    await run.transaction(() => insertConversion(run.connection, run.definition, source.oid, source.shape))
  } catch (error) {
    // Another process began at the same moment; go on with what it began.
    if (!isTidemarkError(error) || error.code !== 'TM_DUPLICATE_KEY') throw error
  }
}

function blocked(run: ConversionRun, blockers: readonly string[]): TidemarkError {
  return new TidemarkError('TM_MIGRATION', {
    problem:
      `${run.definition.name} cannot be converted into a hypertable as it is:\n` +
      blockers.map((problem) => `  - ${problem}`).join('\n'),
    todo: 'nothing has been changed; settle these and migrate again',
  })
}

async function rehearse(run: ConversionRun, source: Source): Promise<string[]> {
  const rollback = Symbol('rollback')
  try {
    await run.patiently(`rehearsing the conversion of ${run.definition.name}`, 'preparing', () =>
      run.transaction(async () => {
        const connection = run.connection
        await connection.execute(lockAllStatement(run.definition))
        await insertConversion(connection, run.definition, source.oid, source.shape)
        const row = (await run.find())!
        const hypertableId = await createShadow(connection, row, run.definition, source)
        const conversion = { ...row, hypertableId }
        await createQueue(connection, conversion, run.definition, source)
        await createTimeIndex(connection, conversion, run.definition)
        for (const index of shadowIndexes(conversion, run.definition, source))
          await connection.execute(index.statement)
        await swap(connection, conversion, run.definition, source)
        throw rollback
      }),
    )
  } catch (error) {
    if (error === rollback) return []
    const state = sqlstateOf(error)
    // What PostgreSQL refuses to do to an empty table it would refuse later, too.
    if (state !== null && /^(0A|2B|22|23|42|55000)/.test(state))
      return [`PostgreSQL refuses: ${(error as Error).message}`]
    throw error
  }
  return []
}
