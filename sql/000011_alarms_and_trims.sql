-- What holds answers in memory may ask what has changed since a moment, and what was found wrong is kept
-- (docs/design/results-cache.md).

-- How far the change log of a hypertable has been trimmed: the greatest transaction number of a deleted entry. Whose position
-- does not see every number up to it cannot know what it has missed.
create table tidemark.change_trim (
  hypertable_id int primary key references tidemark.hypertable on delete cascade,
  trimmed_to xid8 not null,
  trimmed_at timestamptz not null default clock_timestamp()
);

-- What has changed of a hypertable between a position and the snapshot of the statement. `history` is equal for as long as
-- transaction numbers mean the same: not across a restart, a crash (which resets the statistics), another server, database or
-- table. Null where nothing can be told: on a standby, whose snapshots name no running transactions; where a subscription
-- writes rows that no trigger may log; without the right to read the log.
-- `gone_*`: ranges of dropped chunks, whose late rows go without an entry; null when the epoch is the one that is known.
-- `is_known` false: not everything that was missed can be told, because it was trimmed or is too much.
create function tidemark.changes_since(
  in_schema text,
  in_table text,
  in_position pg_snapshot,
  in_epoch int8,
  out snapshot pg_snapshot,
  out history text,
  out epoch int8,
  out gone_from timestamptz[],
  out gone_to timestamptz[],
  out is_known boolean,
  out changed_from timestamptz[],
  out changed_to timestamptz[]
)
language plpgsql
stable
set search_path = ''
as $function$
declare
  max_entries constant int := 20000;
  hypertable int;
  entries int;
  changed tstzmultirange;
begin
  snapshot := pg_catalog.pg_current_snapshot();
  if pg_catalog.pg_is_in_recovery()
    or not pg_catalog.has_table_privilege('tidemark.change_log', 'select')
    or not pg_catalog.has_table_privilege('tidemark.change_trim', 'select')
    or exists (select from pg_catalog.pg_subscription_rel)
  then
    return;
  end if;

  select
    h.id,
    h.epoch,
    pg_catalog.concat_ws(
      ':',
      h.id,
      c.oid,
      d.oid,
      extract(epoch from pg_catalog.pg_postmaster_start_time()),
      extract(epoch from pg_catalog.pg_stat_get_bgwriter_stat_reset_time())
    )
  into hypertable, epoch, history
  from tidemark.hypertable as h
  join pg_catalog.pg_namespace as n on n.nspname = h.schema_name
  join pg_catalog.pg_class as c on c.relnamespace = n.oid and c.relname = h.table_name
  join pg_catalog.pg_database as d on d.datname = pg_catalog.current_database()
  where h.schema_name = in_schema and h.table_name = in_table;
  if hypertable is null then
    return;
  end if;

  if epoch is distinct from in_epoch then
    select pg_catalog.array_agg(pg_catalog.lower(r)), pg_catalog.array_agg(pg_catalog.upper(r))
    into gone_from, gone_to
    from (
      select pg_catalog.unnest(pg_catalog.range_agg(pg_catalog.tstzrange(k.range_from, k.range_to))) as r
      from tidemark.chunk as k
      where k.hypertable_id = hypertable and k.state = 'dropped'
    ) as g;
    gone_from := coalesce(gone_from, '{}');
    gone_to := coalesce(gone_to, '{}');
  end if;

  if in_position is null then
    is_known := false;
    return;
  end if;
  is_known := not exists (
    select from tidemark.change_trim as t
    where t.hypertable_id = hypertable and t.trimmed_to >= pg_catalog.pg_snapshot_xmin(in_position)
  );
  if not is_known then
    return;
  end if;

  -- What the position does not see: numbers that came after it, and those that ran at it. Index change_log_position; asked
  -- from its xmin on, a long transaction would have everything since it began read again and again.
  select pg_catalog.count(*), pg_catalog.range_agg(pg_catalog.tstzrange(m.range_from, m.range_to))
  into entries, changed
  from (
    select e.range_from, e.range_to
    from (
      select l.xid, l.range_from, l.range_to
      from tidemark.change_log as l
      where l.hypertable_id = hypertable and l.xid >= pg_catalog.pg_snapshot_xmax(in_position)
      union all
      select l.xid, l.range_from, l.range_to
      from tidemark.change_log as l
      where l.hypertable_id = hypertable
        and l.xid = any (array(select pg_catalog.pg_snapshot_xip(in_position)))
    ) as e
    -- visible, yet of no transaction of this cluster: came with a restore
    where pg_catalog.pg_visible_in_snapshot(e.xid, pg_catalog.pg_current_snapshot())
    limit max_entries + 1
  ) as m;
  if entries > max_entries then
    is_known := false;
    return;
  end if;
  select
    coalesce(pg_catalog.array_agg(pg_catalog.lower(r)), '{}'),
    coalesce(pg_catalog.array_agg(pg_catalog.upper(r)), '{}')
  into changed_from, changed_to
  from pg_catalog.unnest(changed) as r;
end;
$function$;

-- Answers that a shadow check found wrong, and whatever else must not be overlooked. Equal ones are counted.
create table tidemark.alarm (
  id int8 generated always as identity primary key,
  kind text not null,
  dataset text not null,
  -- what makes two alarms the same
  fingerprint text not null,
  detail jsonb not null,
  count int8 not null default 1,
  first_at timestamptz not null default clock_timestamp(),
  last_at timestamptz not null default clock_timestamp(),
  -- null again as soon as it happens again
  acknowledged_at timestamptz,
  unique (kind, dataset, fingerprint)
);

comment on table tidemark.change_trim is 'How far the change log of each hypertable has been trimmed.';
comment on table tidemark.alarm is 'What was found wrong: acknowledge with tidemark alarms.';
