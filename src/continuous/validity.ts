import type { MissedRange } from '../changelog/index.ts'
import type { QueryAnswer } from '../postgres/index.ts'
import { intersect } from '../query/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { repeated, type Sql, sql } from '../util/sql.ts'
import type { AggregateVersion } from './version.ts'

/** Ranges of one version at most: a query reads a part for each gap between them. */
const maxRanges = 1_000

export type StartOver = 'not-registered' | 'new' | 'other-cluster' | 'other-timeline' | 'other-database'

/** What the snapshot of a statement says about the cells of a version. */
export interface VersionValidity {
  readonly version: number
  readonly epoch: bigint
  /** Why nothing of it is valid; null: all but `invalid` is. */
  readonly startOver: StartOver | null
  /** Entries of the change log that its consumer has missed. */
  readonly missed: bigint
  /** Ascending; those of one tenant do not overlap. Not widened to whole buckets where they come from the change log. */
  readonly invalid: readonly MissedRange[]
}

/** The same with what a reader of cells needs beside it. */
export interface CurrentVersion extends VersionValidity {
  /** Of the aggregate. */
  readonly name: string
  readonly unknownBefore: string
  /** Whether the role may read the table of its cells. */
  readonly isReadable: boolean
}

/**
 * Which cells of versions of one hypertable are not valid in the snapshot of the statement: what a refresh has to compute, and what
 * has been written since and nobody has taken over. Some 0.1 ms where a consumer has caught up. Too many ranges are joined over
 * the smallest gaps: it says too much, never too little.
 *
 * @example
 * const [hourly] = await readValidity((statement) => db.query(statement), [version], null)
 * hourly.invalid // [{ tenant: null, range: { from: 1767225600000000n, to: 9223372036854775807n } }]
 *
 * @param range Only what touches it, cut to it; null: all.
 * @returns in the order of `versions`; of one that is no more nothing is valid.
 */
export async function readValidity(
  query: (statement: Sql) => Promise<QueryAnswer>,
  versions: readonly Pick<AggregateVersion, 'id' | 'hypertableId'>[],
  range: TimeRange | null,
): Promise<VersionValidity[]> {
  const first = versions[0]
  if (!first) return []
  const ids = versions.map(({ id }) => id)
  const { rows } = await query(sql`
    select version_id, epoch, start_over, entries, tenants, froms, tos
    from tidemark.aggregate_validity(${first.hypertableId}::int4, ${ids}::int4[], ${maxRanges}::int4)`)
  const found = new Map(rows.map((row) => [row[0] as number, toValidity(row, range)]))
  return ids.map((id) => found.get(id) ?? gone(id))
}

function gone(version: number): VersionValidity {
  const invalid = [{ tenant: null, range: { from: -(2n ** 63n), to: 2n ** 63n - 1n } }]
  return { version, epoch: 0n, startOver: 'not-registered', missed: 0n, invalid }
}

/** The same of all current versions of a hypertable, by its id in the catalog. */
export function currentVersionsSql(hypertableId: number): Sql {
  return repeated(sql`
    select
      version_id, epoch, start_over, entries, tenants, froms, tos, aggregate_name, unknown_before,
      coalesce(has_table_privilege(relation, 'select') and has_schema_privilege('tidemark_aggregates', 'usage'), false)
    from tidemark.aggregate_validity(${hypertableId}::int4, null, ${maxRanges}::int4)`)
}

export function toCurrentVersions({ rows }: QueryAnswer): CurrentVersion[] {
  return rows.map((row) => ({
    ...toValidity(row, null),
    name: row[7] as string,
    unknownBefore: row[8] as string,
    isReadable: row[9] as boolean,
  }))
}

function toValidity(row: readonly unknown[], range: TimeRange | null): VersionValidity {
  const [version, epoch, startOver, missed, tenants, froms, tos] = row as [
    number,
    bigint,
    StartOver | null,
    bigint,
    readonly (string | null)[],
    readonly Instant[],
    readonly Instant[],
  ]
  const invalid = froms.flatMap((from, i): MissedRange[] => {
    const whole = { from, to: tos[i] as Instant }
    const cut = range ? intersect(whole, range) : whole
    return cut ? [{ tenant: tenants[i] ?? null, range: cut }] : []
  })
  return { version, epoch, startOver, missed, invalid }
}

/**
 * Whether everything that `known` takes for valid is valid: each range of `found` lies in ranges of `known` of all tenants or of its own.
 */
export function isStillValid(known: VersionValidity, found: VersionValidity): boolean {
  if (known === found) return true
  const all = unionOf(known.invalid.filter(({ tenant }) => tenant === null))
  return found.invalid.every(({ tenant, range }) => {
    if (isWithin(range, all)) return true
    if (tenant === null) return false
    return isWithin(
      range,
      unionOf(known.invalid.filter((one) => one.tenant === null || one.tenant === tenant)),
    )
  })
}

function isWithin(range: TimeRange, union: readonly TimeRange[]): boolean {
  return union.some(({ from, to }) => from <= range.from && range.to <= to)
}

/** Ascending, neither overlapping nor touching. */
export function unionOf(ranges: readonly { readonly range: TimeRange }[]): readonly TimeRange[] {
  const sorted = ranges
    .map(({ range }) => range)
    .sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0))
  const union: { from: Instant; to: Instant }[] = []
  for (const { from, to } of sorted) {
    const last = union.at(-1)
    if (last && from <= last.to) {
      if (to > last.to) last.to = to
    } else union.push({ from, to })
  }
  return union
}
