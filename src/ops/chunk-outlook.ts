import { readDropObstacles } from '../continuous/index.ts'
import {
  type ChunkLife,
  judgeWear,
  type LifecycleSettings,
  type Subject,
  tableObstacle,
} from '../lifecycle/index.ts'
import type { Queryable } from '../postgres/index.ts'
import { addInterval, formatInstant, type Instant } from '../time/index.ts'
import { sql } from '../util/sql.ts'

export type ChunkAct = 'freeze' | 'drop' | 'compact'

/** What will be done with a chunk by itself. */
export interface ChunkOutlook {
  readonly act: ChunkAct
  /** From when on it may be done. */
  readonly at: Instant
  /** Why it was not, although that is over. */
  readonly waitsFor: string | null
}

export interface Outlook {
  readonly next: ReadonlyMap<bigint, ChunkOutlook>
  /** Chunks whose rows somebody moves at this moment. */
  readonly moving: ReadonlySet<bigint>
}

export interface OutlookContext {
  readonly now: Instant
  readonly settings: LifecycleSettings
}

/** A chunk of the catalog with what decides when it is moved. */
interface Decisive {
  readonly moveFailedAt: Instant | null
  /** Its last write, freeze or deletion, of what the change log still has; null: nothing is known. */
  readonly touchedAt: Instant | null
  /** The last write within `quietMs`. */
  readonly writtenAt: Instant | null
}

/**
 * What the policies of the declaration will do with each chunk next, and what that waits for. Of the catalog and statistics: no table is
 * read, so rows of a partition are PostgreSQL's estimate.
 */
export async function readOutlook(
  db: Queryable,
  subject: Subject,
  lives: readonly ChunkLife[],
  context: OutlookContext,
): Promise<Outlook> {
  const { definition } = subject
  const { now } = context
  const freezesAt = (chunk: ChunkLife): Instant | null =>
    definition.freeze === null || chunk.state === 'cold' || !chunk.hasHotPages
      ? null
      : addInterval(chunk.range.to, definition.freeze.after, null)
  const dropsAt = (chunk: ChunkLife): Instant | null =>
    definition.retain === null ? null : addInterval(chunk.range.to, definition.retain, null)
  const files = await readFileRows(db, subject)
  // of those that would be written anew if nobody came for long it matters when somebody did
  const isWorn = (chunk: ChunkLife): boolean =>
    chunk.state === 'cold' &&
    wearOf(chunk, files.get(chunk.id) ?? [], context.settings.foldAfterMs, context) !== 'rest'
  const overdue = (at: Instant | null): boolean => at !== null && at <= now
  const decisive = await readDecisive(
    db,
    lives.filter((chunk) => overdue(freezesAt(chunk)) || isWorn(chunk)).map(({ id }) => id),
    context.settings,
  )
  const expired = lives.filter((chunk) => overdue(dropsAt(chunk)))
  const held = new Map(
    expired.length === 0
      ? []
      : (
          await readDropObstacles(
            db,
            definition,
            expired.map(({ range }) => range),
            now,
          )
        ).map((reason, i) => [expired[i]!.id, reason] as const),
  )
  const moving = await readMoving(db, subject)
  const forbidden = lives.some((chunk) => overdue(freezesAt(chunk))) ? await tableObstacle(db, subject) : null
  const outlook = new Map<bigint, ChunkOutlook>()
  for (const chunk of lives) {
    const isMoving = moving.has(chunk.id)
    const known = decisive.get(chunk.id)
    const freezeAt = freezesAt(chunk)
    const dropAt = dropsAt(chunk)
    const acts: ChunkOutlook[] = []
    if (freezeAt !== null)
      acts.push({
        act: 'freeze',
        at: freezeAt,
        waitsFor:
          isMoving || known === undefined
            ? null
            : (forbidden ?? freezeWaitsFor(chunk, known, context, freezeAt, definition.freeze!.after)),
      })
    if (dropAt !== null)
      acts.push({ act: 'drop', at: dropAt, waitsFor: isMoving ? null : (held.get(chunk.id) ?? null) })
    const compactAt =
      known !== undefined && chunk.state === 'cold'
        ? compactsAt(chunk, files.get(chunk.id) ?? [], known.touchedAt, context)
        : null
    if (compactAt !== null)
      acts.push({ act: 'compact', at: compactAt, waitsFor: isMoving ? null : failed(chunk) })
    const [next] = acts.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0))
    if (next !== undefined) outlook.set(chunk.id, next)
  }
  return { next: outlook, moving }
}

/** As lifecycle/due.ts decides. */
function freezeWaitsFor(
  chunk: ChunkLife,
  { writtenAt, moveFailedAt }: Decisive,
  { now, settings }: OutlookContext,
  freezeAt: Instant,
  after: Parameters<typeof addInterval>[1],
): string | null {
  const isImpatient = addInterval(freezeAt, after, null) <= now
  const triedAgainAt = moveFailedAt === null ? null : later(moveFailedAt, settings.restlessMs)
  const isResting = triedAgainAt !== null && triedAgainAt > now
  if (writtenAt !== null && !(isImpatient && !isResting)) {
    const until = formatInstant(later(writtenAt, settings.quietMs))
    return `it was written to at ${formatInstant(writtenAt)}: it waits until nobody has written to it for ${minutes(settings.quietMs)} (${until} at the earliest)`
  }
  return failed(chunk)
}

function failed({ moveError, moveFailures }: ChunkLife): string | null {
  return moveError === null
    ? null
    : `the last try failed (${moveFailures} in a row): ${moveError}. The worker tries again by itself`
}

/** When the policy finds it worth writing, unless it is written to until then. */
function compactsAt(
  chunk: ChunkLife,
  fileRows: readonly number[],
  touchedAt: Instant | null,
  context: OutlookContext,
): Instant {
  const { now, settings } = context
  const since = touchedAt ?? chunk.frozenAt ?? now
  const restedMs = Math.max(0, Number((now - since) / 1000n))
  const at = later(since, settings.foldAfterMs)
  // so much lies loose that nobody's coming is waited for
  return at > now && wearOf(chunk, fileRows, restedMs, context) !== 'rest' ? now : at
}

function wearOf(
  { hotRows, deletedRows }: ChunkLife,
  fileRows: readonly number[],
  restedMs: number,
  { settings }: OutlookContext,
): ReturnType<typeof judgeWear> {
  return judgeWear({ deltaRows: hotRows, fileRows, deletedRows, restedMs }, settings)
}

/** Rows of each file of each chunk, the oldest first. */
async function readFileRows(
  db: Queryable,
  { hypertable }: Subject,
): Promise<ReadonlyMap<bigint, readonly number[]>> {
  const { rows } = await db.query(sql`
    select chunk_id, array_agg(row_count order by id)
    from tidemark.lake_file
    where hypertable_id = ${hypertable.id}::int
    group by chunk_id`)
  return new Map(rows.map(([id, counts]) => [id as bigint, (counts as readonly bigint[]).map(Number)]))
}

async function readMoving(db: Queryable, { hypertable }: Subject): Promise<ReadonlySet<bigint>> {
  const { rows } = await db.query(sql`
    select id from tidemark.chunk where hypertable_id = ${hypertable.id}::int and lease_until > now()`)
  return new Set(rows.map(([id]) => id as bigint))
}

/** Of those chunks only of which it matters: each looks through the change log of its hypertable. */
async function readDecisive(
  db: Queryable,
  ids: readonly bigint[],
  settings: LifecycleSettings,
): Promise<ReadonlyMap<bigint, Decisive>> {
  if (ids.length === 0) return new Map()
  const { rows } = await db.query(sql`
    select
      k.id, k.move_failed_at,
      greatest(k.frozen_at, l.logged_at, (
        select max(d.created_at)
        from tidemark.lake_deletion as d
        join tidemark.lake_file as f on f.id = d.file_id
        where f.hypertable_id = k.hypertable_id and f.chunk_id = k.id
      )),
      case when l.logged_at > clock_timestamp() - ${settings.quietMs}::float8 * interval '1 millisecond' then l.logged_at end
    from tidemark.chunk as k
    cross join lateral (
      select max(l.logged_at) as logged_at
      from tidemark.change_log as l
      where l.hypertable_id = k.hypertable_id and l.range_from < k.range_to and l.range_to > k.range_from
    ) as l
    where k.id = any (${ids}::int8[])`)
  return new Map(
    rows.map(([id, moveFailedAt, touchedAt, writtenAt]) => [
      id as bigint,
      {
        moveFailedAt: moveFailedAt as Instant | null,
        touchedAt: touchedAt as Instant | null,
        writtenAt: writtenAt as Instant | null,
      },
    ]),
  )
}

function later(instant: Instant, ms: number): Instant {
  return instant + BigInt(ms) * 1000n
}

function minutes(ms: number): string {
  return `${Math.round(ms / 60_000)} minutes`
}
