import type { Queryable } from '../postgres/index.ts'
import { formatInstant, type Instant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { sql } from '../util/sql.ts'

/** Something that must not be overlooked; equal ones are counted. */
export interface Alarm {
  readonly id: string
  /** `shadow`: an answer differed from what raw rows give. `new version`: one of an aggregate is not what its current one is. */
  readonly kind: string
  readonly dataset: string
  readonly detail: unknown
  readonly count: number
  readonly firstAt: string
  readonly lastAt: string
  /** Null: nobody has seen to it since it happened last. */
  readonly acknowledgedAt: string | null
}

export interface RaisedAlarm {
  readonly kind: string
  readonly dataset: string
  /** Equal for alarms that are the same. */
  readonly fingerprint: string
  readonly detail: unknown
}

/** One that is known is counted, and open again. */
export async function raiseAlarm(db: Queryable, alarm: RaisedAlarm): Promise<void> {
  await db.query(sql`
    insert into tidemark.alarm as a (kind, dataset, fingerprint, detail)
    values (${alarm.kind}::text, ${alarm.dataset}::text, ${alarm.fingerprint}::text, ${JSON.stringify(alarm.detail)}::jsonb)
    on conflict (kind, dataset, fingerprint) do update
    set detail = excluded.detail, count = a.count + 1, last_at = clock_timestamp(), acknowledged_at = null`)
}

/** Newest first, at most 1000. */
export async function listAlarms(
  db: Queryable,
  { all = false }: { readonly all?: boolean } = {},
): Promise<Alarm[]> {
  const { rows } = await db.query(sql`
    select id, kind, dataset, detail, count, first_at, last_at, acknowledged_at
    from tidemark.alarm
    where ${all}::bool or acknowledged_at is null
    order by last_at desc
    limit 1000`)
  return rows.map(([id, kind, dataset, detail, count, first, last, acknowledged]) => ({
    id: String(id),
    kind: kind as string,
    dataset: dataset as string,
    detail,
    count: Number(count),
    firstAt: formatInstant(first as Instant),
    lastAt: formatInstant(last as Instant),
    acknowledgedAt: acknowledged === null ? null : formatInstant(acknowledged as Instant),
  }))
}

/** @throws TidemarkError TM_QUERY when there is none with this number. */
export async function acknowledgeAlarm(db: Queryable, id: string): Promise<void> {
  const isNumber = /^\d{1,18}$/.test(id)
  const { rowCount } = isNumber
    ? await db.query(sql`
        update tidemark.alarm set acknowledged_at = coalesce(acknowledged_at, clock_timestamp()) where id = ${id}::int8`)
    : { rowCount: 0 }
  if (rowCount === 0)
    throw new TidemarkError('TM_QUERY', { path: 'id', problem: `there is no alarm ${JSON.stringify(id)}` })
}

/** How many are open, of each kind and dataset. */
export async function countAlarms(
  db: Queryable,
): Promise<readonly { readonly kind: string; readonly dataset: string; readonly alarms: number }[]> {
  const { rows } = await db.query(sql`
    select kind, dataset, count(*)
    from tidemark.alarm
    where acknowledged_at is null
    group by kind, dataset
    order by kind, dataset`)
  return rows.map(([kind, dataset, alarms]) => ({
    kind: kind as string,
    dataset: dataset as string,
    alarms: Number(alarms),
  }))
}
