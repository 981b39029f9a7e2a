import type { Database } from '../postgres/index.ts'
import type { TenantScope } from '../schema/index.ts'
import { type Clock, formatInstant, type Instant } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import type { AccessScope, Principal, Verified } from './contract.ts'
import { hashOf, newSecret } from './secret.ts'

export type PassKind = 'session' | 'ticket'

export interface IssuedPass {
  /** What its holder shows; stored as a hash only. */
  readonly text: string
  readonly expiresAt: Instant
}

/** Of the catalog: who had it made. With `keyId` the key says who that is now. */
export interface StoredPass {
  readonly principal: Principal
  readonly keyId: string | null
  readonly expiresAt: Instant
  /** Of what was shown for it; null: never. */
  readonly credentialExpiresAt: Instant | null
}

/** What stands for somebody who has shown a key or a token before: sessions of browsers, tickets of WebSockets. */
export class Passes {
  readonly #db: Database
  readonly #clock: Clock

  constructor(db: Database, clock: Clock) {
    this.#db = db
    this.#clock = clock
  }

  /** For `ms`, and never longer than the credential that was shown. */
  async issue(kind: PassKind, { principal, keyId, expiresAt }: Verified, ms: number): Promise<IssuedPass> {
    const text = newSecret()
    const now = this.#clock.now()
    const most = now + BigInt(ms) * 1000n
    const end = expiresAt !== null && expiresAt < most ? expiresAt : most
    await this.#db.query(sql`
      insert into tidemark.pass (hash, kind, key_id, principal, created_at, expires_at, credential_expires_at)
      values (
        ${hashOf(text)}::bytea,
        ${kind}::text,
        ${keyId}::text,
        ${encodePrincipal(principal)}::jsonb,
        ${formatInstant(now)}::timestamptz,
        ${formatInstant(end)}::timestamptz,
        ${expiresAt === null ? null : formatInstant(expiresAt)}::timestamptz
      )`)
    return { text, expiresAt: end }
  }

  async findSession(text: string): Promise<StoredPass | null> {
    const { rows } = await this.#db.query(sql`
      select principal, key_id, expires_at, credential_expires_at
      from tidemark.pass
      where hash = ${hashOf(text)}::bytea and kind = 'session'`)
    return readPass(rows[0])
  }

  /** Takes the ticket: whoever comes second with it has none. */
  async useTicket(text: string): Promise<StoredPass | null> {
    const { rows } = await this.#db.query(sql`
      delete from tidemark.pass
      where hash = ${hashOf(text)}::bytea and kind = 'ticket'
      returning principal, key_id, expires_at, credential_expires_at`)
    return readPass(rows[0])
  }

  async endSession(text: string): Promise<void> {
    await this.#db.query(sql`
      delete from tidemark.pass
      where hash = ${hashOf(text)}::bytea and kind = 'session'`)
  }

  /** Deletes what has expired. @returns how many. */
  async trim(): Promise<number> {
    const { rowCount } = await this.#db.query(sql`
      delete from tidemark.pass
      where expires_at < ${formatInstant(this.#clock.now())}::timestamptz`)
    return rowCount
  }
}

function readPass(row: readonly unknown[] | undefined): StoredPass | null {
  if (row === undefined) return null
  return {
    principal: decodePrincipal(row[0] as EncodedPrincipal),
    keyId: row[1] as string | null,
    expiresAt: row[2] as Instant,
    credentialExpiresAt: row[3] as Instant | null,
  }
}

/** As text, for a store that servers share; what it stands for, never what its holder shows. */
export function encodePass({ principal, keyId, expiresAt, credentialExpiresAt }: StoredPass): string {
  return JSON.stringify([
    encodePrincipal(principal),
    keyId,
    String(expiresAt),
    credentialExpiresAt === null ? null : String(credentialExpiresAt),
  ])
}

export function decodePass(text: string): StoredPass {
  const [principal, keyId, expiresAt, credential] = JSON.parse(text) as [
    string,
    string | null,
    string,
    string | null,
  ]
  return {
    principal: decodePrincipal(JSON.parse(principal) as EncodedPrincipal),
    keyId,
    expiresAt: BigInt(expiresAt),
    credentialExpiresAt: credential === null ? null : BigInt(credential),
  }
}

interface EncodedPrincipal {
  readonly kind: Principal['kind']
  readonly id: string
  readonly name: string | null
  readonly tenant: TenantScope
  readonly scopes: readonly AccessScope[]
  readonly datasets: readonly string[] | null
}

function encodePrincipal({ kind, id, name, tenant, scopes, datasets }: Principal): string {
  return JSON.stringify({
    kind,
    id,
    name,
    tenant,
    scopes: [...scopes],
    datasets: datasets === null ? null : [...datasets],
  } satisfies EncodedPrincipal)
}

function decodePrincipal({ scopes, datasets, ...rest }: EncodedPrincipal): Principal {
  return {
    ...rest,
    scopes: new Set(scopes),
    datasets: datasets === null ? null : new Set(datasets),
  }
}
