import { datasetPrefix, isFilePath } from '../lake/index.ts'
import { sql } from '../util/sql.ts'
import type { LifecycleContext } from './context.ts'

/** An erasure whose rows are out of every answer, and whose old files may still be there. */
interface OpenErasure {
  readonly id: bigint
  readonly dataset: string
  readonly schema: string
  readonly table: string
  readonly hiddenAt: bigint
}

async function listOpen({ db }: LifecycleContext): Promise<OpenErasure[]> {
  const { rows } = await db.query(sql`
    select e.id, e.dataset, h.schema_name, h.table_name, e.hidden_at
    from tidemark.erasure as e
    left join tidemark.hypertable as h on h.schema_name || '.' || h.table_name = e.dataset
    where e.hidden_at is not null and e.erased_at is null
    order by e.id`)
  return rows.map((row) => {
    const [id, dataset, schema, table, hiddenAt] = row as [
      bigint,
      string,
      string | null,
      string | null,
      bigint,
    ]
    const dot = dataset.indexOf('.')
    return {
      id,
      dataset,
      // given back meanwhile (eject): its files are in the trash
      schema: schema ?? dataset.slice(0, dot),
      table: table ?? dataset.slice(dot + 1),
      hiddenAt,
    }
  })
}

/**
 * Whatever the trash holds of a table whose rows were erased is marked `erased`: the sweep then removes it as soon as no snapshot can
 * need it, and does not wait for `keepDropped`. Files that no catalog names too, when they are older than `eraseGraceMs`: whoever
 * wrote one and still comes to name it is refused, and tries again.
 */
export async function markErased(context: LifecycleContext): Promise<void> {
  const { db, settings } = context
  for (const { id, dataset, hiddenAt, ...table } of await listOpen(context)) {
    await noteUnnamed(context, { dataset, hiddenAt, ...table })
    await db.query(sql`
      update tidemark.lake_trash as t
      set reason = 'erased'
      from tidemark.erasure as e
      where e.id = ${id}::int8
        and t.dataset = e.dataset
        and t.dropped_at <= e.hidden_at
        and t.reason <> 'erased'
        and (
          t.reason not in ('cancelled', 'stray')
          or t.dropped_at < clock_timestamp() - ${settings.eraseGraceMs}::float8 * interval '1 millisecond'
        )`)
  }
}

async function noteUnnamed(
  context: LifecycleContext,
  erasure: Pick<OpenErasure, 'dataset' | 'schema' | 'table' | 'hiddenAt'>,
): Promise<void> {
  const { db, settings } = context
  const before = Date.now() - settings.eraseGraceMs
  for (const { path, bytes, modifiedAt } of await unnamed(context, erasure)) {
    if (modifiedAt.getTime() >= before) continue
    await db.query(sql`
      insert into tidemark.lake_trash (path, dataset, bytes, reason, dropped_at)
      values (
        ${path}::text, ${erasure.dataset}::text, ${bytes}::int8, 'erased',
        clock_timestamp() - ${settings.eraseGraceMs}::float8 * interval '1 millisecond'
      )
      on conflict (path) do nothing`)
  }
}

/** The store's clock may be behind or ahead of PostgreSQL's by a minute. */
const clockSlack = 60_000_000n

/** Files of the table in the store that nobody names, from before the rows were hidden. */
async function unnamed(
  { db, store }: LifecycleContext,
  { hiddenAt, ...table }: Pick<OpenErasure, 'schema' | 'table' | 'hiddenAt'>,
): Promise<{ path: string; bytes: number; modifiedAt: Date }[]> {
  const found: { path: string; bytes: number; modifiedAt: Date }[] = []
  for await (const object of store.list(datasetPrefix(table)))
    if (isFilePath(object.path) && BigInt(object.modifiedAt.getTime()) * 1000n <= hiddenAt + clockSlack)
      found.push(object)
  if (found.length === 0) return []
  const { rows } = await db.query(sql`
    select s.path
    from unnest(${found.map(({ path }) => path)}::text[]) as s (path)
    where not exists (select from tidemark.lake_file as f where f.path = s.path or f.summary_path = s.path)
      and not exists (select from tidemark.lake_trash as t where t.path = s.path)
      and not exists (
        select from tidemark.import_file as i where i.path = s.path or i.file -> 'summary' ->> 'path' = s.path
      )`)
  const names = new Set(rows.map(([path]) => path as string))
  return found.filter(({ path }) => names.has(path))
}

/** Erasures of which nothing is left in the store have come to their end. */
export async function closeErasures(context: LifecycleContext): Promise<void> {
  for (const erasure of await listOpen(context)) {
    if ((await unnamed(context, erasure)).length > 0) continue
    await context.db.query(sql`
      update tidemark.erasure as e
      set erased_at = clock_timestamp()
      where e.id = ${erasure.id}::int8
        and e.hidden_at is not null
        and not exists (
          select
          from tidemark.lake_trash as t
          where t.dataset = e.dataset and t.dropped_at <= e.hidden_at
        )`)
  }
}
