import { createHash } from 'node:crypto'
import type { CanonicalRow, StoredDefinition } from '../schema/index.ts'

/** In bytes at most four times as many: an entry of an index has room for 2,700. */
export const maxEventIdChars = 500

/** Longer names of tenants are known by their digest. */
const maxTenantChars = 64

/** The event ids of a dataset. */
export interface EventIds {
  /** Where they are in a row. */
  readonly place: number
  /**
   * What is remembered of a row: its id, of a table with tenants together with whose it is, because two of them may use the same
   * ids. Null where PostgreSQL makes the id, too: such an id is new.
   */
  of(row: CanonicalRow): string | null
}

/** Null: the dataset knows none. */
export function eventIdsOf(definition: StoredDefinition): EventIds | null {
  if (definition.kind !== 'hypertable' || definition.dedupe === null) return null
  const names = Object.keys(definition.columns)
  const place = names.indexOf(definition.dedupe.by)
  const tenant = definition.tenant === null ? -1 : names.indexOf(definition.tenant)
  return {
    place,
    of(row) {
      const id = row[place]
      if (id === null || id === undefined) return null
      return tenant === -1 ? String(id) : `${whose(row[tenant])}${id}`
    },
  }
}

/** Its length first, so that no tenant and id together are those of another. */
function whose(tenant: unknown): string {
  const name = tenant === null || tenant === undefined ? '' : String(tenant)
  if (name.length <= maxTenantChars) return `${name.length}:${name}`
  return `#${createHash('sha256').update(name).digest('hex')}`
}
