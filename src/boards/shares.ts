import { type Actor, type AuditLog, hashOf, newKeyId, newSecret } from '../access/index.ts'
import type { Database, Queryable } from '../postgres/index.ts'
import type { TenantScope } from '../schema/index.ts'
import { type Clock, formatInstant, type Instant, parsePoint } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { type Sql, sql } from '../util/sql.ts'
import type { Board, IssuedShare, Share } from './contract.ts'
import { fieldsOf, within, wrong } from './problem.ts'
import { tooMany } from './read-board.ts'
import type { Owner } from './store.ts'

/** Who makes or ends a link. */
export interface Sharer {
  readonly actor: Actor
  /** The key behind it, which the link ends with; null: a token, or nobody was asked. */
  readonly keyId: string | null
}

interface ShareParts {
  readonly db: Database
  readonly clock: Clock
  readonly audit: AuditLog
}

const day = 86_400_000_000n
const defaultMicros = 7n * day
const mostMicros = 366n * day
/** A token is not looked at again once it was good, so what was made with one lasts less long. */
const mostTokenMicros = 30n * day
/** Links of one board that have not ended. */
const mostShares = 100

/** Of `{ expires }`: a time, or how long from now. @throws TidemarkError TM_QUERY, TM_LIMIT */
export function readExpiry(input: unknown, now: Instant, { keyId, actor }: Sharer): Instant {
  const { expires } = fieldsOf('body', input ?? {}, [], ['expires'])
  if (expires === undefined || expires === null) return now + defaultMicros
  if (typeof expires !== 'string') return wrong('expires', 'must be a time, or how long from now: "30 days"')
  const isLength = /^\s*\d+\s*[a-z]+\s*$/i.test(expires)
  const at = within('expires', () => parsePoint(isLength ? `+${expires.trim()}` : expires, now, null))
  if (at <= now) wrong('expires', `${formatInstant(at)} is over`)
  const isToken = keyId === null && actor.kind !== 'anonymous'
  const most = isToken ? mostTokenMicros : mostMicros
  if (at - now > most)
    throw tooMany(
      `the life of a link made with ${isToken ? 'a token' : 'a key'}`,
      expires,
      `${most / day} days`,
      isToken ? 'ask for less, or make it with a key' : 'ask for less, and make a new one then',
    )
  return at
}

function columns(now: Instant): Sql {
  return sql`
    s.id, s.created_at, s.by_id, s.expires_at, s.expires_at <= ${formatInstant(now)}::timestamptz,
    s.revoked_at is not null,
    s.key_id is not null and (
      k.revoked_at is not null or coalesce(k.expires_at <= ${formatInstant(now)}::timestamptz, false)
    ),
    s.last_opened_at`
}

function ofBoard(owner: Owner, board: string): Sql {
  return sql`s.board_id = ${board}::text and s.tenant is not distinct from ${owner}::text`
}

/** With its entry in the audit log, or not at all. */
export async function shareBoard(
  { db, clock, audit }: ShareParts,
  shared: {
    readonly board: Board
    readonly datasets: readonly string[]
    readonly scope: TenantScope
    readonly expiresAt: Instant
  },
  { actor, keyId }: Sharer,
): Promise<IssuedShare> {
  const { board, datasets, scope, expiresAt } = shared
  const owner = scope.kind === 'one' ? scope.tenant : null
  const [id, token, now] = [newKeyId(), newSecret(), clock.now()]
  const share = await db.transaction({}, async (connection) => {
    const { rows } = await connection.query(sql`
      select count(*)
      from tidemark.board_share as s
      where ${ofBoard(owner, board.id)} and s.revoked_at is null
        and s.expires_at > ${formatInstant(now)}::timestamptz`)
    const open = Number(rows[0]![0])
    if (open >= mostShares)
      throw tooMany(
        'the number of links of the board',
        String(open + 1),
        String(mostShares),
        'end some of them',
      )
    // of a board that is removed meanwhile: the foreign key refuses it
    await connection.query(sql`
      insert into tidemark.board_share (
        id, hash, board_id, stored_id, tenant_kind, tenant, datasets, by_kind, by_id, key_id, created_at, expires_at
      )
      values (
        ${id}::text, ${hashOf(token)}::bytea, ${board.id}::text, ${board.source === 'stored' ? board.id : null}::text,
        ${scope.kind}::text, ${owner}::text, ${[...datasets]}::text[], ${actor.kind}::text, ${actor.id}::text,
        ${keyId}::text, ${formatInstant(now)}::timestamptz, ${formatInstant(expiresAt)}::timestamptz
      )`)
    const detail = { share: id, name: board.name, datasets, expiresAt: formatInstant(expiresAt) }
    await audit.record(actor, { act: 'board.share', subject: board.id, outcome: 'done', detail }, connection)
    return one(connection, owner, board.id, id, now)
  })
  return { ...share, token, path: `/shared/${token}` }
}

/** The newest first. */
export async function listShares(db: Queryable, owner: Owner, board: string, now: Instant): Promise<Share[]> {
  const { rows } = await db.query(sql`
    select ${columns(now)}
    from tidemark.board_share as s
    left join tidemark.api_key as k on k.id = s.key_id
    where ${ofBoard(owner, board)}
    order by s.created_at desc, s.id
    limit 1000`)
  return rows.map(shareOf)
}

/** @throws TidemarkError TM_UNKNOWN_SHARE */
export async function revokeShare(
  { db, clock, audit }: ShareParts,
  { owner, board, share }: { readonly owner: Owner; readonly board: string; readonly share: string },
  { actor }: Sharer,
): Promise<Share> {
  const now = clock.now()
  return db.transaction({}, async (connection) => {
    const { rowCount } = await connection.query(sql`
      update tidemark.board_share as s
      set revoked_at = coalesce(s.revoked_at, ${formatInstant(now)}::timestamptz)
      where s.id = ${share}::text and ${ofBoard(owner, board)}`)
    if (rowCount === 0)
      throw new TidemarkError('TM_UNKNOWN_SHARE', {
        problem: 'the board has no such link',
        todo: 'look at the list of its links',
      })
    const detail = { share }
    await audit.record(actor, { act: 'board.unshare', subject: board, outcome: 'done', detail }, connection)
    return one(connection, owner, board, share, now)
  })
}

/** Deletes what ended a month ago. @returns how many. */
export async function trimShares(db: Queryable, now: Instant): Promise<number> {
  const { rowCount } = await db.query(sql`
    delete from tidemark.board_share
    where least(expires_at, revoked_at) < ${formatInstant(now - 30n * day)}::timestamptz`)
  return rowCount
}

async function one(db: Queryable, owner: Owner, board: string, id: string, now: Instant): Promise<Share> {
  const { rows } = await db.query(sql`
    select ${columns(now)}
    from tidemark.board_share as s
    left join tidemark.api_key as k on k.id = s.key_id
    where s.id = ${id}::text and ${ofBoard(owner, board)}`)
  return shareOf(rows[0]!)
}

function shareOf(row: readonly unknown[]): Share {
  const [id, createdAt, by, expiresAt, isOver, isRevoked, isKeyOver, openedAt] = row
  return {
    id: id as string,
    createdAt: formatInstant(createdAt as Instant),
    createdBy: by as string,
    expiresAt: formatInstant(expiresAt as Instant),
    ended: isRevoked ? 'revoked' : isKeyOver ? 'key ended' : isOver ? 'expired' : null,
    lastOpenedAt: openedAt === null ? null : formatInstant(openedAt as Instant),
  }
}
