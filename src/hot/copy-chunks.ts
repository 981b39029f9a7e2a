import { beginLoggedWriteSql, type HypertableRecord, logCells } from '../changelog/index.ts'
import { chunkSchema } from '../migrate/index.ts'
import type { Connection, Database } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant } from '../time/index.ts'
import { identifier, join, raw, sql } from '../util/sql.ts'
import type { BatchInsert, WrittenCounts } from './batch-contract.ts'
import { type Chunk, type ChunkMap, chunkAt, loadChunkMap } from './chunk-map.ts'
import type { ChunkManager } from './chunks.ts'
import type { NewChunk } from './create-chunks.ts'
import type { ChunkLoader } from './load-chunks.ts'
import { relationOf } from './writable-table.ts'
import type { CopyGroup, WriteBatch } from './write-batch.ts'
import { StaleRouting } from './write-errors.ts'
import { copyGroup } from './write-statements.ts'

/** From this try on, rows of a chunk that is in the catalog but not attached go through the table. */
export const triesBeforeDetour = 3

export interface ChunkCopierOptions {
  readonly db: Database
  readonly chunks: ChunkManager
  /** Rows from which a chunk that is not there yet is made together with them. */
  readonly loadRows: number
  /** Makes the chunks of the times as far as that can be done. */
  readonly ensure: (
    definition: HypertableDefinition,
    times: Iterable<Instant>,
    signal: AbortSignal | null,
  ) => Promise<ChunkMap>
}

export interface ChunkCopy {
  readonly batch: WriteBatch
  /** Those of the batch that are written; the log may tell of the others, too, which says too much, never too little. */
  readonly groups: readonly CopyGroup[]
  readonly definition: HypertableDefinition
  readonly hypertable: HypertableRecord
  /** From 1. */
  readonly attempt: number
  readonly signal: AbortSignal | null
  readonly inTransaction: BatchInsert['inTransaction'] | null
}

/** How each group of a batch gets to its chunk. */
interface Routes {
  /** Chunks that are made with their rows. */
  readonly loads: ReadonlyMap<Instant, readonly CopyGroup[]>
  /** Another batch of this process is making their chunks. */
  readonly waits: readonly CopyGroup[]
  readonly rest: readonly CopyGroup[]
}

/**
 * COPY straight into partitions: routing rows through the table switches COPY's multi-insert off where a transition
 * table is wanted (1.3 to 2 times as long).
 */
export class ChunkCopier {
  readonly #options: ChunkCopierOptions
  /** By table: beginnings of chunks that a batch under way makes, and when it has ended. */
  readonly #loading = new Map<string, Map<Instant, Promise<void>>>()

  constructor(options: ChunkCopierOptions) {
    this.#options = options
  }

  async copy(request: ChunkCopy): Promise<WrittenCounts> {
    const { groups, definition, signal } = request
    const { db, chunks, ensure } = this.#options
    const before = this.#routes(request, groups, await chunks.map(definition))
    const ranges = [...before.loads.values()].map(([group]) => group!.range!)
    const loader = ranges.length > 0 ? await chunks.loader(definition, ranges) : null
    const late = loader === null ? groups : before.rest
    const map = await ensure(
      definition,
      late.map((group) => group.range!.from),
      signal,
    )
    if (loader === null)
      return db.transaction({ signal }, (connection) => this.#write(request, connection, map, groups))
    // Nothing is awaited from here to the call of `transaction`: who is registered first gets a connection first, so a
    // batch never waits for one that waits for a connection.
    const { loads, waits, rest } = this.#routes(request, groups, map)
    const waitFor = waits.map((group) => this.#loadingOf(definition).get(group.range!.from)!)
    const work = db.transaction({ signal }, (connection) =>
      this.#load(request, connection, loader, map, { loads, waits, rest }, waitFor),
    )
    const loading = this.#loadingOf(definition)
    const ended = work.then(
      () => {},
      () => {},
    )
    for (const from of loads.keys()) loading.set(from, ended)
    try {
      return await work
    } finally {
      for (const from of loads.keys()) loading.delete(from)
      await chunks.map(definition, { fresh: true })
    }
  }

  #loadingOf(definition: HypertableDefinition): Map<Instant, Promise<void>> {
    let loading = this.#loading.get(definition.name)
    if (loading === undefined) {
      loading = new Map()
      this.#loading.set(definition.name, loading)
    }
    return loading
  }

  #routes(request: ChunkCopy, groups: readonly CopyGroup[], map: ChunkMap): Routes {
    const loads = new Map<Instant, CopyGroup[]>()
    if (request.attempt > 1) return { loads, waits: [], rest: groups }
    const loading = this.#loadingOf(request.definition)
    const waits: CopyGroup[] = []
    const rest: CopyGroup[] = []
    for (const group of groups) {
      const { from } = group.range!
      if (chunkAt(map, from) !== null) rest.push(group)
      else if (loading.has(from)) waits.push(group)
      else {
        const same = loads.get(from)
        if (same === undefined) loads.set(from, [group])
        else same.push(group)
      }
    }
    for (const [from, same] of loads) {
      if (same.reduce((sum, group) => sum + group.encoder.rows, 0) >= this.#options.loadRows) continue
      loads.delete(from)
      rest.push(...same)
    }
    return { loads, waits, rest }
  }

  async #load(
    request: ChunkCopy,
    connection: Connection,
    loader: ChunkLoader,
    map: ChunkMap,
    { loads, waits, rest }: Routes,
    waitFor: readonly Promise<void>[],
  ): Promise<WrittenCounts> {
    const { batch, definition, hypertable } = request
    await connection.execute(beginLoggedWriteSql(hypertable))
    const made: NewChunk[] = []
    let inserted = 0
    for (const groups of loads.values()) {
      const chunk = await loader.create(connection, hypertable, groups[0]!.range!)
      for (const group of groups) inserted += await copyGroup(connection, batch.table, chunk.target, group)
      await loader.complete(connection, chunk)
      made.push(chunk)
    }
    let known = map
    if (waits.length > 0) {
      await Promise.all(waitFor)
      known = await loadChunkMap(connection, definition)
    }
    const others = [...rest, ...waits]
    // Through the table: that takes locks on it, and then attaching could meet somebody in a circle.
    if (others.some((group) => routeOf(known, group) === null)) throw new StaleRouting()
    const counts = await this.#write(request, connection, known, others, { isLoading: true })
    if (loads.size > 0) await loader.attach(connection, made)
    return { ...counts, inserted: counts.inserted + inserted }
  }

  /**
   * Lock order: partitions by name in ROW EXCLUSIVE, which a freeze's or a drop's lock excludes; under them the routing is
   * compared with the catalog and with what is attached.
   */
  async #write(
    request: ChunkCopy,
    connection: Connection,
    map: ChunkMap,
    groups: readonly CopyGroup[],
    { isLoading = false } = {},
  ): Promise<WrittenCounts> {
    const { batch, definition, hypertable, attempt, inTransaction } = request
    const { table } = batch
    const direct = new Map<CopyGroup, Chunk>()
    for (const group of groups) {
      const chunk = routeOf(map, group)
      if (chunk !== null) direct.set(group, chunk)
    }
    const chunks = [...new Set(direct.values())].sort((a, b) => (a.id < b.id ? -1 : 1))
    if (chunks.length > 0) {
      const { entered, isPlain } = await enterChunks(connection, definition, hypertable, chunks)
      if (entered.size < chunks.length && (attempt < triesBeforeDetour || isLoading)) throw new StaleRouting()
      for (const [group, chunk] of direct) if (!isPlain || !entered.has(chunk.id)) direct.delete(group)
    }
    let inserted = 0
    for (const [group, chunk] of direct)
      inserted += await copyGroup(connection, table, identifier(chunkSchema, chunk.relation!), group)
    // No chunk could be made for these, or somebody detached it by hand: the table's default partition takes them, its triggers log them.
    for (const group of groups)
      if (!direct.has(group)) inserted += await copyGroup(connection, table, relationOf(table), group)
    if (direct.size > 0 || isLoading) await logCells(connection, hypertable, batch.cells!)
    const counts = { inserted, updated: 0, ignored: 0 }
    await inTransaction?.(connection, counts)
    return counts
  }
}

/** The chunk that a group goes into; null: through the table. */
function routeOf(map: ChunkMap, group: CopyGroup): Chunk | null {
  const chunk = chunkAt(map, group.range!.from)
  if (chunk === null || chunk.relation === null || chunk.state === 'cold') return null
  return chunk.range.to >= group.range!.to ? chunk : null
}

/**
 * Locks the chunks; `entered` are those that are where the catalog says. `isPlain`: rows that are put into them are
 * the rows that the table would get. Not so where a trigger of the user's changes rows before they are written (their
 * cells are then not those that were collected) or fires once for a statement on the table, and not for identity
 * columns, which partitions do not have before PostgreSQL 17.
 */
async function enterChunks(
  connection: Connection,
  definition: HypertableDefinition,
  hypertable: HypertableRecord,
  chunks: readonly Chunk[],
): Promise<{ readonly entered: ReadonlySet<bigint>; readonly isPlain: boolean }> {
  const names = join(
    chunks.map((chunk) => sql`only ${identifier(chunkSchema, chunk.relation!)}`),
    ', ',
  )
  // One that has been dropped is 42P01: then, too, the routing is old.
  await connection.execute(
    sql`lock table ${names} in row exclusive mode; ${raw(beginLoggedWriteSql(hypertable))}`,
  )
  // tgtype: 1 for each row, 2 before, 4 insert
  const { rows } = await connection.query(sql`
    select
      k.id,
      not exists (
        select
        from pg_trigger as g
        where g.tgrelid in (c.oid, i.inhparent) and not g.tgisinternal and g.tgenabled <> 'D'
          and g.tgtype & 4 <> 0 and g.tgtype & 3 <> 1
          and g.tgname not like 'tidemark\\_%'
      )
      and not exists (
        select from pg_attribute as a where a.attrelid = i.inhparent and a.attidentity <> '' and not a.attisdropped
      )
    from tidemark.chunk as k
    join pg_class as c
      on c.relname = k.relation_name and c.relnamespace = ${chunkSchema}::text::regnamespace
    join pg_inherits as i on i.inhrelid = c.oid and not i.inhdetachpending
    where k.id = any (${chunks.map((chunk) => chunk.id)}::int8[])
      and k.state in ('hot', 'freezing')
      and i.inhparent = format('%I.%I', ${definition.schema}::text, ${definition.table}::text)::regclass`)
  return {
    entered: new Set(rows.map(([id]) => id as bigint)),
    isPlain: rows.every(([, isPlain]) => isPlain as boolean),
  }
}
