-- Turning a table with rows into a hypertable while it is read and written (docs/design/conversion.md).

create table tidemark.conversion (
  id int generated always as identity primary key,
  schema_name text not null,
  table_name text not null,
  -- preparing, copying, indexing, catching-up, finishing, done, cancelled
  state text not null check (
    state in ('preparing', 'copying', 'indexing', 'catching-up', 'finishing', 'done', 'cancelled')
  ),
  -- the source, also after it has been renamed
  source_oid oid not null,
  -- columns of the source as they were at the start; a source that has changed since is not swapped
  source_shape text not null,
  definition jsonb not null,
  -- the shadow's row; it gets the source's name at the swap
  hypertable_id int references tidemark.hypertable on delete set null,
  -- the transaction of the swap
  swap_xid xid8,
  -- what is left to do after the swap
  foreign_keys jsonb not null default '[]',
  old_table text,
  rows_copied int8 not null default 0,
  started_at timestamptz not null default now(),
  finished_at timestamptz
);

-- Two that start at once: one of them gets a duplicate key.
create unique index conversion_running on tidemark.conversion (schema_name, table_name)
where state not in ('done', 'cancelled');

-- Each time range that was copied, with the snapshot in which its rows were read. Ranges follow each other without a
-- gap, the first from -infinity; the copy is complete when the last goes to infinity.
create table tidemark.conversion_range (
  conversion_id int not null references tidemark.conversion on delete cascade,
  range_from timestamptz not null,
  range_to timestamptz not null,
  snapshot pg_snapshot not null,
  row_count int8 not null,
  copied_at timestamptz not null default clock_timestamp(),
  primary key (conversion_id, range_from),
  check (range_from < range_to)
);

create function tidemark.refuse_truncate() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
  raise exception using
    errcode = '55006',
    message = format('%I.%I is being converted into a hypertable and cannot be truncated now', tg_table_schema, tg_table_name),
    hint = 'Delete the rows instead, or cancel the conversion.';
end;
$function$;

-- Rows of the new table were written by transactions that a snapshot from before the swap does not see. The swap waits
-- for such snapshots, except for those of writers that wait for the swap; a writer at REPEATABLE READ among them would
-- go on with an empty table. It gets the error that this isolation level has to expect anyway.
create function tidemark.fence_conversion() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
  if not pg_visible_in_snapshot(tg_argv[0]::xid8, pg_current_snapshot()) then
    raise exception using
      errcode = '40001',
      message = format(
        'could not serialize access: %I.%I became a hypertable after this transaction had begun',
        tg_table_schema, tg_table_name
      ),
      hint = 'Run the transaction again.';
  end if;
  return null;
end;
$function$;

revoke all on function tidemark.refuse_truncate() from public;
revoke all on function tidemark.fence_conversion() from public;

comment on table tidemark.conversion is 'Tables that are being, or were, turned into hypertables.';
comment on table tidemark.conversion_range is 'Time ranges that a conversion has copied, each with its snapshot.';
