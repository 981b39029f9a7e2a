import type { Connection, Queryable } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'
import type { IngestReport } from './contract.ts'

/** The transaction met a key that is stored: nothing of it is written. */
export class KeyTaken extends Error {
  constructor() {
    super('a batch with one of the idempotency keys is stored')
  }
}

export interface StoredBatch {
  readonly fingerprint: Uint8Array
  readonly report: IngestReport
}

export interface KeyedReport {
  readonly key: string
  readonly fingerprint: Uint8Array
  readonly report: IngestReport
}

/** Batches that are stored, by their key. */
export async function findBatches(
  db: Queryable,
  dataset: string,
  keys: readonly string[],
): Promise<ReadonlyMap<string, StoredBatch>> {
  const { rows } = await db.query(sql`
    select key, encode(fingerprint, 'hex'), report::text
    from tidemark.ingest_batch
    where dataset = ${dataset}::text and key = any(${keys}::text[])`)
  return new Map(
    rows.map(([key, fingerprint, report]) => [
      key as string,
      {
        fingerprint: Buffer.from(fingerprint as string, 'hex'),
        report: JSON.parse(report as string) as IngestReport,
      },
    ]),
  )
}

/**
 * Stores keys with how their batches are answered. One that another transaction has inserted is waited for: in the order
 * of the keys, so that two transactions never wait for each other.
 *
 * @throws KeyTaken when one is there.
 */
export async function storeBatches(
  connection: Connection,
  dataset: string,
  batches: readonly KeyedReport[],
): Promise<void> {
  const sorted = [...batches].sort((a, b) => (a.key < b.key ? -1 : 1))
  const { rowCount } = await connection.query(sql`
    insert into tidemark.ingest_batch (dataset, key, fingerprint, report)
    select ${dataset}::text, b.key, decode(b.fingerprint, 'hex'), b.report::json
    from unnest(
      ${sorted.map(({ key }) => key)}::text[],
      ${sorted.map(({ fingerprint }) => Buffer.from(fingerprint).toString('hex'))}::text[],
      ${sorted.map(({ report }) => JSON.stringify(report))}::text[]
    ) as b (key, fingerprint, report)
    on conflict do nothing`)
  if (rowCount < sorted.length) throw new KeyTaken()
}

/** Deletes keys that are older, at most `limit`. @returns how many. */
export async function deleteOldBatches(
  db: Queryable,
  options: { readonly olderThanMs: number; readonly limit: number },
): Promise<number> {
  const { rowCount } = await db.query(sql`
    with old as (
      select dataset, key
      from tidemark.ingest_batch
      where created_at < now() - ${options.olderThanMs}::float8 * interval '1 millisecond'
      order by created_at
      limit ${options.limit}::int4
      for update skip locked
    )
    delete from tidemark.ingest_batch as b
    using old
    where b.dataset = old.dataset and b.key = old.key`)
  return rowCount
}
