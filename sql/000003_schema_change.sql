-- What Tidemark has done to declared tables, and the guard of append-only ones.

-- Plain tables and views, as declared; hypertables are in tidemark.hypertable.
create table tidemark.relation (
  schema_name text not null,
  relation_name text not null,
  kind text not null check (kind in ('table', 'view')),
  definition jsonb not null,
  created_at timestamptz not null default now(),
  primary key (schema_name, relation_name)
);

-- The place of the full revision history: one row for each applied change, in the order of id.
create table tidemark.schema_change (
  id int8 generated always as identity primary key,
  -- schema.table
  relation text not null,
  kind text not null,
  sentence text not null,
  -- what was run, one statement each
  statements text[] not null,
  definition_before jsonb,
  definition_after jsonb,
  applied_by text not null,
  applied_role text not null default current_user,
  applied_at timestamptz not null default now()
);

create index schema_change_relation on tidemark.schema_change (relation, id);

-- Transactions in which Tidemark moves rows of append-only tables from one home to another (freeze, thaw, a chunk
-- taking its rows out of the default partition). The row is bound to its transaction: a setting could be left on
-- by a connection that is reused, and anybody may set one; this table only its owner may write.
create table tidemark.row_move (
  xid xid8 primary key
);

create function tidemark.begin_row_move() returns void
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  -- What ended transactions left behind. Skipping locked rows: nobody waits for anybody here.
  delete from tidemark.row_move
  where xid in (
    select old.xid
    from tidemark.row_move as old
    where old.xid < pg_snapshot_xmin(pg_current_snapshot())
    for update skip locked
  );
  insert into tidemark.row_move (xid)
  values (pg_current_xact_id())
  on conflict (xid) do nothing;
end;

-- Security definer: whoever writes the table need not be able to read Tidemark's catalog.
create function tidemark.refuse_change() returns trigger
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $function$
begin
  -- Without a transaction id there can be no row for it, and asking for one would assign it.
  if pg_current_xact_id_if_assigned() is not null
    and exists (select from tidemark.row_move as m where m.xid = pg_current_xact_id())
  then
    return null;
  end if;
  -- The first argument is the declared name: a partition's own name would tell the reader nothing.
  raise exception using
    errcode = 'TM001',
    message = format('TM_APPEND_ONLY: %s is append-only: rows may be inserted, never changed or deleted', tg_argv[0]),
    hint = 'Insert a correcting row instead; the table was declared appendOnly.',
    schema = tg_table_schema,
    table = tg_table_name;
end;
$function$;

comment on table tidemark.relation is 'Plain tables and views, as declared.';
comment on table tidemark.schema_change is 'Every change that Tidemark made to a declared table, with its SQL.';
comment on table tidemark.row_move is 'Transactions that move rows of append-only tables.';
comment on function tidemark.begin_row_move() is 'Lets this transaction move rows of append-only tables.';

revoke all on function tidemark.begin_row_move() from public;
revoke all on function tidemark.refuse_change() from public;
