import type { Connection, Database, Queryable } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'

/** The transaction met event ids that another has written meanwhile: nothing of it is written. */
export class SeenMeanwhile extends Error {
  readonly ids: ReadonlySet<string>

  constructor(ids: ReadonlySet<string>) {
    super('some event ids have been written meanwhile')
    this.ids = ids
  }
}

/** Which of the ids were written in the current generation or the one before. What is being written is not seen yet. */
export async function findSeen(
  db: Queryable,
  dataset: string,
  ids: readonly string[],
): Promise<ReadonlySet<string>> {
  const { rows } = await db.query(sql`
    select e.id
    from tidemark.seen_generation as g
    join tidemark.seen_event as e
      on e.dataset_id = g.id and e.generation in (g.generation, g.generation - 1) and e.id = any(${ids}::text[])
    where g.dataset = ${dataset}::text`)
  return new Set(rows.map(([id]) => id as string))
}

/**
 * Stores ids that must be new. The row of the generation is locked first, in a statement of its own: whoever moves on waits
 * for this transaction, and the check that follows sees everything of the generations before. An id that another
 * transaction is writing is waited for: in their order, so that two transactions never wait for each other.
 *
 * @throws SeenMeanwhile with those that are not.
 */
export async function storeSeen(
  connection: Connection,
  dataset: string,
  ids: readonly string[],
): Promise<void> {
  const [id, generation] = await lockGeneration(connection, dataset)
  const { rows } = await connection.query(sql`
    insert into tidemark.seen_event (dataset_id, generation, id)
    select ${id}::int4, ${generation}::int4, u.id
    from unnest(${ids}::text[]) as u (id)
    where not exists (
      select from tidemark.seen_event as e
      where e.dataset_id = ${id}::int4 and e.generation = ${generation}::int4 - 1 and e.id = u.id collate "C"
    )
    order by u.id collate "C"
    on conflict do nothing
    returning id`)
  if (rows.length === ids.length) return
  const stored = new Set(rows.map(([id]) => id as string))
  throw new SeenMeanwhile(new Set(ids.filter((id) => !stored.has(id))))
}

async function lockGeneration(connection: Connection, dataset: string): Promise<readonly [number, number]> {
  for (;;) {
    const { rows } = await connection.query(sql`
      select id, generation
      from tidemark.seen_generation
      where dataset = ${dataset}::text
      for key share`)
    if (rows[0]) return rows[0] as unknown as readonly [number, number]
    await connection.query(sql`
      insert into tidemark.seen_generation (dataset) values (${dataset}::text) on conflict do nothing`)
  }
}

export interface Rotation {
  /** Whether a new generation was begun. */
  readonly isRotated: boolean
  /** Ids that nobody asks for any more. */
  readonly deleted: number
}

/** Ids of one DELETE: a statement of some tenths of a second. */
const pieceIds = 20_000

/**
 * Begins a new generation when the current one is as old as the window, and forgets those that are over. An id is
 * known for at least the window: its own generation, and the one after. Waits for writers at most `lockTimeoutMs`; they
 * never wait for longer than this does.
 */
export async function rotateSeen(
  db: Database,
  dataset: string,
  options: {
    readonly withinMs: number
    readonly signal?: AbortSignal | null
    readonly lockTimeoutMs?: number
  },
): Promise<Rotation> {
  const { withinMs, signal = null, lockTimeoutMs = 1000 } = options
  const isDue = sql`started_at <= now() - ${withinMs}::float8 * interval '1 millisecond'`
  const due = await db.query(sql`
    select 1 from tidemark.seen_generation where dataset = ${dataset}::text and ${isDue}`)
  const isRotated =
    due.rows.length > 0 &&
    (await db.transaction({ mode: 'read committed', lockTimeoutMs, signal }, async (connection) => {
      // An UPDATE alone would not wait for writers: it leaves the key as it is. Nor would FOR UPDATE ever have its turn where they
      // never all pause, because sharers of a row pass those who wait for it; for a lock of the table they queue.
      await connection.execute('lock table tidemark.seen_generation in exclusive mode')
      const { rowCount } = await connection.query(sql`
        update tidemark.seen_generation
        set generation = generation + 1, started_at = now()
        where dataset = ${dataset}::text and ${isDue}`)
      return rowCount > 0
    }))
  let deleted = 0
  for (;;) {
    const { rowCount } = await db.query(
      sql`
        with old as (
          select e.dataset_id, e.generation, e.id
          from tidemark.seen_generation as g
          join tidemark.seen_event as e on e.dataset_id = g.id and e.generation < g.generation - 1
          where g.dataset = ${dataset}::text
          limit ${pieceIds}::int4
        )
        delete from tidemark.seen_event as e
        using old
        where e.dataset_id = old.dataset_id and e.generation = old.generation and e.id = old.id`,
      { signal },
    )
    deleted += rowCount
    if (rowCount < pieceIds) return { isRotated, deleted }
  }
}

/**
 * Forgets the ids of datasets that know none any more: neither the catalog says so nor `declared`, which may not have been migrated
 * yet. The row of the generation is held meanwhile, so whoever still writes ids begins anew. Waits for writers at most `lockTimeoutMs`.
 *
 * @returns how many.
 */
export async function forgetSeen(
  db: Database,
  options: {
    readonly declared: readonly string[]
    readonly signal?: AbortSignal | null
    readonly lockTimeoutMs?: number
  },
): Promise<number> {
  const { declared, signal = null, lockTimeoutMs = 1000 } = options
  const { rows } = await db.query(sql`
    select g.dataset
    from tidemark.seen_generation as g
    where g.dataset <> all(${declared}::text[])
      and not exists (
        select from tidemark.hypertable as h
        where h.schema_name || '.' || h.table_name = g.dataset and h.definition ->> 'dedupe' is not null
      )`)
  let deleted = 0
  for (const [dataset] of rows) {
    for (let isOver = false; !isOver; )
      isOver = await db.transaction({ mode: 'read committed', lockTimeoutMs, signal }, async (connection) => {
        const { rows: held } = await connection.query(sql`
          select id from tidemark.seen_generation where dataset = ${dataset as string}::text for update`)
        const id = held[0]?.[0] as number | undefined
        if (id === undefined) return true
        const { rowCount } = await connection.query(sql`
          with old as (select generation, id from tidemark.seen_event where dataset_id = ${id}::int4 limit ${pieceIds}::int4)
          delete from tidemark.seen_event as e
          using old
          where e.dataset_id = ${id}::int4 and e.generation = old.generation and e.id = old.id`)
        deleted += rowCount
        if (rowCount === pieceIds) return false
        await connection.query(sql`delete from tidemark.seen_generation where id = ${id}::int4`)
        return true
      })
  }
  return deleted
}
