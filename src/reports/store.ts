import { gunzipSync, gzipSync } from 'node:zlib'
import type { Queryable } from '../postgres/index.ts'
import { formatInstant, type Instant } from '../time/index.ts'
import { type Sql, sql } from '../util/sql.ts'
import type { Report, ReportAnswer, ReportInput, ReportRun, ScheduleInput } from './contract.ts'
import type { Due } from './schedule.ts'

/** Reports of one tenant, or those of nobody; equal in SQL also where both are null. */
export interface ReportKey {
  readonly tenant: string | null
  readonly name: string
}

export interface StoredReport extends Report {
  readonly id: bigint
  readonly period: Instant | null
}

const columns = sql`
  r.id, r.tenant, r.name, r.title, r.dataset, r.query, r.schedule, r.keep, r.created_by, r.created_at, r.changed_at,
  r.next_period, r.next_at, r.failures, r.last_error`

function ofKey({ tenant, name }: ReportKey): Sql {
  return sql`r.tenant is not distinct from ${tenant}::text and r.name = ${name}::text`
}

export async function saveReport(
  db: Queryable,
  { tenant, name }: ReportKey,
  { title, dataset, query, schedule, keep }: ReportInput,
  due: Due | null,
  by: string,
): Promise<StoredReport> {
  const { rows } = await db.query(sql`
    insert into tidemark.report as r (
      tenant, name, title, dataset, query, schedule, keep, created_by, next_period, next_at
    )
    values (
      ${tenant}::text, ${name}::text, ${title}::text, ${dataset}::text, ${JSON.stringify(query)}::json,
      ${schedule && JSON.stringify(schedule)}::json, ${keep}::int4, ${by}::text,
      ${due && formatInstant(due.period)}::timestamptz, ${due && formatInstant(due.at)}::timestamptz
    )
    on conflict (tenant, name) do update
    set title = excluded.title, dataset = excluded.dataset, query = excluded.query, schedule = excluded.schedule,
      keep = excluded.keep, next_period = excluded.next_period, next_at = excluded.next_at, changed_at = now(),
      failures = 0, last_error = null
    returning ${columns}`)
  return reportOf(rows[0]!)
}

/** How many a tenant has (null: those of nobody). */
export async function countReports(db: Queryable, tenant: string | null): Promise<number> {
  const { rows } = await db.query(
    sql`select count(*) from tidemark.report where tenant is not distinct from ${tenant}::text`,
  )
  return Number(rows[0]![0])
}

/** By tenant and name. */
export async function listReports(
  db: Queryable,
  { tenants }: { readonly tenants: 'all' | string },
): Promise<StoredReport[]> {
  const { rows } = await db.query(sql`
    select ${columns}
    from tidemark.report as r
    where ${tenants === 'all'}::bool or r.tenant = ${tenants}::text
    order by r.tenant nulls first, r.name
    limit 10000`)
  return rows.map(reportOf)
}

export async function findReport(db: Queryable, key: ReportKey): Promise<StoredReport | null> {
  const { rows } = await db.query(sql`select ${columns} from tidemark.report as r where ${ofKey(key)}`)
  return rows[0] ? reportOf(rows[0]) : null
}

export async function removeReport(db: Queryable, key: ReportKey): Promise<boolean> {
  const { rowCount } = await db.query(sql`delete from tidemark.report as r where ${ofKey(key)}`)
  return rowCount > 0
}

/** Newest first. */
export async function listRuns(db: Queryable, report: bigint): Promise<ReportRun[]> {
  const { rows } = await db.query(sql`
    select id, as_of, asked_at, elapsed_ms, row_count
    from tidemark.report_run
    where report_id = ${report}::int8
    order by id desc
    limit 1000`)
  return rows.map(runOf)
}

/** The newest one, or that of an id. */
export async function findRun(db: Queryable, report: bigint, id: string | null): Promise<ReportRun | null> {
  if (id !== null && !/^\d{1,18}$/.test(id)) return null
  const { rows } = await db.query(sql`
    select id, as_of, asked_at, elapsed_ms, row_count
    from tidemark.report_run
    where report_id = ${report}::int8 and (${id}::int8 is null or id = ${id}::int8)
    order by id desc
    limit 1`)
  return rows[0] ? runOf(rows[0]) : null
}

/** Null: it was removed meanwhile. */
export async function readAnswer(db: Queryable, run: string): Promise<ReportAnswer | null> {
  const { rows } = await db.query(sql`select answer from tidemark.report_run where id = ${run}::int8`)
  return rows[0] ? JSON.parse(gunzipSync(rows[0][0] as Uint8Array).toString('utf8')) : null
}

export interface NewRun {
  readonly asOf: Instant
  readonly elapsedMs: number
  readonly rows: number
  /** Of the answer. */
  readonly json: string
}

/** Keeps an answer, and as many before it as the report wants; null: the report was removed meanwhile. */
export async function addRun(
  db: Queryable,
  report: bigint,
  { asOf, elapsedMs, rows: count, json }: NewRun,
): Promise<ReportRun | null> {
  const { rows } = await db.query(sql`
    with kept as (select id, keep from tidemark.report where id = ${report}::int8 for key share),
    gone as (
      delete from tidemark.report_run
      where id in (
        select r.id from kept, lateral (
          select id from tidemark.report_run where report_id = kept.id order by id desc offset kept.keep - 1
        ) as r
      )
    )
    insert into tidemark.report_run (report_id, as_of, elapsed_ms, row_count, answer)
    select id, ${formatInstant(asOf)}::timestamptz, ${Math.min(elapsedMs, 2 ** 31 - 1)}::int4, ${count}::int4, ${gzipSync(json)}::bytea
    from kept
    returning id, as_of, asked_at, elapsed_ms, row_count`)
  return rows[0] ? runOf(rows[0]) : null
}

/** Takes the report that has been due for longest for as long as `leaseMs`; null: none is. */
export async function takeDue(db: Queryable, now: Instant, leaseMs: number): Promise<StoredReport | null> {
  const { rows } = await db.query(sql`
    update tidemark.report as r
    set leased_until = clock_timestamp() + ${leaseMs}::int4 * interval '1 millisecond'
    where r.id = (
      select id from tidemark.report
      where next_at <= ${formatInstant(now)}::timestamptz
        and (leased_until is null or leased_until < clock_timestamp())
      order by next_at
      limit 1
      for update skip locked
    )
    returning ${columns}`)
  return rows[0] ? reportOf(rows[0]) : null
}

/** What became of one that was taken. Nothing is changed of a report that was saved anew meanwhile. */
export async function settleDue(
  db: Queryable,
  { id, changedAt }: Pick<StoredReport, 'id' | 'changedAt'>,
  next: Due,
  error: string | null,
): Promise<void> {
  await db.query(sql`
    update tidemark.report
    set leased_until = null,
      failures = case when ${error}::text is null then 0 else failures + 1 end,
      last_error = ${error}::text,
      next_period = ${formatInstant(next.period)}::timestamptz,
      next_at = ${formatInstant(next.at)}::timestamptz
    where id = ${id}::int8 and changed_at = ${changedAt}::timestamptz`)
}

function reportOf(row: readonly unknown[]): StoredReport {
  const [
    id,
    tenant,
    name,
    title,
    dataset,
    query,
    schedule,
    keep,
    by,
    created,
    changed,
    period,
    nextAt,
    failures,
    error,
  ] = row
  return {
    id: id as bigint,
    tenant: tenant as string | null,
    name: name as string,
    title: title as string,
    dataset: dataset as string,
    query: query as ReportInput['query'],
    schedule: schedule as ScheduleInput | null,
    keep: keep as number,
    createdBy: by as string,
    createdAt: formatInstant(created as Instant),
    changedAt: formatInstant(changed as Instant),
    period: period as Instant | null,
    nextAt: nextAt === null ? null : formatInstant(nextAt as Instant),
    failures: failures as number,
    lastError: error as string | null,
  }
}

function runOf([id, asOf, askedAt, elapsedMs, rows]: readonly unknown[]): ReportRun {
  return {
    id: String(id),
    asOf: formatInstant(asOf as Instant),
    askedAt: formatInstant(askedAt as Instant),
    elapsedMs: elapsedMs as number,
    rows: rows as number,
  }
}
