import type { Queryable } from '../postgres/index.ts'
import type { Instant } from '../time/index.ts'
import { repeated, sql } from '../util/sql.ts'

/** A place in the logs: what a snapshot of this history sees has been told. */
export interface FeedPosition {
  readonly snapshot: string
  readonly history: string
  /** Of all hypertables together; another one may mean that chunks have been dropped. */
  readonly epochs: bigint
}

/** What `tidemark.changes_after` (sql/000020) says. Index: change_log_position, table_change_xid. */
export interface FeedLook {
  /** Null on a standby, where nobody can tell. */
  readonly position: FeedPosition | null
  /** Whether everything that was missed is told. */
  readonly isKnown: boolean
  /** A subscription writes into the database, and not every row of it is logged. */
  readonly isSubscriber: boolean
  readonly changes: readonly FeedEntry[]
  /** Ranges of dropped chunks; null where that has not changed. */
  readonly gone: readonly FeedEntry[] | null
}

export interface FeedEntry {
  readonly dataset: string
  readonly tenant: string | null
  /** Null: anywhere. */
  readonly range: { readonly from: Instant; readonly to: Instant } | null
}

type Answer = readonly [
  snapshot: string,
  history: string | null,
  isKnown: boolean,
  isSubscriber: boolean,
  datasets: readonly string[] | null,
  tenants: readonly (string | null)[] | null,
  from: readonly (Instant | null)[] | null,
  to: readonly (Instant | null)[] | null,
  epochs: bigint | null,
  goneDatasets: readonly string[] | null,
  goneFrom: readonly Instant[] | null,
  goneTo: readonly Instant[] | null,
]

export async function changesAfter(
  db: Queryable,
  position: FeedPosition | null,
  signal: AbortSignal,
): Promise<FeedLook> {
  const { rows } = await db.query(
    repeated(sql`
      select
        snapshot, history, is_known, is_subscriber, datasets, tenants, ranges_from, ranges_to, epochs,
        gone_datasets, gone_from, gone_to
      from tidemark.changes_after(
        ${position?.snapshot ?? null}::pg_snapshot, ${position?.history ?? null}::text, ${position?.epochs ?? null}::int8
      )`),
    { signal },
  )
  const [
    snapshot,
    history,
    isKnown,
    isSubscriber,
    datasets,
    tenants,
    from,
    to,
    epochs,
    goneIn,
    goneFrom,
    goneTo,
  ] = rows[0] as unknown as Answer
  return {
    position: history === null || epochs === null ? null : { snapshot, history, epochs },
    isKnown,
    isSubscriber,
    changes: isKnown ? entries(datasets ?? [], tenants ?? [], from ?? [], to ?? []) : [],
    gone: goneIn && goneFrom && goneTo ? entries(goneIn, [], goneFrom, goneTo) : null,
  }
}

function entries(
  datasets: readonly string[],
  tenants: readonly (string | null)[],
  from: readonly (Instant | null)[],
  to: readonly (Instant | null)[],
): readonly FeedEntry[] {
  return datasets.map((dataset, i) => {
    const start = from[i] ?? null
    const end = to[i] ?? null
    return {
      dataset,
      tenant: tenants[i] ?? null,
      range: start === null || end === null ? null : { from: start, to: end },
    }
  })
}
