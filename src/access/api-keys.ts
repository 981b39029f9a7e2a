import type { Connection, Database } from '../postgres/index.ts'
import { allTenants, type TenantScope } from '../schema/index.ts'
import { type Clock, formatInstant, type Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { type Sql, sql } from '../util/sql.ts'
import type { AuditLog } from './audit-log.ts'
import { type AccessScope, type Actor, accessScopes } from './contract.ts'
import { withoutSecrets } from './redact.ts'
import { hashOf, keyText, newKeyId, newSecret } from './secret.ts'

/** What an API key is for, and until when. */
export interface NewKey {
  /** What people call it: 1 to 100 characters. */
  readonly name: string
  readonly scopes: readonly AccessScope[]
  /** Whose rows: of every tenant, or of one. */
  readonly tenant: TenantScope
  /** Names of datasets; null: every one. */
  readonly datasets: readonly string[] | null
  /** Null: never. */
  readonly expiresAt: Instant | null
}

/** A key as it is shown. Times are ISO 8601. */
export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly scopes: readonly AccessScope[]
  /** Null with `allTenants`. */
  readonly tenant: string | null
  readonly allTenants: boolean
  readonly datasets: readonly string[] | null
  readonly createdAt: string
  readonly createdBy: string
  readonly expiresAt: string | null
  /** Within a minute. */
  readonly lastUsedAt: string | null
  readonly revokedAt: string | null
  /** Until when the secret before the newest goes on; null: there is none. */
  readonly overlapUntil: string | null
}

export interface IssuedKey {
  readonly key: ApiKey
  /** What its user sends: `tm_<id>_<secret>`. It is told this once. */
  readonly secret: string
}

export const defaultOverlapMs = 24 * 3_600_000
/** Secrets of one key that are good at once. */
const maxSecrets = 4
const maxDatasets = 1000

/** API keys: made, replaced and taken away. What is done is in the audit log, or it is not done. */
export class ApiKeys {
  readonly #db: Database
  readonly #clock: Clock
  readonly #audit: AuditLog

  constructor(db: Database, clock: Clock, audit: AuditLog) {
    this.#db = db
    this.#clock = clock
    this.#audit = audit
  }

  /**
   * @example
   * const { secret } = await tm.access.keys.create(
   *   { name: 'collector', scopes: ['ingest'], tenant: { kind: 'one', tenant: 'acme' }, datasets: null, expiresAt: null }, actor)
   *
   * @throws TidemarkError TM_QUERY when it cannot be as asked, TM_FORBIDDEN when it would be more than the actor has himself.
   */
  async create(wanted: NewKey, actor: Actor): Promise<IssuedKey> {
    const now = this.#clock.now()
    checkNewKey(wanted, now)
    checkGrant(wanted, actor)
    const id = newKeyId()
    const secret = newSecret()
    const { tenant } = wanted
    const key = await this.#db.transaction({}, async (connection) => {
      await connection.query(sql`
        insert into tidemark.api_key
          (id, name, tenant_kind, tenant, scopes, datasets, created_at, created_by, expires_at)
        values (
          ${id}::text,
          ${wanted.name}::text,
          ${tenant.kind}::text,
          ${tenant.kind === 'one' ? tenant.tenant : null}::text,
          ${inOrder(wanted.scopes)}::text[],
          ${wanted.datasets === null ? null : [...new Set(wanted.datasets)].sort()}::text[],
          ${formatInstant(now)}::timestamptz,
          ${`${actor.kind} ${actor.id}`}::text,
          ${wanted.expiresAt === null ? null : formatInstant(wanted.expiresAt)}::timestamptz
        )`)
      await insertSecret(connection, id, secret, now)
      const made = await this.#one(connection, id)
      await this.#record(connection, actor, 'key.create', made, {
        name: made.name,
        scopes: made.scopes,
        tenant: made.tenant,
        datasets: made.datasets,
        expiresAt: made.expiresAt,
      })
      return made
    })
    return { key, secret: keyText(id, secret) }
  }

  /** The newest first; those that the actor may change, and with `all` revoked ones, too. */
  async list(actor: Actor, options: { readonly all?: boolean } = {}): Promise<ApiKey[]> {
    const condition = mayChange(actor)
    return this.#select(
      this.#db,
      options.all === true ? condition : sql`${condition} and k.revoked_at is null`,
    )
  }

  /**
   * A new secret beside the old one, which goes on for `overlapMs`: 0 ends it now.
   *
   * @throws TidemarkError TM_UNKNOWN_KEY when there is none that the actor may change, TM_LIMIT after too many in a short time.
   */
  async rotate(id: string, actor: Actor, options: { readonly overlapMs?: number } = {}): Promise<IssuedKey> {
    const overlapMs = options.overlapMs ?? defaultOverlapMs
    const now = this.#clock.now()
    const until = formatInstant(now + BigInt(Math.round(overlapMs)) * 1000n)
    const secret = newSecret()
    const key = await this.#db.transaction({}, async (connection) => {
      await this.#lock(connection, id, actor, now)
      await connection.query(sql`
        delete from tidemark.api_key_secret
        where key_id = ${id}::text and expires_at <= ${formatInstant(now)}::timestamptz`)
      const { rowCount } = await connection.query(sql`
        update tidemark.api_key_secret
        set expires_at = least(expires_at, ${until}::timestamptz)
        where key_id = ${id}::text`)
      if (overlapMs > 0 && rowCount >= maxSecrets)
        throw new TidemarkError('TM_LIMIT', {
          what: `the number of secrets of key ${id}`,
          value: String(rowCount + 1),
          limit: String(maxSecrets),
          todo: 'wait until one that was replaced has ended, or end all of them with an overlap of 0',
        })
      await insertSecret(connection, id, secret, now)
      const changed = await this.#one(connection, id)
      await this.#record(connection, actor, 'key.rotate', changed, { overlapUntil: changed.overlapUntil })
      return changed
    })
    return { key, secret: keyText(id, secret) }
  }

  /** Ends a key for good: here at once, in other processes within seconds. @throws TidemarkError TM_UNKNOWN_KEY */
  async revoke(id: string, actor: Actor): Promise<ApiKey> {
    const now = this.#clock.now()
    return this.#db.transaction({}, async (connection) => {
      await this.#lock(connection, id, actor, null)
      await connection.query(sql`
        update tidemark.api_key
        set revoked_at = ${formatInstant(now)}::timestamptz
        where id = ${id}::text`)
      await connection.query(sql`delete from tidemark.pass where key_id = ${id}::text`)
      const revoked = await this.#one(connection, id)
      await this.#record(connection, actor, 'key.revoke', revoked, { name: revoked.name })
      return revoked
    })
  }

  /** Two that change one key come one after the other. */
  async #lock(connection: Connection, id: string, actor: Actor, goodAt: Instant | null): Promise<void> {
    const { rows } = await connection.query(sql`
      select expires_at
      from tidemark.api_key as k
      where k.id = ${id}::text and k.revoked_at is null and ${mayChange(actor)}
      for update`)
    const [row] = rows
    if (row === undefined) throw new TidemarkError('TM_UNKNOWN_KEY', { id: withoutSecrets(id).slice(0, 100) })
    if (goodAt !== null && row[0] !== null && (row[0] as Instant) <= goodAt)
      throw new TidemarkError('TM_QUERY', {
        path: 'id',
        problem: `the key ${id} has expired at ${formatInstant(row[0] as Instant)}; make a new one`,
      })
  }

  async #one(connection: Connection, id: string): Promise<ApiKey> {
    const [key] = await this.#select(connection, sql`k.id = ${id}::text`)
    return key as ApiKey
  }

  async #select(from: Pick<Connection, 'query'>, condition: Sql): Promise<ApiKey[]> {
    const { rows } = await from.query(sql`
      select
        k.id, k.name, k.scopes, k.tenant_kind, k.tenant, k.datasets,
        k.created_at, k.created_by, k.expires_at, k.last_used_at, k.revoked_at,
        (
          select max(s.expires_at)
          from tidemark.api_key_secret as s
          where s.key_id = k.id and s.expires_at > ${formatInstant(this.#clock.now())}::timestamptz
        )
      from tidemark.api_key as k
      where ${condition}
      order by k.created_at desc, k.id`)
    return rows.map(
      ([id, name, scopes, kind, tenant, datasets, createdAt, createdBy, ends, used, revoked, overlap]) => ({
        id: id as string,
        name: name as string,
        scopes: scopes as AccessScope[],
        tenant: tenant as string | null,
        allTenants: kind === allTenants.kind,
        datasets: datasets as string[] | null,
        createdAt: formatInstant(createdAt as Instant),
        createdBy: createdBy as string,
        expiresAt: shown(ends),
        lastUsedAt: shown(used),
        revokedAt: shown(revoked),
        overlapUntil: shown(overlap),
      }),
    )
  }

  #record(
    connection: Connection,
    actor: Actor,
    act: string,
    key: ApiKey,
    detail: Readonly<Record<string, unknown>>,
  ): Promise<void> {
    return this.#audit.record(actor, { act, subject: key.id, outcome: 'done', detail }, connection)
  }
}

function shown(at: unknown): string | null {
  return at === null ? null : formatInstant(at as Instant)
}

function inOrder(scopes: readonly AccessScope[]): AccessScope[] {
  return accessScopes.filter((scope) => scopes.includes(scope))
}

async function insertSecret(connection: Connection, id: string, secret: string, now: Instant): Promise<void> {
  await connection.query(sql`
    insert into tidemark.api_key_secret (key_id, hash, created_at)
    values (${id}::text, ${hashOf(secret)}::bytea, ${formatInstant(now)}::timestamptz)`)
}

/** Of `tidemark.api_key as k`: whoever could change a key that may do more than he may would have its secret. */
function mayChange({ tenant, datasets }: Actor): Sql {
  if (tenant.kind === 'none') return sql`false`
  const ofTenant = tenant.kind === 'all' ? sql`true` : sql`k.tenant = ${tenant.tenant}::text`
  return datasets === null
    ? ofTenant
    : sql`${ofTenant} and k.datasets is not null and k.datasets <@ ${[...datasets]}::text[]`
}

function checkNewKey({ name, scopes, tenant, datasets, expiresAt }: NewKey, now: Instant): void {
  const refuse = (path: string, problem: string): never => {
    throw new TidemarkError('TM_QUERY', { path, problem })
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (!/^[^\x00-\x1f\x7f]{1,100}$/u.test(name))
    refuse('name', 'must be 1 to 100 characters, without control characters')
  if (scopes.length === 0) refuse('scopes', `is empty; of ${accessScopes.join(', ')} at least one`)
  if (tenant.kind === 'none') refuse('tenant', 'a key is of one tenant or of all; say which')
  if (
    tenant.kind === 'one' &&
    (tenant.tenant === '' || tenant.tenant.includes('\0') || tenant.tenant.length > 200)
  )
    refuse('tenant', 'must be 1 to 200 characters')
  if (datasets !== null && (datasets.length === 0 || datasets.length > maxDatasets))
    refuse('datasets', `must be 1 to ${maxDatasets} names; leave it out for every dataset`)
  if (expiresAt !== null && expiresAt <= now) refuse('expiresAt', 'is in the past')
}

/** Nobody gives away more than he has. */
function checkGrant(wanted: NewKey, actor: Actor): void {
  const { tenant } = actor
  const isOwnTenant =
    tenant.kind === 'all' ||
    (tenant.kind === 'one' && wanted.tenant.kind === 'one' && wanted.tenant.tenant === tenant.tenant)
  if (!isOwnTenant)
    throw new TidemarkError('TM_FORBIDDEN', {
      what: 'keys of other tenants, or of all, are not yours to make',
      todo:
        tenant.kind === 'one' ? `make one for the tenant "${tenant.tenant}"` : 'use a key that has a tenant',
    })
  const own = actor.datasets
  const beyond = own === null ? [] : (wanted.datasets ?? ['every dataset']).filter((name) => !own.has(name))
  if (beyond.length > 0)
    throw new TidemarkError('TM_FORBIDDEN', {
      what: `a key for ${beyond.join(', ')} would be for more than your own is`,
      todo: `name datasets of ${[...(own ?? [])].join(', ')}`,
    })
}
