import { findHypertable, type HypertableRecord } from '../changelog/index.ts'
import type { Database } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import { isTidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import type { OnConflict } from './batch-contract.ts'
import type { ChunkMap } from './chunk-map.ts'
import type { ChunkManager } from './chunks.ts'
import type { WritableTable } from './writable-table.ts'
import type { Routing } from './write-batch.ts'

/** What this process remembers of where rows go. */
export class WriteTargets {
  readonly #db: Database
  readonly #chunks: ChunkManager
  readonly #hypertables = new Map<string, HypertableRecord>()

  constructor(db: Database, chunks: ChunkManager) {
    this.#db = db
    this.#chunks = chunks
  }

  /** All of it may be old. */
  forget(): void {
    this.#hypertables.clear()
    this.#chunks.forget()
  }

  chunks(definition: HypertableDefinition): Promise<ChunkMap> {
    return this.#chunks.map(definition)
  }

  /** As the catalog has them now: loaded again only when something has changed. */
  async current(definition: HypertableDefinition): Promise<ChunkMap> {
    const map = await this.#chunks.map(definition)
    const { rows } = await this.#db.query(sql`
      select epoch from tidemark.hypertable where id = ${map.hypertableId}::int4`)
    if (rows[0]?.[0] === map.epoch) return map
    // it may be another table of this name: what is known of the one before would have its changes logged as those of nobody
    this.#hypertables.delete(definition.name)
    return this.#chunks.map(definition, { fresh: true })
  }

  async hypertable(definition: HypertableDefinition): Promise<HypertableRecord> {
    let hypertable = this.#hypertables.get(definition.name)
    if (hypertable === undefined) {
      hypertable = await findHypertable(this.#db, definition)
      this.#hypertables.set(definition.name, hypertable)
    }
    return hypertable
  }

  /** Only what COPY can take straight into a partition is routed. */
  async routing({ definition }: WritableTable, onConflict: OnConflict): Promise<Routing | null> {
    if (definition.kind !== 'hypertable' || onConflict !== 'error') return null
    return { map: await this.chunks(definition), hypertable: await this.hypertable(definition) }
  }

  /** Makes the chunks; where that cannot be done in time, the rows will do without. */
  async ensure(
    definition: HypertableDefinition,
    times: Iterable<Instant>,
    signal: AbortSignal | null,
  ): Promise<ChunkMap> {
    try {
      return await this.#chunks.ensureChunks(definition, times, { signal })
    } catch (error) {
      if (!isTidemarkError(error) || error.code !== 'TM_BUSY') throw error
      return this.#chunks.map(definition, { fresh: true })
    }
  }
}
