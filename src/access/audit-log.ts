import type { Database, Queryable } from '../postgres/index.ts'
import type { Clock } from '../time/index.ts'
import { formatInstant, type Instant } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import type { Actor } from './contract.ts'

export interface AuditRecord {
  /** `key.create`, or the method and path of a route. */
  readonly act: string
  /** What it was done to. */
  readonly subject: string | null
  readonly outcome: 'done' | 'refused' | 'failed'
  /** Whatever else is worth keeping; never a secret. */
  readonly detail?: Readonly<Record<string, unknown>> | null
}

export interface AuditEntry extends Required<AuditRecord> {
  readonly id: string
  /** ISO 8601. */
  readonly at: string
  readonly actorKind: string
  readonly actor: string
  /** Of the actor; null: of no single tenant. */
  readonly tenant: string | null
  readonly requestId: string | null
  readonly address: string | null
}

export interface AuditChoice {
  /** At most so many, 1 to 1000. Default 100. */
  readonly limit?: number
  /** Entries older than the one of this id. */
  readonly before?: string | null
  readonly act?: string | null
  readonly actor?: string | null
  readonly subject?: string | null
  readonly outcome?: AuditRecord['outcome'] | null
}

const pieceRows = 5000
const maxText = 1000

/** What was done by whom. Entries are added only; they leave when their time is over. */
export class AuditLog {
  readonly #db: Database
  readonly #clock: Clock

  constructor(db: Database, clock: Clock) {
    this.#db = db
    this.#clock = clock
  }

  /** In the transaction of the act, where there is one: then neither is there without the other. */
  async record(actor: Actor, entry: AuditRecord, connection: Queryable = this.#db): Promise<void> {
    const { tenant } = actor
    await connection.query(sql`
      insert into tidemark.audit_log
        (at, actor_kind, actor, tenant, act, subject, outcome, detail, request_id, address)
      values (
        ${formatInstant(this.#clock.now())}::timestamptz,
        ${actor.kind}::text,
        ${storable(actor.id)}::text,
        ${tenant.kind === 'one' ? storable(tenant.tenant) : null}::text,
        ${storable(entry.act)}::text,
        ${entry.subject === null ? null : storable(entry.subject)}::text,
        ${entry.outcome}::text,
        ${entry.detail ? JSON.stringify(entry.detail) : null}::jsonb,
        ${actor.requestId}::text,
        ${actor.address}::text
      )`)
  }

  /** The newest first. Who belongs to a tenant sees the acts of that tenant's own. */
  async list(actor: Pick<Actor, 'tenant'>, choice: AuditChoice = {}): Promise<AuditEntry[]> {
    const { tenant } = actor
    if (tenant.kind === 'none') return []
    const { rows } = await this.#db.query(sql`
      select
        id, at, actor_kind, actor, tenant, act, subject, outcome, detail, request_id, address
      from tidemark.audit_log
      where (${tenant.kind === 'one' ? tenant.tenant : null}::text is null or tenant = ${tenant.kind === 'one' ? tenant.tenant : null}::text)
        and (${choice.before ?? null}::int8 is null or id < ${choice.before ?? null}::int8)
        and (${choice.act ?? null}::text is null or act = ${choice.act ?? null}::text)
        and (${choice.actor ?? null}::text is null or actor = ${choice.actor ?? null}::text)
        and (${choice.subject ?? null}::text is null or subject = ${choice.subject ?? null}::text)
        and (${choice.outcome ?? null}::text is null or outcome = ${choice.outcome ?? null}::text)
      order by id desc
      limit ${choice.limit ?? 100}::int4`)
    return rows.map(
      ([id, at, actorKind, actor, tenant, act, subject, outcome, detail, requestId, address]) => ({
        id: String(id),
        at: formatInstant(at as Instant),
        actorKind: actorKind as string,
        actor: actor as string,
        tenant: tenant as string | null,
        act: act as string,
        subject: subject as string | null,
        outcome: outcome as AuditEntry['outcome'],
        detail: detail as AuditEntry['detail'],
        requestId: requestId as string | null,
        address: address as string | null,
      }),
    )
  }

  /** Deletes entries that are older. @returns how many. */
  async trim(olderThan: Instant, signal: AbortSignal | null = null): Promise<number> {
    let deleted = 0
    for (let count = pieceRows; count === pieceRows && !signal?.aborted; deleted += count)
      count = await this.#db.transaction({ signal }, async (connection) => {
        await connection.query(sql`select set_config('tidemark.trim_audit_log', 'on', true)`)
        const { rowCount } = await connection.query(sql`
          delete from tidemark.audit_log
          where id in (
            select id
            from tidemark.audit_log
            where at < ${formatInstant(olderThan)}::timestamptz
            order by at
            limit ${pieceRows}::int4
          )`)
        return rowCount
      })
    return deleted
  }
}

/** PostgreSQL's text holds no NUL. */
function storable(text: string): string {
  return text.replaceAll('\0', '�').slice(0, maxText)
}
