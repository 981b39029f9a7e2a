import type { CanonicalRow, StoredDefinition } from '../schema/index.ts'

/** In bytes at most four times as many: an entry of an index has room for 2,700. */
export const maxEventIdChars = 500

/** Where a row's event id is; null: the dataset knows none. */
export function eventIdPlace(definition: StoredDefinition): number | null {
  if (definition.kind !== 'hypertable' || definition.dedupe === null) return null
  return Object.keys(definition.columns).indexOf(definition.dedupe.by)
}

/** Null where PostgreSQL makes it, too: such an id is new. */
export function eventIdOf(row: CanonicalRow, place: number): string | null {
  const value = row[place]
  return value === null || value === undefined ? null : String(value)
}
