import type { Queryable } from '../postgres/index.ts'
import { allTenants, type TenantScope } from '../schema/index.ts'
import { formatInstant, type Instant } from '../time/index.ts'
import { repeated, sql } from '../util/sql.ts'
import type { AccessScope } from './contract.ts'

/** What is needed of a key to know who has sent it. */
export interface StoredKey {
  readonly id: string
  readonly name: string
  readonly tenant: TenantScope
  readonly scopes: ReadonlySet<AccessScope>
  readonly datasets: ReadonlySet<string> | null
  readonly expiresAt: Instant | null
  readonly isRevoked: boolean
  readonly secrets: readonly { readonly hash: Uint8Array; readonly expiresAt: Instant | null }[]
}

/** By the primary keys of both tables. */
export async function findKey(db: Queryable, id: string): Promise<StoredKey | null> {
  const { rows } = await db.query(
    repeated(sql`
      select
        k.name, k.tenant_kind, k.tenant, k.scopes, k.datasets, k.expires_at, k.revoked_at is not null,
        s.hash, s.expires_at
      from tidemark.api_key as k
      left join tidemark.api_key_secret as s on s.key_id = k.id
      where k.id = ${id}::text`),
  )
  const [first] = rows
  if (first === undefined) return null
  const [name, kind, tenant, scopes, datasets, expiresAt, isRevoked] = first
  return {
    id,
    name: name as string,
    tenant: kind === 'all' ? allTenants : { kind: 'one', tenant: tenant as string },
    scopes: new Set(scopes as AccessScope[]),
    datasets: datasets === null ? null : new Set(datasets as string[]),
    expiresAt: expiresAt as Instant | null,
    isRevoked: isRevoked as boolean,
    secrets: rows.flatMap((row) =>
      row[7] === null ? [] : [{ hash: row[7] as Uint8Array, expiresAt: row[8] as Instant | null }],
    ),
  }
}

/** Keys were used: told at most once a minute, whichever process tells it. */
export async function touchKeys(db: Queryable, ids: readonly string[], now: Instant): Promise<void> {
  const at = formatInstant(now)
  await db.query(sql`
    update tidemark.api_key
    set last_used_at = ${at}::timestamptz
    where id = any(${[...ids]}::text[])
      and (last_used_at is null or last_used_at <= ${at}::timestamptz - interval '1 minute')`)
}
