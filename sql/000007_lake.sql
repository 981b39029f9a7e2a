-- The lake: files of chunks that are cold, rows of them that are no longer true, files that wait for their removal.
-- How a chunk lives: docs/design/chunk-life.md.

alter table tidemark.chunk
  -- who moves its rows (freeze, compact, thaw), until when at the latest; a mover that dies lets it run out
  add column lease_owner uuid,
  add column lease_until timestamptz,
  -- since when rows of it are in the lake
  add column frozen_at timestamptz,
  -- what its partition took with its indexes when its rows went to the lake; null: they were never there
  add column bytes_before int8,
  -- the last transaction that took rows out of its partition; null once their space was given back
  add column moved_xid xid8,
  -- the last attempt to move it that failed, when, and how many did in a row
  add column move_error text,
  add column move_failed_at timestamptz,
  add column move_failures int not null default 0;

-- A file holds rows of one chunk. Rows of a chunk lie in its partition or in exactly one of its files: the sum of both
-- is the chunk. Files never change; a row of the catalog is inserted and deleted, never updated but for the summary.
create table tidemark.lake_file (
  id int8 generated always as identity primary key,
  hypertable_id int not null references tidemark.hypertable,
  chunk_id int8 not null references tidemark.chunk,
  -- below the root of the lake, with '/'; never used twice
  path text not null unique,
  row_count int8 not null check (row_count > 0),
  bytes int8 not null,
  -- of its rows, both inclusive
  min_time timestamptz not null,
  max_time timestamptz not null,
  -- sha256 of the file
  checksum bytea not null check (octet_length(checksum) = 32),
  -- order-free sum of its rows (docs/decisions/0009-lake.md), 128 bits
  content_hash bytea not null check (octet_length(content_hash) = 16),
  -- how columns lie in the file
  layout jsonb not null,
  -- least and greatest value of the columns it is sorted by
  stats jsonb not null default '{}',
  -- partial states beside the file; null: none, or none of use
  summary_path text unique,
  summary_bytes int8,
  summary_checksum bytea,
  summary_layout jsonb,
  -- which key the file is encrypted with; null: none
  encryption_key_id text,
  created_xid xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp(),
  check (min_time <= max_time),
  check ((summary_path is null) = (summary_layout is null))
);

create index lake_file_by_chunk on tidemark.lake_file (hypertable_id, chunk_id);

-- Rows of a file that are no longer true: they were updated, deleted, or taken back into the partition. Rows are told
-- by their place in the file, from 0. Inserted under the lock of the chunk's row, so no place appears twice.
create table tidemark.lake_deletion (
  id int8 generated always as identity primary key,
  file_id int8 not null references tidemark.lake_file on delete cascade,
  -- ascending
  positions int8[] not null check (cardinality(positions) between 1 and 1000000),
  created_xid xid8 not null default pg_current_xact_id(),
  created_at timestamptz not null default clock_timestamp()
);

create index lake_deletion_by_file on tidemark.lake_deletion (file_id);

-- Files that the catalog no longer names, until nobody can have a snapshot that does. Also files that it does not name
-- yet: whoever wrote one notes it here, and takes the note away in the transaction that inserts it into lake_file. A file
-- is removed from the store only under the lock of its row here, so one that is removed can never be named again.
create table tidemark.lake_trash (
  path text primary key,
  dataset text not null,
  bytes int8 not null,
  reason text not null check (reason in ('compacted', 'thawed', 'expired', 'erased', 'summary', 'cancelled', 'stray')),
  -- the transaction that took it out of the catalog
  dropped_xid xid8 not null default pg_current_xact_id(),
  dropped_at timestamptz not null default clock_timestamp()
);

-- What was erased for whom, without saying whom: the condition is kept as a hash.
create table tidemark.erasure (
  id int8 generated always as identity primary key,
  dataset text not null,
  condition_sha256 bytea not null,
  requested_by text not null default current_user,
  requested_at timestamptz not null default clock_timestamp(),
  rows_hot int8 not null default 0,
  rows_cold int8 not null default 0,
  -- one object a file: path before, path after (null: nothing left), rows erased
  files jsonb not null default '[]',
  -- when the rows were out of every answer; null: under way
  hidden_at timestamptz,
  -- when the old files were gone from the store
  erased_at timestamptz
);

-- Says that this transaction knows about cold rows of one hypertable and sees to them. Bound to the transaction as
-- tidemark.logged_by is.
create function tidemark.begin_cold_write(in_hypertable_id int) returns void
language sql
begin atomic
  select set_config(
    'tidemark.cold_write',
    in_hypertable_id::text || ':' || pg_current_xact_id()::text,
    true
  );
end;

-- The guards. They keep plain SQL from being silently wrong where rows are in the lake; they are no matter of rights
-- (anybody may say that he knows what he does). Security definer: whoever writes a table need not read the catalog.

-- Whether this transaction has said begin_cold_write of the hypertable.
create function tidemark.is_cold_write(in_hypertable_id text) returns boolean
language sql stable
begin atomic
  select coalesce(
    current_setting('tidemark.cold_write', true) = in_hypertable_id || ':' || pg_current_xact_id_if_assigned()::text,
    false
  );
end;

-- Whether this transaction has said that it means rows in PostgreSQL only.
create function tidemark.is_hot_only() returns boolean
language sql stable
begin atomic
  select coalesce(lower(current_setting('tidemark.hot_only', true)) in ('on', 'true', 'yes', '1'), false);
end;

-- `statement`: as in 'DELETE of metrics.requests'.
create function tidemark.refuse_cold(
  statement text,
  range_from text,
  range_to text,
  reason text,
  way_out text,
  of_schema name,
  of_table name
) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
  raise exception using
    errcode = 'TM002',
    message = format('TM_COLD: %s: rows from %s to %s are in the lake, %s', statement, range_from, range_to, reason),
    hint = way_out,
    schema = of_schema,
    table = of_table;
end;
$function$;

-- BEFORE UPDATE OR DELETE OR TRUNCATE, each statement, on the table. Arguments: hypertable id, declared name.
-- By the time it fires the statement holds ROW EXCLUSIVE on every partition that it may touch, and those that were
-- pruned when it was planned are not locked. The default partition stands for cold chunks without a partition. So a
-- lock of this backend tells whether the statement may mean cold rows; and a chunk whose partition is locked cannot
-- become cold until the transaction ends (a flip takes SHARE ROW EXCLUSIVE).
create function tidemark.guard_cold_table() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
  hit record;
begin
  -- It is there from the declaration on: mostly nothing is cold yet, and then the locks need not be looked at.
  if not exists (select from tidemark.chunk as k where k.hypertable_id = tg_argv[0]::int and k.state = 'cold')
    or tidemark.is_cold_write(tg_argv[0])
    or (tg_op <> 'TRUNCATE' and tidemark.is_hot_only())
  then
    return null;
  end if;
  -- In REPEATABLE READ the catalog is that of the transaction's snapshot, and locks, names and triggers are those of
  -- now: since then a partition may have been dropped (the default partition stands for it), or come back.
  with locked as materialized (
    select l.relation, c.oid is null and pg_partition_root(l.relation) = tg_relid::regclass as is_newer
    from pg_locks as l
    left join pg_class as c on c.oid = l.relation
    where l.locktype = 'relation' and l.pid = pg_backend_pid() and l.granted and l.mode = 'RowExclusiveLock'
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
  )
  select k.range_from, k.range_to
  into hit
  from tidemark.chunk as k
  where k.hypertable_id = tg_argv[0]::int
    and k.state = 'cold'
    and (
      tg_op = 'TRUNCATE'
      or coalesce(
        to_regclass('tidemark_chunks.' || quote_ident(k.relation_name))::oid,
        (select p.partdefid from pg_partitioned_table as p where p.partrelid = tg_relid)
      ) in (select l.relation from locked as l)
      or (k.relation_name is null and exists (select from locked as l where l.is_newer))
    )
  order by k.range_from desc
  limit 1;
  if found then
    perform tidemark.refuse_cold(
      tg_op || ' of ' || tg_argv[1], hit.range_from::text, hit.range_to::text, 'where SQL does not see them',
      'Write through the API (tm.update, tm.delete). Or give the time as constants, from and to, that leave '
        'out this range: partitions are left out when a statement is planned, so not by now() or a generic plan. '
        'Or say that only rows in PostgreSQL are meant: set local tidemark.hot_only = ''on''.',
      tg_table_schema, tg_table_name
    );
  end if;
  return null;
end;
$function$;

-- BEFORE UPDATE OR DELETE OR TRUNCATE, each statement, on the partition of a cold chunk: fires for statements on the
-- partition itself only. Arguments: hypertable id, declared name, range from, range to.
create function tidemark.guard_cold_chunk() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
  if not tidemark.is_cold_write(tg_argv[0]) and (tg_op = 'TRUNCATE' or not tidemark.is_hot_only()) then
    perform tidemark.refuse_cold(
      tg_op || ' of ' || tg_argv[1], tg_argv[2], tg_argv[3], 'where SQL does not see them',
      'Write through the API (tm.update, tm.delete), or thaw the chunk.',
      tg_table_schema, tg_table_name
    );
  end if;
  return null;
end;
$function$;

-- BEFORE INSERT OR UPDATE, each row, on the partition of a cold chunk with a unique index: a key that is in the lake
-- would be there twice. Arguments: hypertable id, declared name, range from, range to, then the columns of unique
-- indexes; an update that leaves those as they are passes (none: no update does).
create function tidemark.guard_cold_key() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
  before jsonb;
  after jsonb;
  is_same boolean := tg_op = 'UPDATE' and tg_nargs > 4;
begin
  if tidemark.is_cold_write(tg_argv[0]) then
    return new;
  end if;
  if is_same then
    before := to_jsonb(old);
    after := to_jsonb(new);
    for i in 4 .. tg_nargs - 1 loop
      is_same := is_same and before -> tg_argv[i] is not distinct from after -> tg_argv[i];
    end loop;
  end if;
  if not is_same then
    perform tidemark.refuse_cold(
      tg_op || ' into ' || tg_argv[1], tg_argv[2], tg_argv[3], 'where unique keys cannot be checked',
      'Write through the API (tm.insert, tm.upsert), or thaw the chunk.',
      tg_table_schema, tg_table_name
    );
  end if;
  return new;
end;
$function$;

-- As guard_cold_key, on the default partition, which stands for cold chunks without a partition. Arguments: hypertable
-- id, declared name, column of the time.
create function tidemark.guard_cold_default() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
  at timestamptz;
  hit record;
begin
  if tidemark.is_cold_write(tg_argv[0]) then
    return new;
  end if;
  execute format('select ($1).%I', tg_argv[2]) using new into at;
  select k.range_from, k.range_to
  into hit
  from tidemark.chunk as k
  where k.hypertable_id = tg_argv[0]::int
    and k.range_from <= at
    and k.range_to > at
    -- also one that has a partition, as a snapshot of before it was dropped has it
    and k.state = 'cold';
  if found then
    perform tidemark.refuse_cold(
      tg_op || ' into ' || tg_argv[1], hit.range_from::text, hit.range_to::text, 'where unique keys cannot be checked',
      'Write through the API (tm.insert, tm.upsert), or thaw the chunk.',
      tg_table_schema, tg_table_name
    );
  end if;
  if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
    -- The snapshot may be older than a chunk that an import brought straight into the lake. Every move changes this row:
    -- locking it fails with 40001 then, and the transaction has to begin anew.
    perform from tidemark.hypertable as h where h.id = tg_argv[0]::int for share;
  end if;
  return new;
end;
$function$;

-- What the audit of the change log last saw of a range is no longer to be compared with: rows of it have moved between
-- PostgreSQL and the lake. In the transaction of the move. Until the next whole audit, differences there have a reason.
create function tidemark.forget_audit(
  in_hypertable_id int,
  in_from timestamptz,
  in_to timestamptz
) returns void
language sql
begin atomic
  update tidemark.change_audit
  set trimmed = trimmed + tstzmultirange(tstzrange(in_from, in_to)),
      trimmed_meanwhile = trimmed_meanwhile + tstzmultirange(tstzrange(in_from, in_to))
  where hypertable_id = in_hypertable_id;
end;

-- The oldest transaction that some snapshot of this database may still not see: what was dropped by an older one
-- nobody can need. `holder` says who has it, where it is not this very statement. Every role sees backend_xmin of all
-- others (what they run is hidden). Ages are compared with each other: a transaction number alone has 32 bits.
create function tidemark.snapshot_horizon(out horizon xid8, out holder text)
language sql volatile
begin atomic
  with me as (
    select pg_snapshot_xmin(pg_current_snapshot()) as xid
  ),
  held as (
    select
      age(a.backend_xmin) as age,
      format(
        'process %s (%s, %s)',
        a.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), coalesce(a.state, a.backend_type, 'of role ' || a.usename)
      ) as holder
    from pg_stat_activity as a
    where a.backend_xmin is not null
      and a.pid <> pg_backend_pid()
      -- a standby that tells what it needs has no database
      and (a.datname = current_database() or a.datid is null)
    union all
    select age(s.xmin), format('replication slot %s', s.slot_name)
    from pg_replication_slots as s
    where s.xmin is not null
    union all
    select age(p.transaction), format('prepared transaction %s', p.gid)
    from pg_prepared_xacts as p
    union all
    select age(m.xid::xid), null
    from me as m
  )
  select (m.xid::text::int8 - greatest(h.age - age(m.xid::xid), 0))::text::xid8, h.holder
  from me as m, held as h
  order by h.age desc, h.holder nulls first
  limit 1;
end;

revoke all on function tidemark.begin_cold_write(int) from public;
revoke all on function tidemark.is_cold_write(text) from public;
revoke all on function tidemark.is_hot_only() from public;
revoke all on function tidemark.refuse_cold(text, text, text, text, text, name, name) from public;
revoke all on function tidemark.guard_cold_table() from public;
revoke all on function tidemark.guard_cold_chunk() from public;
revoke all on function tidemark.guard_cold_key() from public;
revoke all on function tidemark.guard_cold_default() from public;
revoke all on function tidemark.forget_audit(int, timestamptz, timestamptz) from public;
revoke all on function tidemark.snapshot_horizon() from public;

comment on table tidemark.lake_file is 'Parquet files of cold chunks.';
comment on table tidemark.lake_deletion is 'Places of rows in files that no longer count.';
comment on table tidemark.lake_trash is 'Files that the catalog does not name, and that wait to be removed.';
comment on table tidemark.erasure is 'Records of erasures.';
