import type { ReadSnapshot } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { Sql } from '../util/sql.ts'

/** What the lake needs of the snapshot in which the rest of a query is read: the one of the database with the catalog. */
export interface LakeSnapshot extends ReadSnapshot {
  /** Two snapshots of one database have the same; what is remembered is remembered for it. */
  readonly database: object
  query(
    statement: Sql,
    signal: AbortSignal | null,
  ): Promise<{ readonly rows: readonly (readonly unknown[])[] }>
  /** The same for as long as no chunk or file of the hypertable comes, goes or moves; null when it is none. */
  catalogVersion(dataset: HypertableDefinition): Promise<string | null>
  /**
   * Whether a catalog of this version may be used. Before the snapshot is taken that is presumed, and `confirm` tells
   * whether it was right. Null when it has to be asked for.
   */
  isCatalog(dataset: HypertableDefinition, version: string): boolean | null
  /** Every query that uses it asks for the rows of one tenant alone. Row security then limits nothing that the query does not. */
  readonly isOnBehalf?: boolean
}

export function lakeSnapshot(snapshot: ReadSnapshot): LakeSnapshot {
  const candidate = snapshot as Partial<LakeSnapshot>
  if (candidate.query && candidate.catalogVersion && candidate.isCatalog && candidate.database)
    return candidate as LakeSnapshot
  throw new TidemarkError('TM_CONFIG', {
    path: 'snapshot',
    problem: 'the lake is read only in a snapshot of the database that has its catalog',
  })
}
