import type { HypertableDefinition } from '../schema/index.ts'
import { formatInstant, type TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'

/** Where `late: 'merge'` is declared, for rows whose keys would have to be compared with those of rows that are gone. */
export const mergedByInsert = 'insert it without onConflict: then it is merged into the continuous aggregates'

/** @param todo What else can be done than the message says in general. */
export function expired(
  definition: HypertableDefinition,
  what: string,
  { from, to }: TimeRange,
  todo?: string,
): TidemarkError<'TM_EXPIRED'> {
  return new TidemarkError('TM_EXPIRED', {
    table: definition.name,
    what,
    from: formatInstant(from),
    to: formatInstant(to),
    ...(todo === undefined ? {} : { todo }),
  })
}
