// The chunks of a case's hypertable, by the catalog.
import { text } from './harness.mjs'

async function listChunks(db, { schema, table }) {
  const { rows } = await db.query(
    text(`
      select k.id, k.relation_name
      from tidemark.chunk as k
      join tidemark.hypertable as h on h.id = k.hypertable_id
      where h.schema_name = '${schema}' and h.table_name = '${table}' and k.relation_name is not null`),
  )
  return rows
}

export async function hasChunks(db, definition) {
  return (await listChunks(db, definition)).length > 0
}

/** An import of history finds no chunks. */
export async function dropChunks(db, definition) {
  for (const [id, relation] of await listChunks(db, definition))
    await db.execute(
      `begin; drop table tidemark_chunks."${relation}"; delete from tidemark.chunk where id = ${id}; commit`,
    )
  await db.execute(
    `update tidemark.hypertable set epoch = epoch + 1 where table_name = '${definition.table}'`,
  )
}
