import type { Connection } from '../postgres/index.ts'
import type { FilterNode } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import type { Chunk } from './chunk-map.ts'

/**
 * What writing needs of rows that are in the lake: to find them, and to take them back into their partition ("lift"),
 * exactly as they were, so that the ordinary statement finds them there. Implemented by src/lifecycle;
 * docs/design/chunk-life.md, "Lift".
 */
export interface ColdRows {
  /**
   * Locks the rows of these chunks in the catalog, in the order of their ids, to the end of the transaction (READ
   * COMMITTED): nothing moves between PostgreSQL and the lake in them until then. What is in the lake is read after that.
   *
   * @throws TidemarkError TM_BUSY, TM_CANCELLED
   */
  open(
    connection: Connection,
    definition: HypertableDefinition,
    chunkIds: readonly bigint[],
    signal: AbortSignal | null,
  ): Promise<OpenColdRows>
  /** Does what a `ColdNeed` asks for. In transactions of its own: none of the caller's may be open. */
  makeRoom(definition: HypertableDefinition, need: ColdNeed, signal: AbortSignal | null): Promise<void>
}

export interface OpenColdRows {
  /** Those of the chunks that have files. */
  readonly chunks: readonly Chunk[]
  /**
   * Rows in files that have one of these keys and still count. `columns` hold the time; values as PostgreSQL gave them.
   *
   * @throws TidemarkError TM_LAKE, TM_CANCELLED
   */
  find(columns: readonly string[], keys: readonly (readonly unknown[])[]): Promise<readonly ColdRow[]>
  /** Takes rows that `find` gave back into their partition. @throws ColdNeed */
  lift(rows: readonly ColdRow[]): Promise<void>
  /** Takes all rows back for which the condition is true; says how many. @throws ColdNeed */
  liftMatching(where: FilterNode | null, range: TimeRange | null): Promise<number>
  /** The last thing in the transaction: what others remember of the lake is old when rows were lifted. */
  end(): Promise<void>
}

/** A row in a file. */
export interface ColdRow {
  /** Which of the keys it has. */
  readonly key: number
  readonly chunkId: bigint
  readonly fileId: bigint
  readonly place: number
}

/** Rows cannot be lifted yet: chunks need a partition first, or are better thawed as a whole. Then the write begins anew. */
export class ColdNeed extends Error {
  /** Times of chunks that have no partition. */
  readonly attach: readonly Instant[]
  /** Chunks of which so many rows are touched that taking all of them back is cheaper. */
  readonly thaw: readonly bigint[]

  constructor(need: { readonly attach?: readonly Instant[]; readonly thaw?: readonly bigint[] }) {
    super('rows of the lake need room in PostgreSQL first')
    this.attach = need.attach ?? []
    this.thaw = need.thaw ?? []
  }
}
