import type { HypertableRecord } from '../changelog/index.ts'
import { chunkSchema } from '../migrate/index.ts'
import { type Connection, type Queryable, sqlstateOf } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { overlaps, type TimeRange } from '../time/index.ts'
import { identifier, raw, type Sql, sql } from '../util/sql.ts'
import { newChunkRange } from './chunk-ranges.ts'
import {
  type ApplyPartitionPolicies,
  assertChunkCap,
  attachChunks,
  boundSql,
  chunkRelationName,
  createChunkTable,
  DefaultNotEmpty,
  lockForAttach,
  lockHypertable,
  type NewChunk,
} from './create-chunks.ts'
import { StaleRouting } from './write-errors.ts'

/** An index of the table, as a partition has to have it. */
interface TableIndex {
  readonly isUnique: boolean
  /** From USING on. */
  readonly body: string
  /** `primary key` or `unique` where a constraint stands on it. */
  readonly constraint: string | null
}

/**
 * The indexes to be made on a chunk after its rows were copied, in the order of their age; null for a table whose rows
 * have to go into an attached partition:
 * - triggers of the user's on INSERT, also those for each row: they become the chunk's with ATTACH only;
 * - foreign keys, which ATTACH would check row by row under its locks; exclusion constraints; identity columns;
 * - publications: what is copied before ATTACH is no change of the published table to PostgreSQL.
 */
export async function findLoadableIndexes(
  db: Queryable,
  definition: HypertableDefinition,
): Promise<readonly TableIndex[] | null> {
  const { rows } = await db.query(sql`
    with parent as (
      select
        c.oid,
        c.relnamespace,
        format(' ON ONLY %I.%I USING ', ${definition.schema}::text, ${definition.table}::text) as target
      from pg_class as c
      where c.oid = format('%I.%I', ${definition.schema}::text, ${definition.table}::text)::regclass
    ),
    index as (
      select
        i.indexrelid,
        i.indisunique as is_unique,
        -- pg_get_indexdef names schemas that are in the search_path all the same
        strpos(pg_get_indexdef(i.indexrelid), p.target) as at,
        length(p.target) as skipped,
        case k.contype when 'p' then 'primary key' when 'u' then 'unique' end as constraint_type,
        k.contype is not null and (k.contype not in ('p', 'u') or k.condeferrable) as is_other
      from parent as p
      join pg_index as i on i.indrelid = p.oid
      left join pg_constraint as k on k.conindid = i.indexrelid and k.conrelid = p.oid
    )
    select
      not exists (
        select from pg_trigger as g
        where g.tgrelid = p.oid and not g.tgisinternal and g.tgenabled <> 'D' and g.tgtype & 4 <> 0
          and g.tgname not like 'tidemark\\_%'
      )
      and not exists (
        select from pg_constraint as k where k.contype = 'f' and (k.conrelid = p.oid or k.confrelid = p.oid)
      )
      and not exists (
        select from pg_attribute as a where a.attrelid = p.oid and a.attidentity <> '' and not a.attisdropped
      )
      and not exists (
        select
        from pg_publication as b
        where b.puballtables
          or exists (select from pg_publication_rel as r where r.prpubid = b.oid and r.prrelid = p.oid)
          or exists (
            select
            from pg_publication_namespace as s
            where s.pnpubid = b.oid
              and s.pnnspid in (p.relnamespace, ${chunkSchema}::text::regnamespace)
          )
      )
      and not exists (select from index as x where x.at = 0 or x.is_other)
      -- rows in it would have to be moved first
      and pg_relation_size((select g.partdefid from pg_partitioned_table as g where g.partrelid = p.oid)) = 0,
      array(select x.is_unique from index as x order by x.indexrelid),
      array(
        select substr(pg_get_indexdef(x.indexrelid), x.at + x.skipped) from index as x order by x.indexrelid
      ),
      array(select coalesce(x.constraint_type, '') from index as x order by x.indexrelid)
    from parent as p`)
  const [isLoadable, uniques, bodies, constraints] = rows[0] as [
    boolean | null,
    boolean[],
    string[],
    string[],
  ]
  if (isLoadable !== true) return null
  return bodies.map((body, i) => ({
    isUnique: uniques[i]!,
    body,
    constraint: constraints[i] === '' ? null : constraints[i]!,
  }))
}

export interface ChunkLoaderOptions {
  readonly definition: HypertableDefinition
  readonly indexes: readonly TableIndex[]
  readonly applyPolicies: ApplyPartitionPolicies
  readonly lockTimeoutMs: number
  readonly tries: number
  readonly random: () => number
  readonly sleep: (ms: number) => Promise<void>
  /** The locks that attaching takes were not to be had. */
  readonly onHeldUp: () => void
}

/** ms between two tries to attach, at most. */
const pauseMs = 100

/**
 * Chunks that come with their rows, in the transaction that writes these: a table that nobody sees yet takes rows
 * without indexes; those are built when all rows are in, which costs less than half of what it takes to add rows to
 * them one by one; at the end the table is attached. So the locks of ATTACH are held for as short as for an empty chunk.
 *
 * Whoever makes the same chunk meanwhile is not kept waiting: then `attach` finds it and throws StaleRouting, and the
 * rows are written the usual way.
 */
export class ChunkLoader {
  readonly #options: ChunkLoaderOptions

  constructor(options: ChunkLoaderOptions) {
    this.#options = options
  }

  /** The table for the rows of `range`, without indexes. The transaction logs its changes by itself. */
  async create(
    connection: Connection,
    hypertable: HypertableRecord,
    range: TimeRange,
  ): Promise<NewChunk & { readonly target: Sql }> {
    const { definition, applyPolicies } = this.#options
    // A number that is not used in the end leaves a gap, which nobody minds.
    const { rows } = await connection.query(sql`
      select nextval(pg_get_serial_sequence('tidemark.chunk', 'id'))`)
    const id = rows[0]![0] as bigint
    const chunk = { id, relation: chunkRelationName(definition.table, id), range }
    await createChunkTable(connection, definition, hypertable, chunk, { withIndexes: false, applyPolicies })
    return { ...chunk, target: identifier(chunkSchema, chunk.relation) }
  }

  /** Once all of its rows are in. The constraint spares ATTACH a scan under its locks. */
  async complete(connection: Connection, chunk: NewChunk): Promise<void> {
    const { definition, indexes } = this.#options
    const target = identifier(chunkSchema, chunk.relation)
    for (const [i, { isUnique, body, constraint }] of indexes.entries()) {
      const unique = raw(isUnique ? 'unique ' : '')
      if (constraint === null) {
        await connection.execute(sql`create ${unique}index on ${target} using ${raw(body)}`)
        continue
      }
      const index = identifier(`${chunk.relation}_${constraint === 'unique' ? `key${i}` : 'pkey'}`)
      await connection.execute(sql`
        create ${unique}index ${index} on ${target} using ${raw(body)};
        alter table ${target} add ${raw(constraint)} using index ${index}`)
    }
    const time = identifier(definition.time)
    await connection.execute(sql`
      alter table ${target} add constraint tidemark_load check (
        ${time} is not null and ${time} >= ${boundSql(chunk.range.from)} and ${time} < ${boundSql(chunk.range.to)}
      )`)
  }

  /**
   * The last thing before COMMIT. Takes the locks of a maker of chunks, with a savepoint for each try.
   *
   * @throws StaleRouting when a chunk of the range has come meanwhile, or rows in the default partition.
   * @throws TidemarkError TM_CHUNK_CAP.
   */
  async attach(connection: Connection, chunks: readonly NewChunk[]): Promise<void> {
    const { lockTimeoutMs, tries, random, sleep, onHeldUp } = this.#options
    for (let n = 1; ; n += 1) {
      await connection.execute(`savepoint tidemark_attach; set local lock_timeout = ${lockTimeoutMs}`)
      try {
        await this.#attachLocked(connection, chunks)
        break
      } catch (error) {
        if (error instanceof DefaultNotEmpty) throw new StaleRouting()
        if (sqlstateOf(error) !== '55P03') throw error
        if (n === tries) {
          onHeldUp()
          throw error
        }
        await connection.execute('rollback to savepoint tidemark_attach')
        await sleep(random() * pauseMs)
      }
    }
    for (const { relation } of chunks)
      await connection.execute(
        sql`alter table ${identifier(chunkSchema, relation)} drop constraint tidemark_load`,
      )
  }

  async #attachLocked(connection: Connection, chunks: readonly NewChunk[]): Promise<void> {
    const { definition } = this.#options
    const { hypertable, map } = await lockHypertable(connection, definition)
    const ranges = map.chunks.map((chunk) => chunk.range)
    for (const { range } of chunks) {
      const isTaken = ranges.some((one) => overlaps(one, range))
      const wanted = isTaken ? null : newChunkRange(definition.chunk, ranges, range.from)
      if (wanted === null || wanted.from !== range.from || wanted.to !== range.to) throw new StaleRouting()
      ranges.push(range)
      ranges.sort((a, b) => (a.from < b.from ? -1 : 1))
    }
    assertChunkCap(definition, map, chunks.length)
    await lockForAttach(connection, definition)
    for (const { id, relation, range } of chunks)
      await connection.query(sql`
        insert into tidemark.chunk (id, hypertable_id, range_from, range_to, relation_name)
        overriding system value
        values (
          ${id}::int8, ${hypertable.id}::int, ${boundSql(range.from)}::timestamptz,
          ${boundSql(range.to)}::timestamptz, ${relation}::text
        )`)
    await attachChunks(connection, definition, hypertable, chunks)
  }
}
