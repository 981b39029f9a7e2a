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

/** A key and on whose behalf it came ('': for every tenant): two tenants may choose the same. */
export interface BatchKey {
  readonly tenant: string
  readonly key: string
}

export interface KeyedReport extends BatchKey {
  readonly fingerprint: Uint8Array
  readonly report: IngestReport
}

/** Those of the batches that are stored, by their key. */
export async function findBatches(
  db: Queryable,
  dataset: string,
  keys: readonly BatchKey[],
): Promise<(key: BatchKey) => StoredBatch | undefined> {
  const { rows } = await db.query(sql`
    select b.tenant, b.key, encode(b.fingerprint, 'hex'), b.report::text
    from unnest(
      ${keys.map(({ tenant }) => tenant)}::text[],
      ${keys.map(({ key }) => key)}::text[]
    ) as k (tenant, key)
    join tidemark.ingest_batch as b on b.dataset = ${dataset}::text and b.tenant = k.tenant and b.key = k.key`)
  const found = new Map(
    rows.map(([tenant, key, fingerprint, report]) => [
      textOf({ tenant: tenant as string, key: key as string }),
      {
        fingerprint: Buffer.from(fingerprint as string, 'hex'),
        report: JSON.parse(report as string) as IngestReport,
      },
    ]),
  )
  return (key) => found.get(textOf(key))
}

function textOf({ tenant, key }: BatchKey): string {
  return JSON.stringify([tenant, key])
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
  const sorted = [...batches].sort((a, b) => (textOf(a) < textOf(b) ? -1 : 1))
  const { rowCount } = await connection.query(sql`
    insert into tidemark.ingest_batch (dataset, tenant, key, fingerprint, report)
    select ${dataset}::text, b.tenant, b.key, decode(b.fingerprint, 'hex'), b.report::json
    from unnest(
      ${sorted.map(({ tenant }) => tenant)}::text[],
      ${sorted.map(({ key }) => key)}::text[],
      ${sorted.map(({ fingerprint }) => Buffer.from(fingerprint).toString('hex'))}::text[],
      ${sorted.map(({ report }) => JSON.stringify(report))}::text[]
    ) as b (tenant, key, fingerprint, report)
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
      select dataset, tenant, key
      from tidemark.ingest_batch
      where created_at < now() - ${options.olderThanMs}::float8 * interval '1 millisecond'
      order by created_at
      limit ${options.limit}::int4
      for update skip locked
    )
    delete from tidemark.ingest_batch as b
    using old
    where b.dataset = old.dataset and b.tenant = old.tenant and b.key = old.key`)
  return rowCount
}
