import { advance, type Consumer, readMissing, timestamptzText } from '../changelog/index.ts'
import type { Connection, Queryable } from '../postgres/index.ts'
import { formatInstant, type Instant, type TimeRange } from '../time/index.ts'
import { sql } from '../util/sql.ts'
import { addTouched, always, type InvalidRange, keyOf, widen } from './invalid-ranges.ts'
import { unionOf } from './validity.ts'
import { type AggregateVersion, consumerOf } from './version.ts'

/** Ranges of one version at most; each is a row that every query reads. */
const maxRanges = 1_000

/** Rows of `aggregate_invalid` of a version, in order of time. Index aggregate_invalid_by_version. */
export async function readInvalid(connection: Queryable, versionId: number): Promise<InvalidRange[]> {
  const { rows } = await connection.query(sql`
    select tenant, range_from, range_to
    from tidemark.aggregate_invalid
    where version_id = ${versionId}::int4
    order by range_from, tenant`)
  return rows.map((row) => {
    const [tenant, from, to] = row as [string | null, Instant, Instant]
    return { tenant, range: { from, to } }
  })
}

/** Puts `after` in the place of `before`, what `readInvalid` gave in the same transaction; rows that stay are left alone. */
export async function writeInvalid(
  connection: Queryable,
  versionId: number,
  before: readonly InvalidRange[],
  after: readonly InvalidRange[],
): Promise<void> {
  const stay = new Set(after.map(keyOf))
  const were = new Set(before.map(keyOf))
  const gone = before.filter((one) => !stay.has(keyOf(one)))
  const added = after.filter((one) => !were.has(keyOf(one)))
  if (gone.length > 0)
    await connection.query(sql`
      delete from tidemark.aggregate_invalid as i
      using unnest(
        ${gone.map(({ tenant }) => tenant)}::text[],
        ${gone.map(({ range }) => timestamptzText(range.from))}::timestamptz[],
        ${gone.map(({ range }) => timestamptzText(range.to))}::timestamptz[]
      ) as g (tenant, range_from, range_to)
      where i.version_id = ${versionId}::int4
        and i.range_from = g.range_from and i.range_to = g.range_to and i.tenant is not distinct from g.tenant`)
  if (added.length > 0)
    await connection.query(sql`
      insert into tidemark.aggregate_invalid (version_id, tenant, range_from, range_to)
      select ${versionId}::int4, a.tenant, a.range_from, a.range_to
      from unnest(
        ${added.map(({ tenant }) => tenant)}::text[],
        ${added.map(({ range }) => timestamptzText(range.from))}::timestamptz[],
        ${added.map(({ range }) => timestamptzText(range.to))}::timestamptz[]
      ) as a (tenant, range_from, range_to)`)
}

/**
 * Takes the version for this transaction, which is REPEATABLE READ and whose first statement this is; false while somebody else
 * has it. Whoever changes cells or what is valid does so first, and counts `epoch` up: a snapshot taken before such a commit then
 * ends with 40001 instead of undoing it. Late rows that are merged into cells (late-merge.ts) wait for it.
 */
export async function lockVersion(connection: Queryable, versionId: number): Promise<boolean> {
  const { rows } = await connection.query(sql`
    select from tidemark.aggregate_version
    where id = ${versionId}::int4 and state <> 'retired'
    for no key update skip locked`)
  return rows.length === 1
}

export async function countEpoch(connection: Queryable, versionId: number): Promise<void> {
  await connection.query(
    sql`update tidemark.aggregate_version set epoch = epoch + 1 where id = ${versionId}::int4`,
  )
}

/**
 * Buckets of which raw rows are gone: those that a dropped chunk touches. Their cells are never computed again, also not from a
 * living chunk that holds a part of the bucket. Ascending.
 */
export async function readFrozen(
  connection: Queryable,
  { hypertableId, materialization: { bucket } }: AggregateVersion,
): Promise<readonly TimeRange[]> {
  const { rows } = await connection.query(sql`
    select lower(gone), upper(gone)
    from (
      select unnest(range_agg(tstzrange(range_from, range_to))) as gone
      from tidemark.chunk
      where hypertable_id = ${hypertableId}::int4 and state = 'dropped'
    ) as dropped
    order by 1`)
  return unionOf(
    rows.map((row) => {
      const [from, to] = row as [Instant, Instant]
      return { range: widen(bucket, { from, to }) }
    }),
  )
}

/** A version that begins now: of rows that are gone already it knows nothing. One that is swapped in later is told by the old one. */
async function noteUnknown(
  connection: Queryable,
  { id, materialization: { states } }: AggregateVersion,
  frozen: readonly TimeRange[],
): Promise<void> {
  const last = frozen.at(-1)
  if (!last) return
  const unknown = Object.fromEntries(states.map((_, place) => [place, formatInstant(last.to)]))
  await connection.query(sql`
    update tidemark.aggregate_version
    set unknown_before = unknown_before || ${JSON.stringify(unknown)}::jsonb
    where id = ${id}::int4`)
}

export interface TakenOver {
  /** Entries of the change log. */
  readonly entries: bigint
  /** Why everything is invalid now; null: it is not. */
  readonly startOver: string | null
  /** Buckets whose rows are gone. */
  readonly frozen: readonly TimeRange[]
}

/**
 * Makes ranges of whole buckets of what the version's consumer has missed, and moves its position there, in one transaction:
 * at no moment a change is in neither. Null while somebody else has the version. `also` is invalid from then on, too.
 */
export async function takeOver(
  connection: Connection,
  version: AggregateVersion,
  also: TimeRange | null = null,
): Promise<TakenOver | null> {
  if (!(await lockVersion(connection, version.id))) return null
  const consumer: Consumer = consumerOf(version)
  const { bucket } = version.materialization
  const missing = await readMissing(connection, consumer, { maxRanges })
  const frozen = await readFrozen(connection, version)
  if (missing.kind === 'start-over' && missing.reason === 'new')
    await noteUnknown(connection, version, frozen)
  const before = await readInvalid(connection, version.id)
  const touched: readonly InvalidRange[] =
    missing.kind === 'start-over'
      ? [{ tenant: null, range: always }]
      : missing.ranges.map(({ tenant, range }) => ({ tenant, range: widen(bucket, range) }))
  const more = also ? [{ tenant: null, range: also }] : []
  const after = addTouched(before, [...touched, ...more], { frozen, maxRanges })
  await writeInvalid(connection, version.id, before, after)
  await advance(connection, consumer, missing.snapshot)
  await countEpoch(connection, version.id)
  return missing.kind === 'start-over'
    ? { entries: 0n, startOver: missing.reason, frozen }
    : { entries: missing.entries, startOver: null, frozen }
}
