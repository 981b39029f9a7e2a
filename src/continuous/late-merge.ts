import { noteDatasetChange, timestamptzText } from '../changelog/index.ts'
import { expired, type LateMerger, scanRows } from '../hot/index.ts'
import type { Connection } from '../postgres/index.ts'
import { planBuckets } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { type Clock, formatInstant, type Instant, type TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, type Sql, sql } from '../util/sql.ts'
import { unreachable } from '../util/unreachable.ts'
import { readVersions } from './catalog.ts'
import { countEpoch } from './invalid.ts'
import { subtract, widen } from './invalid-ranges.ts'
import { mergeCells } from './late-cells.ts'
import { holdDrops } from './late-lock.ts'
import { orderedOutput, takesOf } from './late-takes.ts'
import { readValidity, unionOf } from './validity.ts'
import type { AggregateVersion } from './version.ts'

/** Buckets that rows of one transaction may lie in, whose borders have to be listed. */
const maxBuckets = 1_000_000

interface Taker {
  readonly version: AggregateVersion
  /** Buckets whose cells take rows. */
  readonly takes: readonly TimeRange[]
}

/**
 * Merges late rows into the cells of all continuous aggregates on a hypertable, in the transaction of the call that brings them: the
 * same statements compute their states as a refresh's, and the algebra merges them.
 *
 * @example
 * const writer = createHotWriter({ db, chunks, late: createLateMerger({ clock }) })
 */
export function createLateMerger({ clock }: { readonly clock: Clock }): LateMerger {
  return {
    async open(connection, definition) {
      await holdDrops(connection, definition)
      const dropped = await readDropped(connection, definition)
      if (dropped.length === 0)
        return { dropped, frozen: [], merge: () => unreachable('there is nothing to merge into') }
      const now = clock.now()
      const frozen = allOf(await readTakers(connection, definition, dropped, now))
      return {
        dropped,
        frozen,
        async merge(table) {
          const takers = await lockTakers(connection, definition, dropped, now)
          const found = allOf(takers)
          if (subtract(found, unionOf([...dropped, ...frozen].map((range) => ({ range })))).length > 0)
            return false
          await assertMayMerge(connection, definition)
          const rows: LateRelation = { definition, table }
          await assertAllTaken(
            connection,
            rows,
            subtract(unionOf(dropped.map((range) => ({ range }))), found),
          )
          const span = await spanOf(connection, rows)
          if (span === null) return true
          for (const taker of takers) await mergeInto(connection, taker, rows, span)
          await noteDatasetChange(connection, definition.name)
          return true
        },
      }
    },
  }
}

/** A temporary table of rows, with the columns of the hypertable. */
interface LateRelation {
  readonly definition: HypertableDefinition
  readonly table: string
}

function relationOf({ table }: LateRelation): Sql {
  return identifier('pg_temp', table)
}

async function readDropped(
  connection: Connection,
  { schema, table }: HypertableDefinition,
): Promise<readonly TimeRange[]> {
  const { rows } = await connection.query(sql`
    select k.range_from, k.range_to
    from tidemark.hypertable as h
    join tidemark.chunk as k on k.hypertable_id = h.id
    where h.schema_name = ${schema}::text and h.table_name = ${table}::text and k.state = 'dropped'
    order by k.range_from`)
  return rows.map(([from, to]) => ({ from: from as Instant, to: to as Instant }))
}

/** By the declarations of the catalog: an aggregate that this process does not know counts late rows, too. */
async function readTakers(
  connection: Connection,
  { name }: HypertableDefinition,
  dropped: readonly TimeRange[],
  now: Instant,
): Promise<readonly Taker[]> {
  const versions = (await readVersions(connection, null)).filter(
    ({ materialization }) => materialization.base.name === name,
  )
  const validity = await readValidity((statement) => connection.query(statement), versions, null)
  return versions.map((version, i) => ({
    version,
    takes: takesOf(version, validity[i] ?? unreachable('each version has its validity'), dropped, now),
  }))
}

function allOf(takers: readonly Taker[]): readonly TimeRange[] {
  return unionOf(takers.flatMap(({ takes }) => takes.map((range) => ({ range }))))
}

/**
 * Locks the versions as a refresh does, so that nobody else changes their cells. By id, so that two writers wait for each other and not in
 * a circle; until none is there that is not locked: while this waited a new version may have been swapped in.
 */
async function lockTakers(
  connection: Connection,
  definition: HypertableDefinition,
  dropped: readonly TimeRange[],
  now: Instant,
): Promise<readonly Taker[]> {
  const locked = new Set<number>()
  for (;;) {
    const takers = await readTakers(connection, definition, dropped, now)
    const wanted = takers.map(({ version }) => version.id).filter((id) => !locked.has(id))
    if (wanted.length === 0) return takers
    await connection.query(sql`
      select from tidemark.aggregate_version
      where id = any(${wanted}::int4[]) and state <> 'retired'
      order by id
      for no key update`)
    for (const id of wanted) locked.add(id)
  }
}

/** Cells have no policies: who does not see every row must not write them. */
async function assertMayMerge(
  connection: Connection,
  { schema, table, name }: HypertableDefinition,
): Promise<void> {
  const { rows } = await connection.query(
    sql`select row_security_active(format('%I.%I', ${schema}::text, ${table}::text)::regclass)`,
  )
  if (rows[0]?.[0] === false) return
  throw new TidemarkError('TM_AGGREGATE', {
    aggregate: name,
    problem:
      'the role that writes does not see every row, and a late row is merged into cells that others read',
    todo: 'write late rows as the owner of the table, or as a role with BYPASSRLS',
  })
}

/** @param others Dropped time of which no aggregate knows anything. */
async function assertAllTaken(
  connection: Connection,
  rows: LateRelation,
  others: readonly TimeRange[],
): Promise<void> {
  if (others.length === 0) return
  const time = identifier(rows.definition.time)
  const { rows: found } = await connection.query(sql`
    select w.${time}
    from ${relationOf(rows)} as w
    join unnest(
      ${others.map(({ from }) => timestamptzText(from))}::timestamptz[],
      ${others.map(({ to }) => timestamptzText(to))}::timestamptz[]
    ) as o (range_from, range_to) on w.${time} >= o.range_from and w.${time} < o.range_to
    limit 1`)
  const at = found[0]?.[0] as Instant | undefined
  if (at === undefined) return
  const range = others.find(({ from, to }) => at >= from && at < to) as TimeRange
  throw expired(
    rows.definition,
    `a row is of ${formatInstant(at)}, and no continuous aggregate keeps that time`,
    range,
    'leave it out',
  )
}

async function spanOf(connection: Connection, rows: LateRelation): Promise<TimeRange | null> {
  const time = identifier(rows.definition.time)
  const { rows: found } = await connection.query(
    sql`select min(${time}), max(${time}) from ${relationOf(rows)}`,
  )
  const [first, last] = found[0] as [Instant | null, Instant | null]
  return first === null || last === null ? null : { from: first, to: last + 1n }
}

async function mergeInto(
  connection: Connection,
  { version, takes }: Taker,
  rows: LateRelation,
  span: TimeRange,
): Promise<void> {
  if (takes.length === 0) return
  const { base, bucket, keys, where, states } = version.materialization
  const range = widen(bucket, span)
  const { cells } = await scanRows(
    {
      dataset: { ...base, schema: 'pg_temp', table: rows.table },
      range,
      bucket: planBuckets(bucket, range, maxBuckets),
      by: keys,
      where,
      states,
      maxCells: Number.MAX_SAFE_INTEGER - 1,
    },
    { query: (statement, signal) => connection.query(statement, { signal }) },
    null,
  )
  const takeOf = (at: Instant | null): TimeRange | undefined =>
    at === null ? undefined : takes.find(({ from, to }) => at >= from && at < to)
  const late = cells.filter(({ bucket: at }) => takeOf(at) !== undefined)
  const [first] = late
  if (first === undefined) return
  const ordered = orderedOutput(version.materialization)
  if (ordered !== null)
    throw expired(
      rows.definition,
      `"${ordered}" of ${version.name} depends on the order of rows, so that a late one cannot be merged into it`,
      // of that row: whoever looks for the rows to blame goes by it
      takeOf(first.bucket) as TimeRange,
      "leave it out, or declare late: 'refuse'",
    )
  await mergeCells(connection, version, late)
  await countEpoch(connection, version.id)
}
