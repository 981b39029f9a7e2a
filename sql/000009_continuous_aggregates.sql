-- Continuous aggregates: their versions, and which ranges of their cells are not valid (docs/design/continuous-aggregates.md).

-- Tables of cells live here, out of the way of \dt.
create schema if not exists tidemark_aggregates;
-- Cells are read by whoever may read the rows (readable_cells below).
grant usage on schema tidemark_aggregates to public;

create table tidemark.aggregate (
  id int generated always as identity primary key,
  schema_name text not null,
  table_name text not null,
  -- the hypertable under the whole chain
  hypertable_id int not null references tidemark.hypertable,
  -- of the text of its view; null: none was made yet
  view_hash text,
  created_at timestamptz not null default now(),
  unique (schema_name, table_name)
);

-- A definition, and the table of its cells. A changed definition is a version of its own: it is built beside the current
-- one, which goes on answering, and takes its place in one transaction.
create table tidemark.aggregate_version (
  id int generated always as identity primary key,
  aggregate_id int not null references tidemark.aggregate on delete cascade,
  definition jsonb not null,
  -- of the canonical definition without what may change in place (refresh, retain, comment)
  definition_hash text not null,
  -- table of the cells, in schema tidemark_aggregates
  relation_name text not null unique,
  state text not null default 'building' check (state in ('building', 'current', 'retired')),
  -- states (by their place) that are not known in buckets before an instant, because their rows are gone: {"2": "2026-01-01T00:00:00Z"}
  unknown_before jsonb not null default '{}',
  -- counts every commit that changed which cells are valid, or the cells; for caches only
  epoch int8 not null default 0,
  refreshed_at timestamptz,
  refresh_error text,
  refresh_failed_at timestamptz,
  refresh_failures int not null default 0,
  created_at timestamptz not null default now(),
  current_since timestamptz
);

create unique index aggregate_version_current on tidemark.aggregate_version (aggregate_id) where state = 'current';
create unique index aggregate_version_definition on tidemark.aggregate_version (aggregate_id, definition_hash)
  where state <> 'retired';

-- Ranges whose cells may be wrong or missing, whole buckets. A cell is valid when no row here covers its bucket and the version's
-- consumer (name 'aggregate:<version id>') has missed no entry of the change log that touches it. A new version has one row,
-- from -infinity to infinity: the watermark is where the newest row begins.
create table tidemark.aggregate_invalid (
  id int8 generated always as identity primary key,
  version_id int not null references tidemark.aggregate_version on delete cascade,
  -- null: of all tenants
  tenant text,
  range_from timestamptz not null,
  range_to timestamptz not null,
  since timestamptz not null default clock_timestamp(),
  check (range_from < range_to)
);

create index aggregate_invalid_by_version on tidemark.aggregate_invalid (version_id, range_from);

comment on table tidemark.aggregate is 'Continuous aggregates, as declared.';
comment on table tidemark.aggregate_version is 'Definitions of continuous aggregates, and the tables of their cells.';
comment on table tidemark.aggregate_invalid is 'Ranges of continuous aggregates that a refresh has to compute.';

-- Which ranges of versions are not valid in the snapshot of the caller: rows of aggregate_invalid, and entries of the change log that
-- the version's consumer has missed (the rule of docs/design/change-log.md). One row for each version; `start_over` says why
-- nothing of it is valid. `in_versions` null: the current ones. Ranges of one tenant do not overlap; with more than
-- `in_max_ranges` of them tenants are given up, then the smallest gaps are closed: that says too much, never too little.
--
-- plpgsql, because it is asked beside every query and its statements are planned once for a connection: 0.1 ms instead of 0.6.
-- Security definer: whoever may query need not be able to read the log. Who may not read every row is told no tenant. Works on a
-- standby, where positions come from its primary.
create function tidemark.aggregate_validity(in_hypertable_id int, in_versions int[], in_max_ranges int)
returns table (
  version_id int,
  aggregate_name text,
  relation oid,
  epoch int8,
  unknown_before text,
  start_over text,
  entries int8,
  tenants text[],
  froms timestamptz[],
  tos timestamptz[]
)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
  here record;
  known record;
  sees_all bool;
begin
  for known in
    select
      v.id, a.schema_name || '.' || a.table_name as name, v.relation_name, v.epoch, v.unknown_before,
      c.position, c.started, c.system_identifier, c.timeline, c.database_oid
    from tidemark.aggregate_version as v
    join tidemark.aggregate as a on a.id = v.aggregate_id
    left join tidemark.change_consumer as c
      on c.hypertable_id = a.hypertable_id and c.name = 'aggregate:' || v.id
    where a.hypertable_id = in_hypertable_id
      and (in_versions is null and v.state = 'current' or v.id = any(in_versions))
    order by v.id
  loop
    if here is null then
      if pg_is_in_recovery() then
        select s.system_identifier::text, lpad(upper(to_hex(p.timeline_id)), 8, '0') as timeline, d.oid as database_oid
        into here
        from pg_control_system() as s, pg_control_checkpoint() as p, pg_database as d
        where d.datname = current_database();
      else
        select i.system_identifier, i.timeline, i.database_oid into here from tidemark.change_identity() as i;
      end if;
    end if;
    version_id := known.id;
    aggregate_name := known.name;
    select t.oid into relation
    from pg_class as t
    where t.relname = known.relation_name and t.relnamespace = 'tidemark_aggregates'::regnamespace;
    epoch := known.epoch;
    unknown_before := known.unknown_before::text;
    start_over := case
      when known.position is null then 'not-registered'
      when known.system_identifier <> here.system_identifier then 'other-cluster'
      when known.timeline <> here.timeline then 'other-timeline'
      when known.database_oid <> here.database_oid then 'other-database'
      when not known.started then 'new'
    end;
    if start_over is not null then
      entries := 0;
      tenants := array[null::text];
      froms := array['-infinity'::timestamptz];
      tos := array['infinity'::timestamptz];
      return next;
      continue;
    end if;

    -- Index aggregate_invalid_by_version, change_log_position. One range more than allowed tells that there are too many.
    with missed as materialized (
      select l.tenant, l.range_from, l.range_to
      from tidemark.change_log as l
      where l.hypertable_id = in_hypertable_id
        and l.xid >= pg_snapshot_xmin(known.position)
        and not pg_visible_in_snapshot(l.xid, known.position)
        and pg_visible_in_snapshot(l.xid, pg_current_snapshot())
    ),
    touched as (
      select i.tenant, i.range_from, i.range_to
      from tidemark.aggregate_invalid as i
      where i.version_id = known.id
      union all
      select m.tenant, m.range_from, m.range_to from missed as m
    ),
    by_tenant as (
      select t.tenant, range_agg(tstzrange(t.range_from, t.range_to)) as parts
      from touched as t
      group by t.tenant
    ),
    part as (
      select b.tenant, p.part
      from by_tenant as b, unnest(b.parts) as p (part)
      limit in_max_ranges + 1
    ),
    ordered as (
      select p.tenant, lower(p.part) as range_from, upper(p.part) as range_to from part as p order by 2, 1
    )
    select
      (select count(*) from missed),
      coalesce(array_agg(o.tenant), '{}'), coalesce(array_agg(o.range_from), '{}'), coalesce(array_agg(o.range_to), '{}')
    into entries, tenants, froms, tos
    from ordered as o;

    if cardinality(froms) > in_max_ranges then
      with touched as (
        select i.range_from, i.range_to
        from tidemark.aggregate_invalid as i
        where i.version_id = known.id
        union all
        select l.range_from, l.range_to
        from tidemark.change_log as l
        where l.hypertable_id = in_hypertable_id
          and l.xid >= pg_snapshot_xmin(known.position)
          and not pg_visible_in_snapshot(l.xid, known.position)
          and pg_visible_in_snapshot(l.xid, pg_current_snapshot())
      ),
      merged as (
        select unnest(range_agg(tstzrange(t.range_from, t.range_to))) as part from touched as t
      ),
      gap as (
        select m.part, lower(m.part) - lag(upper(m.part)) over (order by m.part) as width from merged as m
      ),
      edge as (
        select
          g.part,
          (g.width is null or row_number() over (order by g.width desc nulls first) <= in_max_ranges)::int as starts
        from gap as g
      ),
      closed as (
        select min(lower(n.part)) as range_from, max(upper(n.part)) as range_to
        from (select e.part, sum(e.starts) over (order by e.part) as number from edge as e) as n
        group by n.number
      )
      select array_agg(null::text), array_agg(c.range_from order by c.range_from), array_agg(c.range_to order by c.range_from)
      into tenants, froms, tos
      from closed as c;
    elsif array_remove(tenants, null) <> '{}' then
      -- the role that asks; current_user is this function's owner
      sees_all := coalesce(sees_all, (
        select
          has_table_privilege(r.oid, t.oid, 'select')
          and (
            not t.relrowsecurity or r.rolsuper or r.rolbypassrls
            or (not t.relforcerowsecurity and pg_has_role(r.oid, t.relowner, 'usage'))
          )
        from tidemark.hypertable as h
        join pg_namespace as n on n.nspname = h.schema_name
        join pg_class as t on t.relnamespace = n.oid and t.relname = h.table_name
        cross join pg_roles as r
        where h.id = in_hypertable_id
          and r.rolname = coalesce(nullif(current_setting('role'), 'none'), session_user::text)
      ), false);
      if not sees_all then
        tenants := array_fill(null::text, array[cardinality(froms)]);
      end if;
    end if;
    return next;
  end loop;
end;
$function$;

-- Which cells over a table the current role may read: those of `all` rows, those of the `tenant` that tidemark.tenant names, or
-- `none`. `tenant` only where every policy for the role is exactly the one of docs/design/continuous-aggregates.md: another one may
-- choose rows by anything.
create function tidemark.readable_cells(in_table regclass, in_tenant_column text) returns text
language sql stable
begin atomic
  with policy as (
    select p.polpermissive, translate(pg_get_expr(p.polqual, p.polrelid), '()', '') as condition
    from pg_policy as p
    where p.polrelid = in_table
      and p.polcmd in ('*', 'r')
      and (
        p.polroles = '{0}'
        or exists (select from unnest(p.polroles) as r (oid) where pg_has_role(r.oid, 'usage'))
      )
  ),
  tenant as (
    select
      quote_ident(a.attname) || ' = NULLIFcurrent_setting''tidemark.tenant''::text, true, ''''::text' as condition,
      format_type(a.atttypid, null) as type
    from pg_attribute as a
    where a.attrelid = in_table and a.attname = in_tenant_column and not a.attisdropped
  )
  select case
    when not has_table_privilege(in_table, 'select') then 'none'
    when not row_security_active(in_table) then 'all'
    when exists (select from policy as p where p.polpermissive)
      and not exists (
        select from policy as p
        where not exists (
          select from tenant as t where p.condition in (t.condition, t.condition || '::' || t.type)
        )
      )
      then 'tenant'
    else 'none'
  end;
end;

-- The first instant in (in_from, in_to] at which the clock of a zone is not set as it was at in_from; there is one.
create function tidemark.zone_change(in_zone text, in_from timestamptz, in_to timestamptz) returns timestamptz
language plpgsql immutable parallel safe
set search_path = ''
as $function$
declare
  -- clocks are set at whole seconds
  low timestamptz := date_trunc('second', in_from);
  high timestamptz := date_trunc('second', in_to);
  middle timestamptz;
  offset_before constant interval := (low at time zone in_zone) - (low at time zone 'UTC');
begin
  while high - low > interval '1 second' loop
    middle := low + date_trunc('second', (high - low) / 2);
    if (middle at time zone in_zone) - (middle at time zone 'UTC') = offset_before then
      low := middle;
    else
      high := middle;
    end if;
  end loop;
  return high;
end;
$function$;

-- The first instant at which a clock of the zone shows a local time or later.
create function tidemark.zone_reach(in_zone text, in_local timestamp) returns timestamptz
language plpgsql immutable parallel safe
set search_path = ''
as $function$
declare
  utc constant timestamptz := in_local at time zone 'UTC';
  -- clocks have been set by up to a day
  early constant timestamptz := utc - interval '48 hours';
  offset_before constant interval := (early at time zone in_zone) - (early at time zone 'UTC');
  reached constant timestamptz := utc - offset_before;
  change timestamptz;
begin
  if (reached at time zone in_zone) - (reached at time zone 'UTC') = offset_before then
    return reached;
  end if;
  change := tidemark.zone_change(in_zone, early, reached);
  return greatest(change, utc - ((change at time zone in_zone) - (change at time zone 'UTC')));
end;
$function$;

-- Start of the bucket that holds an instant, and of the one after it: the rule of docs/design/buckets.md. With an origin it is
-- arithmetic; without one by PostgreSQL's own zone data, which only the SQL view of an aggregate rests on, for rows that no refresh
-- has seen yet.
create function tidemark.bucket_border(
  in_every interval,
  in_zone text,
  in_origin timestamptz,
  in_at timestamptz,
  in_next bool
) returns timestamptz
language plpgsql immutable parallel safe
set search_path = ''
as $function$
declare
  months constant int := extract(year from in_every) * 12 + extract(month from in_every);
  days constant int := case when extract(epoch from in_every) % 86400 = 0 then extract(epoch from in_every) / 86400 else 0 end;
  width constant int8 := extract(epoch from in_every) * 1000000;
  first_day constant timestamp := '2000-01-03';
  instant timestamptz := in_at;
  local_time timestamp;
  number int;
  border timestamptz;
  change timestamptz;
  shown_before timestamp;
  shown_after timestamp;
begin
  if not isfinite(in_at) then
    return in_at;
  elsif in_origin is not null then
    border := date_bin(in_every, in_at, in_origin);
    return case when in_next then border + in_every else border end;
  elsif months <> 0 or days <> 0 then
    local_time := in_at at time zone in_zone;
    number := case
      when months <> 0
        then floor(((extract(year from local_time) - 2000) * 12 + extract(month from local_time) - 1) / months)
      else floor(extract(epoch from date_trunc('day', local_time) - first_day) / (days * 86400))
    end;
    loop
      number := number + 1;
      border := tidemark.zone_reach(in_zone, case
        when months <> 0 then timestamp '2000-01-01' + make_interval(months => number * months)
        else first_day + make_interval(days => number * days)
      end);
      -- a date that was reached is not left again when clocks are set back over midnight
      exit when border > in_at;
    end loop;
    if in_next then
      return border;
    end if;
    number := number - 1;
    return tidemark.zone_reach(in_zone, case
      when months <> 0 then timestamp '2000-01-01' + make_interval(months => number * months)
      else first_day + make_interval(days => number * days)
    end);
  end if;

  -- within the day: the wall clock's multiples of the width, and changes at which it comes to stand on one or passes one
  loop
    local_time := instant at time zone in_zone;
    border := instant - mod((extract(epoch from local_time - date_trunc('day', local_time)) * 1000000)::int8, width)
      * interval '1 microsecond';
    if in_next then
      border := border + in_every;
    end if;
    if (border at time zone in_zone) - (border at time zone 'UTC') = local_time - (instant at time zone 'UTC') then
      return border;
    end if;
    change := case when in_next
      then tidemark.zone_change(in_zone, instant, border)
      else tidemark.zone_change(in_zone, border, instant)
    end;
    shown_after := change at time zone in_zone;
    shown_before := change at time zone 'UTC'
      + (((change - interval '1 second') at time zone in_zone) - ((change - interval '1 second') at time zone 'UTC'));
    if date_bin(in_every, shown_after, first_day - interval '1000 years') = shown_after
      or (
        shown_before < shown_after
        and date_bin(in_every, shown_after, first_day - interval '1000 years') >= shown_before
      )
    then
      return change;
    end if;
    instant := case when in_next then change else change - interval '1 microsecond' end;
  end loop;
end;
$function$;

create function tidemark.bucket_start(in_every interval, in_zone text, in_at timestamptz) returns timestamptz
language sql immutable parallel safe
begin atomic
  select tidemark.bucket_border(in_every, in_zone, null, in_at, false);
end;

-- Ranges widened to whole buckets.
create function tidemark.whole_buckets(
  in_every interval,
  in_zone text,
  in_origin timestamptz,
  in_ranges tstzmultirange
) returns tstzmultirange
language sql immutable parallel safe
begin atomic
  select coalesce(range_agg(tstzrange(
    tidemark.bucket_border(in_every, in_zone, in_origin, lower(r.part), false),
    -- the last instant inside; what has no end keeps none
    case when isfinite(upper(r.part))
      then tidemark.bucket_border(in_every, in_zone, in_origin, upper(r.part) - interval '1 microsecond', true)
      else upper(r.part)
    end
  )), '{}')
  from unnest(in_ranges) as r (part);
end;

-- Buckets that the view of a version computes from rows: those that are not valid in the snapshot of the caller, and those that his
-- own transaction has written into. But none that the lake holds rows of, or that retention has dropped rows of: SQL does not see
-- those rows, and what a refresh computed of them is nearer to the truth than what it does see.
create function tidemark.aggregate_live_ranges(
  in_relation text,
  in_every interval,
  in_zone text,
  in_origin timestamptz
) returns tstzmultirange
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $function$
declare
  version record;
  touched tstzmultirange;
  gone tstzmultirange;
begin
  select v.id, a.hypertable_id into version
  from tidemark.aggregate_version as v
  join tidemark.aggregate as a on a.id = v.aggregate_id
  where v.relation_name = in_relation;

  select coalesce(range_agg(tstzrange(t.range_from, t.range_to)), '{}') into touched
  from (
    select r.range_from, r.range_to
    from tidemark.aggregate_validity(version.hypertable_id, array[version.id], 1000) as v,
      unnest(v.froms, v.tos) as r (range_from, range_to)
    union all
    select l.range_from, l.range_to
    from tidemark.change_log as l
    where l.hypertable_id = version.hypertable_id and l.xid = pg_current_xact_id_if_assigned()
  ) as t;
  if isempty(touched) then
    return touched;
  end if;

  select coalesce(range_agg(tstzrange(k.range_from, k.range_to)), '{}') into gone
  from tidemark.chunk as k
  where k.hypertable_id = version.hypertable_id and k.state in ('cold', 'dropped');
  return tidemark.whole_buckets(in_every, in_zone, in_origin, touched)
    - tidemark.whole_buckets(in_every, in_zone, in_origin, gone);
end;
$function$;

-- Takes an aggregate away that is declared no more: its view, the cells of all its versions, and its place in the change log.
create function tidemark.drop_aggregate(in_name text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
  aggregate record;
  version record;
begin
  select a.id, a.schema_name, a.table_name, a.hypertable_id into aggregate
  from tidemark.aggregate as a
  where a.schema_name || '.' || a.table_name = in_name
  for update;
  if not found then
    raise exception using errcode = '42704', message = format('there is no continuous aggregate %s', in_name);
  end if;
  execute format('drop view if exists %I.%I', aggregate.schema_name, aggregate.table_name);
  for version in select v.id, v.relation_name from tidemark.aggregate_version as v where v.aggregate_id = aggregate.id loop
    execute format('drop table if exists tidemark_aggregates.%I', version.relation_name);
    delete from tidemark.change_consumer as c
    where c.hypertable_id = aggregate.hypertable_id and c.name = 'aggregate:' || version.id;
  end loop;
  delete from tidemark.aggregate as a where a.id = aggregate.id;
  insert into tidemark.schema_change (relation, kind, sentence, statements, applied_by)
  values (
    in_name, 'aggregate', 'drops the continuous aggregate ' || in_name,
    array[format('select tidemark.drop_aggregate(%L)', in_name)], 'SQL'
  );
end;
$function$;

revoke all on function tidemark.drop_aggregate(text) from public;
comment on function tidemark.drop_aggregate(text) is 'Takes a continuous aggregate away with its cells; its name as in the declaration.';
