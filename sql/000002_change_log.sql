-- The change log: which cells of which hypertable a transaction touched (docs/design/change-log.md).

create table tidemark.change_log (
  -- No foreign key: it would lock the hypertable's row in every writing transaction.
  hypertable_id int not null,
  -- Of the top-level transaction, also when a savepoint wrote. Sequence numbers are not in commit order.
  xid xid8 not null default pg_current_xact_id(),
  -- null: all tenants
  tenant text,
  range_from timestamptz not null,
  range_to timestamptz not null,
  source text not null
    check (source in ('ingest', 'statement', 'partition', 'truncate', 'subscription', 'audit')),
  logged_at timestamptz not null default clock_timestamp(),
  check (range_from < range_to)
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

create index change_log_position on tidemark.change_log (hypertable_id, xid);

-- Who reads the log, and how far each has read. A position means something on the cluster and timeline that issued
-- its transaction numbers, and nowhere else.
create table tidemark.change_consumer (
  name text not null,
  hypertable_id int not null references tidemark.hypertable on delete cascade,
  position pg_snapshot not null,
  -- false until the consumer has read everything once: the position then only holds back trimming
  started boolean not null default false,
  system_identifier text not null,
  timeline text not null,
  database_oid oid not null,
  created_at timestamptz not null default now(),
  advanced_at timestamptz,
  primary key (hypertable_id, name)
);

-- What the last audit of a hypertable rests on.
create table tidemark.change_audit (
  hypertable_id int primary key references tidemark.hypertable on delete cascade,
  -- cells of another width cannot be compared
  cell_us int8 not null,
  -- the snapshot of the first piece of the last whole audit; null until there was one
  position pg_snapshot,
  system_identifier text not null,
  timeline text not null,
  database_oid oid not null,
  -- ranges of entries that were trimmed and that `position` does not see
  trimmed tstzmultirange not null default '{}',
  -- the same since the audit that is under way began
  trimmed_meanwhile tstzmultirange not null default '{}',
  audited_at timestamptz not null default now()
);

-- Rows and an order-free sum of row hashes for each cell that held rows, as `position` saw them.
create table tidemark.change_audit_cell (
  hypertable_id int not null references tidemark.hypertable on delete cascade,
  cell timestamptz not null,
  row_count int8 not null,
  row_hash numeric not null,
  position pg_snapshot not null,
  primary key (hypertable_id, cell)
);

-- The one place where cells become entries: adjacent cells of a tenant are one range; when that gives more than 64
-- ranges, tenants are given up; when it still does, the smallest gaps between ranges are closed until 64 are left.
-- Callers are trigger functions (search_path is empty there) and ingest.
create function tidemark.log_cells(
  in_hypertable_id int,
  in_source text,
  in_width interval,
  in_tenants text[],
  in_cells timestamptz[]
) returns void
language plpgsql
set search_path = ''
as $function$
declare
  max_ranges constant int := 64;
begin
  if in_cells is null or pg_catalog.cardinality(in_cells) = 0 then
    return;
  end if;
  if pg_catalog.cardinality(in_cells) = 1 then
    insert into tidemark.change_log (hypertable_id, tenant, range_from, range_to, source)
    values (in_hypertable_id, in_tenants[1], in_cells[1], in_cells[1] + in_width, in_source);
    return;
  end if;

  insert into tidemark.change_log (hypertable_id, tenant, range_from, range_to, source)
  with edge as (
    select
      touched.tenant,
      touched.cell,
      (pg_catalog.lag(touched.cell) over tenant_cells is distinct from touched.cell - in_width)::int as starts
    from (
      select distinct t.tenant, t.cell
      -- PostgreSQL knows unnest of several arrays by its bare name only
      from unnest(in_tenants, in_cells) as t (tenant, cell)
    ) as touched
    window tenant_cells as (partition by touched.tenant order by touched.cell)
  ),
  range as (
    select tenant, pg_catalog.min(cell) as range_from, pg_catalog.max(cell) + in_width as range_to
    from (
      select tenant, cell, pg_catalog.sum(starts) over (partition by tenant order by cell) as number
      from edge
    ) as numbered
    group by tenant, number
  )
  select in_hypertable_id, tenant, range_from, range_to, in_source
  from range
  where (select pg_catalog.sum(starts) from edge) <= max_ranges;
  if found then
    return;
  end if;

  insert into tidemark.change_log (hypertable_id, tenant, range_from, range_to, source)
  with gap as (
    select touched.cell, touched.cell - pg_catalog.lag(touched.cell) over (order by touched.cell) as width
    from (select distinct t.cell from pg_catalog.unnest(in_cells) as t (cell)) as touched
  ),
  edge as (
    select
      cell,
      (
        width is null
        or (width > in_width and pg_catalog.row_number() over (order by width desc nulls first) <= max_ranges)
      )::int as starts
    from gap
  )
  select in_hypertable_id, null, pg_catalog.min(cell), pg_catalog.max(cell) + in_width, in_source
  from (select cell, pg_catalog.sum(starts) over (order by cell) as number from edge) as numbered
  group by number;
end;
$function$;

-- Statement trigger of a partition, and TRUNCATE trigger of the table: which rows is not known, so the whole range
-- of the partition is marked. Arguments: hypertable id, range from, range to.
-- Security definer: whoever may write the rows need not be able to write the log.
create function tidemark.log_partition_change() returns trigger
language plpgsql
security definer
set search_path = ''
as $function$
begin
  insert into tidemark.change_log (hypertable_id, tenant, range_from, range_to, source)
  values (
    tg_argv[0]::int,
    null,
    tg_argv[1]::timestamptz,
    tg_argv[2]::timestamptz,
    case tg_op when 'TRUNCATE' then 'truncate' else 'partition' end
  );
  return null;
end;
$function$;

-- Row triggers of a table that a subscription fills (an apply worker fires no statement triggers). Rows arrive one by
-- one, mostly in the order of time: a transaction-local setting remembers the last cell, and falls back with a
-- savepoint just as the entry does.
create function tidemark.log_row_cell(
  in_hypertable_id int,
  in_width interval,
  in_tenant text,
  in_cell timestamptz
) returns void
language plpgsql
set search_path = ''
as $function$
declare
  mark constant text := pg_catalog.format(
    '%s:%s:%s:%L',
    pg_catalog.pg_current_xact_id(),
    in_hypertable_id,
    extract(epoch from in_cell),
    in_tenant
  );
begin
  if pg_catalog.current_setting('tidemark.logged_row', true) is distinct from mark then
    insert into tidemark.change_log (hypertable_id, tenant, range_from, range_to, source)
    values (in_hypertable_id, in_tenant, in_cell, in_cell + in_width, 'subscription');
    perform pg_catalog.set_config('tidemark.logged_row', mark, true);
  end if;
end;
$function$;

-- Says that this transaction logs its own changes of one hypertable. The value holds the transaction's number, so
-- that it means nothing in the next one, whatever connection or pooler carries it there.
create function tidemark.begin_logged_write(in_hypertable_id int) returns void
language sql
begin atomic
  select set_config(
    'tidemark.logged_by',
    in_hypertable_id::text || ':' || pg_current_xact_id()::text,
    true
  );
end;

-- Which cluster, timeline and database the transaction numbers of this moment come from. Fails on a standby, where
-- nobody may take a position.
create function tidemark.change_identity(
  out system_identifier text,
  out timeline text,
  out database_oid oid
)
language sql volatile
begin atomic
  select
    (select c.system_identifier::text from pg_control_system() as c),
    left(pg_walfile_name(pg_current_wal_lsn()), 8),
    (select d.oid from pg_database as d where d.datname = current_database());
end;

revoke all on function tidemark.log_cells(int, text, interval, text[], timestamptz[]) from public;
revoke all on function tidemark.log_row_cell(int, interval, text, timestamptz) from public;
revoke all on function tidemark.log_partition_change() from public;
revoke all on function tidemark.begin_logged_write(int) from public;
revoke all on function tidemark.change_identity() from public;

comment on table tidemark.change_log is 'Append-only: which cells of which hypertable a transaction touched.';
comment on table tidemark.change_consumer is 'Who reads the change log, and the snapshot up to which each has read.';
comment on table tidemark.change_audit is 'The last audit of each hypertable.';
comment on table tidemark.change_audit_cell is 'Fingerprint of each cell as the last audit saw it.';
