-- Plain tables say, too, that a transaction has changed rows of them, and whoever follows everything that changes asks with one
-- statement (docs/design/live.md).

create table tidemark.table_change (
  -- schema.table; no foreign key, which would lock a row of the catalog in every writing transaction
  dataset text not null,
  -- of the top-level transaction, also when a savepoint wrote
  xid xid8 not null default pg_current_xact_id(),
  -- null: all tenants, or the table has none
  tenant text,
  logged_at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);

create index table_change_xid on tidemark.table_change (xid);

-- The greatest transaction number of an entry that was trimmed: whose position does not see every number up to it cannot know what
-- it has missed. One row at most.
create table tidemark.table_change_trim (
  is_only bool primary key default true check (is_only),
  trimmed_to xid8 not null,
  trimmed_at timestamptz not null default clock_timestamp()
);

-- The one place where an entry is made. Of equal ones in a row a transaction makes one: the setting is local to it, holds its number,
-- and falls back with a savepoint just as the entry does. More than 64 tenants in a statement are given up for all.
create function tidemark.note_table_change(in_dataset text, in_tenants text[]) returns void
language plpgsql
set search_path = ''
as $function$
declare
  mark constant text := pg_catalog.concat_ws(':', pg_catalog.pg_current_xact_id(), in_dataset, in_tenants);
begin
  -- a statement that met no row
  if in_tenants is null then
    return;
  end if;
  if pg_catalog.current_setting('tidemark.noted', true) is not distinct from mark then
    return;
  end if;
  if pg_catalog.cardinality(in_tenants) > 64 or pg_catalog.array_position(in_tenants, null) is not null then
    insert into tidemark.table_change (dataset) values (in_dataset);
  else
    insert into tidemark.table_change (dataset, tenant)
    select in_dataset, t.tenant from pg_catalog.unnest(in_tenants) as t (tenant);
  end if;
  perform pg_catalog.set_config('tidemark.noted', mark, true);
end;
$function$;

-- Statement trigger of a table without tenants, and TRUNCATE trigger of every one. It has no transition table: a statement costs one
-- small row, also when it changed none. Argument: schema.table.
-- Security definer: whoever may write the rows need not be able to write the log.
create function tidemark.note_statement() returns trigger
language plpgsql
security definer
set search_path = ''
as $function$
begin
  perform tidemark.note_table_change(tg_argv[0], array[null]::text[]);
  return null;
end;
$function$;

-- What has been committed between a position and the snapshot of the statement, of all hypertables and plain tables. Nothing is
-- registered, so nothing holds the logs back.
-- `history` is equal for as long as transaction numbers mean the same: not across a restart, a crash (which resets the statistics), a
-- failover, a restore, or in another database. Null on a standby, whose snapshots name no running transactions.
-- `is_known` false: not everything that was missed can be told: another history, trimmed meanwhile, or more than is worth telling.
-- `epochs`: the sum of the epochs of all hypertables. Where it is another one, `gone_*` are ranges of dropped chunks; null otherwise.
-- A range of null: anywhere in the dataset.
create function tidemark.changes_after(
  in_position pg_snapshot,
  in_history text,
  in_epochs int8,
  out snapshot pg_snapshot,
  out history text,
  out is_known boolean,
  out is_subscriber boolean,
  out datasets text[],
  out tenants text[],
  out ranges_from timestamptz[],
  out ranges_to timestamptz[],
  out epochs int8,
  out gone_datasets text[],
  out gone_from timestamptz[],
  out gone_to timestamptz[]
)
language plpgsql
stable
set search_path = ''
as $function$
declare
  max_entries constant int := 20000;
  entries int;
begin
  snapshot := pg_catalog.pg_current_snapshot();
  is_known := false;
  is_subscriber := exists (select from pg_catalog.pg_subscription_rel);
  if pg_catalog.pg_is_in_recovery() then
    return;
  end if;
  select pg_catalog.concat_ws(
    ':',
    i.system_identifier,
    i.timeline,
    i.database_oid,
    extract(epoch from pg_catalog.pg_postmaster_start_time()),
    extract(epoch from pg_catalog.pg_stat_get_bgwriter_stat_reset_time())
  )
  into history
  from tidemark.change_identity() as i;

  select coalesce(pg_catalog.sum(h.epoch), 0)::int8 into epochs from tidemark.hypertable as h;
  if epochs is distinct from in_epochs then
    select
      coalesce(pg_catalog.array_agg(g.dataset), '{}'),
      coalesce(pg_catalog.array_agg(pg_catalog.lower(g.range)), '{}'),
      coalesce(pg_catalog.array_agg(pg_catalog.upper(g.range)), '{}')
    into gone_datasets, gone_from, gone_to
    from (
      select
        h.schema_name || '.' || h.table_name as dataset,
        pg_catalog.unnest(pg_catalog.range_agg(pg_catalog.tstzrange(k.range_from, k.range_to))) as range
      from tidemark.chunk as k
      join tidemark.hypertable as h on h.id = k.hypertable_id
      where k.state = 'dropped'
      group by h.id
    ) as g;
  end if;

  if in_position is null or in_history is distinct from history then
    return;
  end if;
  if exists (
      select from tidemark.change_trim as t where t.trimmed_to >= pg_catalog.pg_snapshot_xmin(in_position)
    )
    or exists (
      select from tidemark.table_change_trim as t where t.trimmed_to >= pg_catalog.pg_snapshot_xmin(in_position)
    )
  then
    return;
  end if;

  -- What the position does not see: numbers that came after it, and those that ran at it. Indexes change_log_position and
  -- table_change_xid; asked from its xmin on, a long transaction would have everything since it began read again and again.
  with entry as (
    select e.dataset, e.tenant, e.range_from, e.range_to
    from (
      select h.schema_name || '.' || h.table_name as dataset, l.xid, l.tenant, l.range_from, l.range_to
      from tidemark.hypertable as h
      cross join lateral (
        select c.xid, c.tenant, c.range_from, c.range_to
        from tidemark.change_log as c
        where c.hypertable_id = h.id and c.xid >= pg_catalog.pg_snapshot_xmax(in_position)
        union all
        select c.xid, c.tenant, c.range_from, c.range_to
        from tidemark.change_log as c
        where c.hypertable_id = h.id and c.xid = any (array(select pg_catalog.pg_snapshot_xip(in_position)))
      ) as l
      union all
      select t.dataset, t.xid, t.tenant, null, null
      from tidemark.table_change as t
      where t.xid >= pg_catalog.pg_snapshot_xmax(in_position)
      union all
      select t.dataset, t.xid, t.tenant, null, null
      from tidemark.table_change as t
      where t.xid = any (array(select pg_catalog.pg_snapshot_xip(in_position)))
    ) as e
    -- visible, yet of no transaction of this cluster: came with a restore
    where pg_catalog.pg_visible_in_snapshot(e.xid, pg_catalog.pg_current_snapshot())
    limit max_entries + 1
  ),
  told as (
    select
      e.dataset,
      e.tenant,
      case
        when pg_catalog.bool_or(e.range_from is null) then null
        else pg_catalog.range_agg(pg_catalog.tstzrange(e.range_from, e.range_to))
      end as ranges
    from entry as e
    group by e.dataset, e.tenant
  )
  select
    (select pg_catalog.count(*) from entry),
    pg_catalog.array_agg(t.dataset),
    pg_catalog.array_agg(t.tenant),
    pg_catalog.array_agg(pg_catalog.lower(r.range)),
    pg_catalog.array_agg(pg_catalog.upper(r.range))
  into entries, datasets, tenants, ranges_from, ranges_to
  from told as t
  left join lateral pg_catalog.unnest(t.ranges) as r (range) on true;
  is_known := entries <= max_entries;
end;
$function$;

revoke all on function tidemark.note_table_change(text, text[]) from public;
revoke all on function tidemark.note_statement() from public;
revoke all on function tidemark.changes_after(pg_snapshot, text, int8) from public;

comment on table tidemark.table_change is 'Append-only: which plain tables a transaction has changed, and of which tenants.';
comment on table tidemark.table_change_trim is 'How far that log has been trimmed.';
