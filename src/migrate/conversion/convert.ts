import type { Database } from '../../postgres/index.ts'
import type { HypertableDefinition } from '../../schema/index.ts'
import { unreachable } from '../../util/unreachable.ts'
import { withMigrationLock } from '../transaction.ts'
import type { ConvertOptions } from './options.ts'
import { beginConversion } from './phases/begin.ts'
import { dropConversion } from './phases/cancel.ts'
import { copyRows } from './phases/copy.ts'
import { finishConversion } from './phases/finish.ts'
import { indexConversion } from './phases/index-shadow.ts'
import { prepareConversion } from './phases/prepare.ts'
import { catchUpAndSwap } from './phases/swap.ts'
import type { Conversion, ConversionState } from './record.ts'
import { ConversionRun } from './run.ts'

export interface ConversionReport {
  readonly relation: string
  readonly rowsCopied: bigint
  /** How often the swap was tried. 0 when an earlier run had swapped. */
  readonly swapTries: number
  /** ms that writers and readers were kept out at the swap; null when an earlier run had swapped. */
  readonly writersHeldMs: number | null
  readonly readersHeldMs: number | null
  /** The old table, or null when it was dropped. */
  readonly keptAs: string | null
  /** What is left: older transactions still run; the next migration finishes. Null when nothing is. */
  readonly unfinished: string | null
}

/**
 * Turns an existing table with rows into a hypertable, in place, while it is read and written. Can be killed at any
 * instruction and called again; several calls at once exclude each other. See docs/design/conversion.md.
 *
 * Needs a pool of at least two connections to the server itself, not through PgBouncer.
 *
 * @example
 * const report = await convertTable(db, requests, { onProgress: ({ phase, rowsCopied }) => show(phase, rowsCopied) })
 *
 * Errors: TM_MIGRATION with the list of what stands in the way (before anything is begun), TM_BUSY when the locks
 * were not to be had or another process converts, TM_CANCELLED.
 */
export async function convertTable(
  db: Database,
  definition: HypertableDefinition,
  options: ConvertOptions = {},
): Promise<ConversionReport> {
  const lock = { what: `converting ${definition.name}`, waitMs: 2_000, signal: options.signal ?? null }
  return withMigrationLock(db, conversionLock(definition), lock, (connection) =>
    convert(new ConversionRun(db, connection, definition, options)),
  )
}

/**
 * Takes everything back that a conversion has begun: triggers, queue, copied rows. The source stays as it is.
 * Does nothing when there is none; refuses after the swap (TM_MIGRATION).
 */
export async function cancelConversion(
  db: Database,
  definition: HypertableDefinition,
  options: Pick<ConvertOptions, 'lockTimeoutMs' | 'patienceMs' | 'signal'> = {},
): Promise<boolean> {
  const lock = {
    what: `cancelling the conversion of ${definition.name}`,
    waitMs: 2_000,
    signal: options.signal ?? null,
  }
  return withMigrationLock(db, conversionLock(definition), lock, (connection) =>
    cancel(new ConversionRun(db, connection, definition, options)),
  )
}

/** Of `withMigrationLock`: one lock for each table. */
function conversionLock(definition: HypertableDefinition): readonly [number, number] {
  let hash = 0
  for (const character of definition.name) hash = (Math.imul(hash, 31) + character.codePointAt(0)!) | 0
  return [0x74696466, hash]
}

/** What a run does in each state before the last; it then reads the state again. */
const phases: Readonly<
  Record<Exclude<ConversionState, 'finishing'>, (run: ConversionRun, conversion: Conversion) => Promise<void>>
> = {
  preparing: prepareConversion,
  copying: copyRows,
  indexing: indexConversion,
  'catching-up': catchUpAndSwap,
  done: async () => {},
  cancelled: async () => {},
}

/** From where an earlier run has left it to its end. */
async function convert(run: ConversionRun): Promise<ConversionReport> {
  if (!(await run.find())) await beginConversion(run)
  for (;;) {
    run.assertGoing()
    const conversion = (await run.find()) ?? unreachable('a conversion that was begun is gone')
    run.rowsCopied = conversion.rowsCopied
    if (conversion.state !== 'finishing') {
      await phases[conversion.state](run, conversion)
      continue
    }
    const unfinished = await finishConversion(run, conversion)
    const isKept = !run.settings.dropOld || unfinished !== null
    return {
      relation: run.definition.name,
      rowsCopied: run.rowsCopied,
      swapTries: run.swapTries,
      writersHeldMs: run.writersHeldMs,
      readersHeldMs: run.readersHeldMs,
      keptAs: isKept ? `${conversion.schema}.${conversion.oldTable}` : null,
      unfinished,
    }
  }
}

async function cancel(run: ConversionRun): Promise<boolean> {
  const conversion = await run.find()
  if (!conversion) return false
  await dropConversion(run, conversion)
  return true
}
