import { type AccessScope, hashOf, isSecretForm } from '../access/index.ts'
import type { Database, Queryable } from '../postgres/index.ts'
import type { QueryableDefinition, TenantScope } from '../schema/index.ts'
import { type Clock, formatInstant, type Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'
import type { FileBoard } from './board-files.ts'
import { nameOf } from './check-panels.ts'
import type { BoardDocument, Panel, SharedBoard, SharedQuestion } from './contract.ts'
import { comparedRange, panelQuestion, rangeInside, rangeOfBoard } from './panel-question.ts'
import { fieldsOf, wrong } from './problem.ts'
import { findBoard } from './store.ts'

/** What this server takes: a link ends where its sharer could not have made it any more. */
export interface ShareRules {
  readonly anonymous: boolean
  readonly keys: boolean
  readonly tokens: boolean
}

/** A link that is good, as it is now. */
export interface OpenShare {
  readonly id: string
  readonly boardId: string
  /** Whose rows. */
  readonly scope: TenantScope
  /** Those that were on the board when it was shared, and that the sharer may still use. */
  readonly datasets: ReadonlySet<string>
  readonly board: SharedBoard
  /**
   * What is asked for a panel.
   *
   * @throws TidemarkError TM_UNKNOWN_BOARD for a panel that is not there; TM_QUERY
   */
  ask(
    panel: string,
    question: unknown,
  ): { readonly dataset: string; readonly query: Readonly<Record<string, unknown>> }
  /** Notes that somebody has opened it. @returns whether it is the first time within the hour, which is worth an entry in the audit log. */
  opened(): Promise<boolean>
}

interface Parts {
  readonly db: Database
  readonly clock: Clock
  readonly queryable: (name: string) => QueryableDefinition
  readonly files: () => Promise<readonly FileBoard[]>
}

interface StoredShare {
  readonly id: string
  readonly boardId: string
  readonly isFile: boolean
  readonly scope: TenantScope
  readonly datasets: readonly string[]
  readonly byKind: string
  readonly expiresAt: Instant
  readonly isRevoked: boolean
  /** Of the sharer, as it is now; null: he had none. */
  readonly key: {
    readonly isRevoked: boolean
    readonly expiresAt: Instant | null
    readonly scopes: readonly AccessScope[]
    readonly datasets: readonly string[] | null
  } | null
}

/** @throws TidemarkError TM_UNKNOWN_SHARE when there is none, or it has ended. */
export async function openShare(parts: Parts, token: string, rules: ShareRules): Promise<OpenShare> {
  const { db, clock } = parts
  const share = isSecretForm(token) ? await findShare(db, token) : null
  if (share === null) throw ended('there is no such link', 'copy it whole, or ask for a new one')
  const now = clock.now()
  assertGood(share, now, rules)
  const found = share.isFile
    ? (await parts.files()).find(({ board }) => board.id === share.boardId)?.board
    : await findBoard(db, share.scope.kind === 'one' ? share.scope.tenant : null, share.boardId)
  if (!found) throw ended('the board of the link is there no more', 'ask for a link to another')
  const own = share.key?.datasets ?? null
  const allowed = new Set(
    share.datasets.filter((name) => own === null || own.some((one) => nameOf(parts, one) === name)),
  )
  const document: BoardDocument = {
    ...found.document,
    panels: found.document.panels.filter(({ query }) => allowed.has(nameOf(parts, query.dataset))),
  }
  return {
    id: share.id,
    boardId: share.boardId,
    scope: share.scope,
    datasets: allowed,
    board: {
      name: found.name,
      description: found.description,
      expiresAt: formatInstant(share.expiresAt),
      document,
    },
    ask: (panel, question) => askPanel(parts, document, panel, question),
    opened: () => noteOpened(db, share.id, clock.now()),
  }
}

function askPanel(
  { clock, queryable }: Parts,
  document: BoardDocument,
  id: string,
  input: unknown,
): ReturnType<OpenShare['ask']> {
  const panel = document.panels.find((one) => one.id === id)
  if (panel === undefined) throw new TidemarkError('TM_UNKNOWN_BOARD', { id: `the panel ${id}` })
  const question = readQuestion(input)
  const definition = queryable(panel.query.dataset)
  const zone = panel.query.zone ?? null
  const now = clock.now()
  const whole = rangeOfBoard(document, now, zone)
  const range = rangeInside(whole, question, now, zone)
  const isWhole = range.from === whole.from && range.to === whole.to
  if (question.compare === true) return asked(panel, definition, comparedRange(range, panel))
  return asked(panel, definition, range, isWhole ? { to: 'now', ...document.range } : undefined)
}

function asked(
  panel: Panel,
  definition: QueryableDefinition,
  range: Parameters<typeof panelQuestion>[1],
  texts?: { readonly from: string; readonly to: string },
): ReturnType<OpenShare['ask']> {
  return { dataset: definition.name, query: panelQuestion(panel, range, definition, texts) }
}

function readQuestion(input: unknown): SharedQuestion {
  const { from, to, compare } = fieldsOf('body', input ?? {}, [], ['from', 'to', 'compare'])
  if (compare !== undefined && typeof compare !== 'boolean') wrong('compare', 'must be true or false')
  return { from, to, compare } as SharedQuestion
}

function assertGood(share: StoredShare, now: Instant, rules: ShareRules): void {
  const { byKind, key, isRevoked, expiresAt } = share
  if (isRevoked) throw ended('the link was ended by somebody who may', 'ask for a new one')
  if (expiresAt <= now)
    throw ended(`the link has expired on ${formatInstant(expiresAt)}`, 'ask for a new one')
  const isTaken = key !== null ? rules.keys : byKind === 'anonymous' ? rules.anonymous : rules.tokens
  const isKeyGood =
    key === null ||
    (!key.isRevoked && (key.expiresAt === null || key.expiresAt > now) && key.scopes.includes('query'))
  if (!isTaken || !isKeyGood)
    throw ended('the link has ended, because whoever made it may not ask here any more', 'ask for a new one')
}

/** With the key of the sharer as it is now; by the unique index on the hash. */
async function findShare(db: Queryable, token: string): Promise<StoredShare | null> {
  const { rows } = await db.query(sql`
    select
      s.id, s.board_id, s.stored_id is null, s.tenant_kind, s.tenant, s.datasets, s.by_kind, s.expires_at,
      s.revoked_at is not null, k.id, k.revoked_at is not null, k.expires_at, k.scopes, k.datasets
    from tidemark.board_share as s
    left join tidemark.api_key as k on k.id = s.key_id
    where s.hash = ${hashOf(token)}::bytea`)
  const row = rows[0]
  if (row === undefined) return null
  const [id, boardId, isFile, kind, tenant, datasets, byKind, expiresAt, isRevoked, keyId] = row
  return {
    id: id as string,
    boardId: boardId as string,
    isFile: isFile as boolean,
    scope: kind === 'all' ? { kind: 'all' } : { kind: 'one', tenant: tenant as string },
    datasets: datasets as string[],
    byKind: byKind as string,
    expiresAt: expiresAt as Instant,
    isRevoked: isRevoked as boolean,
    key:
      keyId === null
        ? null
        : {
            isRevoked: row[10] as boolean,
            expiresAt: row[11] as Instant | null,
            scopes: row[12] as AccessScope[],
            datasets: row[13] as string[] | null,
          },
  }
}

async function noteOpened(db: Queryable, id: string, now: Instant): Promise<boolean> {
  const at = formatInstant(now)
  const { rowCount } = await db.query(sql`
    update tidemark.board_share
    set last_opened_at = ${at}::timestamptz
    where id = ${id}::text
      and (last_opened_at is null or last_opened_at <= ${at}::timestamptz - interval '1 hour')`)
  return rowCount > 0
}

function ended(problem: string, todo: string): TidemarkError {
  return new TidemarkError('TM_UNKNOWN_SHARE', { problem, todo })
}
