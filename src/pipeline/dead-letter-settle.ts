import type { OnConflict } from '../hot/index.ts'
import type { Connection } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import type { RejectedRow } from './contract.ts'
import type { StoredRow } from './dead-letter-patch.ts'
import { deleteLetters, lettersOf, lockLetters, type ReadLetter, updateLetters } from './dead-letter-store.ts'

/** Letters whose rows go to the pipeline together. */
export interface Replayed {
  readonly definition: StoredDefinition
  readonly tenant: string | null
  readonly onConflict: OnConflict
  readonly batch: { readonly letter: ReadLetter; readonly row: StoredRow }[]
}

/** In the transaction of the rows: their letters go, those of rows that were refused again say why. */
export async function settle(
  connection: Connection,
  batch: Replayed['batch'],
  refused: readonly RejectedRow[],
): Promise<void> {
  await lockLetters(
    connection,
    batch.map(({ letter }) => letter),
  )
  const stays = new Set(refused.map(({ index }) => index))
  const ids = batch.flatMap(({ letter }, at) => (stays.has(at) ? [] : [letter.id]))
  if (ids.length > 0) await deleteLetters(connection, lettersOf(ids))
  await updateLetters(
    connection,
    refused.map(({ index, ...problem }) => ({ id: batch[index]!.letter.id, raw: null, problem })),
  )
}
