import { createHash, randomBytes } from 'node:crypto'
import type { StoredDefinition } from '../schema/index.ts'
import { sql } from '../util/sql.ts'
import type { LifecycleContext } from './context.ts'
import type { ErasureInput } from './erase-search.ts'

export interface OpenRecord {
  readonly id: bigint
  readonly isResumed: boolean
}

const saltBytes = 16

/**
 * The record of this condition that has not come to its end, or a new one. The condition is kept as a salt and the SHA-256 of both: a
 * bare hash of `user = 'alice'` would tell whoever tries some names.
 */
export async function openRecord(
  { db }: LifecycleContext,
  definition: StoredDefinition,
  input: ErasureInput,
): Promise<OpenRecord> {
  const text = JSON.stringify([definition.name, input.where, input.range], (_, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : value,
  )
  const hashWith = (salt: Uint8Array): Buffer =>
    Buffer.concat([salt, createHash('sha256').update(salt).update(text).digest()])
  return db.transaction({ mode: 'read committed' }, async (connection) => {
    // Two calls at once share one record.
    await connection.query(sql`
      select pg_advisory_xact_lock(hashtextextended('tidemark.erasure ' || ${definition.name}::text, 0))`)
    const { rows } = await connection.query(sql`
      select id, condition_sha256
      from tidemark.erasure
      where dataset = ${definition.name}::text and erased_at is null
      order by id desc`)
    for (const [id, hash] of rows as unknown as [bigint, Uint8Array][]) {
      if (!hashWith(hash.subarray(0, saltBytes)).equals(hash)) continue
      await connection.query(sql`update tidemark.erasure set hidden_at = null where id = ${id}::int8`)
      return { id, isResumed: true }
    }
    const { rows: made } = await connection.query(sql`
      insert into tidemark.erasure (dataset, condition_sha256)
      values (${definition.name}::text, ${hashWith(randomBytes(saltBytes))}::bytea)
      returning id`)
    return { id: made[0]![0] as bigint, isResumed: false }
  })
}
