-- Tenants in PostgreSQL: two roles of the whole server, what the second one reads of the catalog, and logins that belong to one
-- tenant (docs/design/tenants.md). Row security of declared tables is migrate's (src/migrate/tenant-rows.ts).

-- Logins that may name one tenant only. Whoever is not here names the tenant himself: anybody may set tidemark.tenant.
create table tidemark.tenant_login (
  login name primary key,
  tenant text not null check (tenant <> ''),
  bound_by name not null default session_user,
  bound_at timestamptz not null default clock_timestamp()
);

comment on table tidemark.tenant_login is 'Logins that may name one tenant only.';

-- Whether the login may name the tenant that tidemark.tenant names now. By session_user, which neither SET ROLE nor a function of
-- another owner changes. Security definer: nobody need be able to read who belongs to whom.
create function tidemark.is_own_tenant() returns boolean
language sql stable parallel safe security definer
begin atomic
  select coalesce(
    (
      select l.tenant is not distinct from current_setting('tidemark.tenant', true)
      from tidemark.tenant_login as l
      where l.login = session_user
    ),
    true
  );
end;

comment on function tidemark.is_own_tenant() is 'Whether the login may name the tenant that tidemark.tenant names.';

-- From now on the login sees and writes rows of this tenant only, whatever it sets. Its sessions start with the tenant set, where
-- the caller may give a role a setting (a superuser); otherwise whoever logs in sets it himself.
create function tidemark.bind_login(in_login name, in_tenant text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
  if not exists (select from pg_roles as r where r.rolname = in_login) then
    raise exception using errcode = '42704', message = format('there is no role %I', in_login);
  end if;
  if (select r.rolsuper or r.rolbypassrls from pg_roles as r where r.rolname = in_login) then
    raise exception using
      errcode = '42501',
      message = format('%I is a superuser or has BYPASSRLS: row security does not hold for it', in_login),
      hint = 'Make a login of its own for the tenant.';
  end if;
  insert into tidemark.tenant_login (login, tenant)
  values (in_login, in_tenant)
  on conflict (login) do update
  set tenant = excluded.tenant, bound_by = excluded.bound_by, bound_at = excluded.bound_at;
  begin
    execute format('alter role %I in database %I set tidemark.tenant = %L', in_login, current_database(), in_tenant);
  exception when insufficient_privilege then
    raise notice '% has to say itself: set tidemark.tenant = %', in_login, quote_literal(in_tenant);
  end;
end;
$function$;

-- The login may name any tenant again. To shut it out, take tidemark_reader from it, or drop it, before.
create function tidemark.unbind_login(in_login name) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
begin
  delete from tidemark.tenant_login as l where l.login = in_login;
  begin
    execute format('alter role %I in database %I reset tidemark.tenant', in_login, current_database());
  exception when insufficient_privilege or undefined_object then
    null;
  end;
end;
$function$;

revoke all on function tidemark.bind_login(name, text) from public;
revoke all on function tidemark.unbind_login(name) from public;

comment on function tidemark.bind_login(name, text) is 'A login sees rows of one tenant from now on, whatever it sets.';
comment on function tidemark.unbind_login(name) is 'A login may name any tenant again.';

-- What the two roles lack, as statements in the order in which they have to be run:
-- - tidemark_reader, for logins: reads what is declared (the grants on declared tables are migrate's);
-- - tidemark_tenant, which nobody logs in as: what the engine becomes for the time of a query on behalf of a tenant. A reader, who also
--   reads of the catalog what planning a query takes.
-- Neither is a superuser or passes by row security. Whoever connects here must be able to become tidemark_tenant.
create function tidemark.missing_tenant_rights() returns setof text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  reader constant oid := (select r.oid from pg_roles as r where r.rolname = 'tidemark_reader');
  tenant constant oid := (select r.oid from pg_roles as r where r.rolname = 'tidemark_tenant');
  -- since 16 being a member and being able to SET ROLE are two things
  has_set_option constant boolean := current_setting('server_version_num')::int >= 160000;
  missing text;
begin
  if reader is null then
    return next 'create role tidemark_reader nologin';
  end if;
  if tenant is null then
    return next 'create role tidemark_tenant nologin';
  end if;
  return query
    select format('alter role %I nosuperuser nobypassrls', r.rolname)
    from pg_roles as r
    where r.oid in (reader, tenant) and (r.rolsuper or r.rolbypassrls)
    order by r.rolname;
  if reader is null or tenant is null or not pg_has_role(tenant, reader, 'usage') then
    return next 'grant tidemark_reader to tidemark_tenant';
  end if;

  if not (select r.rolsuper from pg_roles as r where r.rolname = session_user)
    and (tenant is null or not pg_has_role(session_user, tenant, case when has_set_option then 'set' else 'member' end))
  then
    return next format(
      'grant tidemark_tenant to %I%s', session_user, case when has_set_option then ' with inherit false, set true' else '' end
    );
  end if;

  select string_agg(quote_ident(s.name), ', ' order by s.name) into missing
  from unnest(array['tidemark', 'tidemark_aggregates']) as s (name)
  where reader is null or not has_schema_privilege(reader, s.name, 'usage');
  if missing is not null then
    return next format('grant usage on schema %s to tidemark_reader', missing);
  end if;

  select string_agg('tidemark.' || t.name, ', ' order by t.place) into missing
  from unnest(array[
    'hypertable', 'chunk', 'lake_file', 'lake_deletion', 'aggregate', 'aggregate_version'
  ]) with ordinality as t (name, place)
  where tenant is null or not has_table_privilege(tenant, 'tidemark.' || t.name, 'select');
  if missing is not null then
    return next format('grant select on %s to tidemark_tenant', missing);
  end if;
end;
$function$;

-- Gives the roles what they lack. Migrations of many databases of a server do it at once: whoever comes second waits for the first
-- and finds it done.
create function tidemark.give_tenant_rights() returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $function$
declare
  statement text;
begin
  for statement in select s from tidemark.missing_tenant_rights() as s loop
    begin
      execute statement;
    exception when duplicate_object or unique_violation or internal_error then
      -- internal_error: "tuple concurrently updated". Whether it is there now is asked again by whoever needs it.
      null;
    end;
  end loop;
end;
$function$;

revoke all on function tidemark.give_tenant_rights() from public;

comment on function tidemark.missing_tenant_rights() is 'Statements that the roles of tenants still need.';
comment on function tidemark.give_tenant_rights() is 'Gives the roles of tenants what they lack.';

-- Without CREATEROLE everything but tenants works: migrate asks again, and says what an administrator has to run, where a table
-- declares a tenant.
do $do$
begin
  perform tidemark.give_tenant_rights();
exception when insufficient_privilege then
  null;
end;
$do$;

-- As in 000009, and: the policy that holds a bound login to its tenant (its condition is is_own_tenant) says nothing of which rows are
-- whose; who names another tenant than his own may read no cells.
create or replace function tidemark.readable_cells(in_table regclass, in_tenant_column text) returns text
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
        -- the schema is left out where it is in the search_path
        and (
          p.polpermissive
          or p.condition not in (
            ' SELECT tidemark.is_own_tenant AS is_own_tenant', ' SELECT is_own_tenant AS is_own_tenant'
          )
        )
      )
      and tidemark.is_own_tenant()
      then 'tenant'
    else 'none'
  end;
end;

-- As in 000011, but as its owner: a query on behalf of a tenant has to know what has changed since its answer was kept, and need not
-- read the log, which names tenants. Null as before to whoever may not read the log, but for tidemark_tenant.
create or replace function tidemark.changes_since(
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
security definer
set search_path = ''
as $function$
declare
  max_entries constant int := 20000;
  -- current_user is this function's owner
  caller constant name := coalesce(nullif(pg_catalog.current_setting('role'), 'none'), session_user);
  hypertable int;
  entries int;
  changed tstzmultirange;
begin
  snapshot := pg_catalog.pg_current_snapshot();
  if pg_catalog.pg_is_in_recovery()
    or (
      caller <> 'tidemark_tenant'
      and not (
        pg_catalog.has_table_privilege(caller, 'tidemark.change_log', 'select')
        and pg_catalog.has_table_privilege(caller, 'tidemark.change_trim', 'select')
      )
    )
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

-- As in 000009, and: the engine, while it is tidemark_tenant, is told whose cells are not valid, which it plans by for every tenant
-- alike; no row of it reaches whoever asks.
create or replace function tidemark.aggregate_validity(in_hypertable_id int, in_versions int[], in_max_ranges int)
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
      sees_all := coalesce(sees_all, current_setting('role') = 'tidemark_tenant' or (
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
