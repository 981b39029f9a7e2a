-- The SQL functions of TimescaleDB that its users write queries with, for PostgreSQL without an extension (docs/reference/sql.md):
-- with `tidemark` in the search_path such a query runs unchanged. They are our own, written from its documentation and the
-- results that it publishes. Where TimescaleDB is installed, its functions and these live in different schemas.

-- Months of a bucket's width, 0 when it has none. Of a constant width it is folded when the query is planned, so that
-- time_bucket becomes a bare date_bin.
create function tidemark.bucket_months(width interval) returns int4
language plpgsql immutable strict parallel safe
as $function$
declare
  months int4 := extract(year from width) * 12 + extract(month from width);
begin
  if months <> 0 and width <> make_interval(months => months) then
    raise exception using
      errcode = '0A000',
      message = format('a bucket of %s mixes months with days or time', width),
      hint = 'Use months alone, or days and time alone.';
  end if;
  if width <= interval '0' then
    raise exception using errcode = '22023', message = format('the width of a bucket must be greater than 0, not %s', width);
  end if;
  return months;
end;
$function$;

create function tidemark.whole_days(width interval) returns interval
language plpgsql immutable strict parallel safe
as $function$
begin
  if extract(epoch from width) % 86400 <> 0 then
    raise exception using
      errcode = '0A000',
      message = format('%s is no whole number of days, which buckets of dates need', width),
      hint = 'Cast the date to timestamp.';
  end if;
  return width;
end;
$function$;

-- The first of the month in which a bucket of so many months begins.
create function tidemark.month_bucket(months int4, ts timestamp, origin timestamp) returns timestamp
language sql immutable parallel safe
as $function$
  select case when months = 1 or not isfinite(ts) then date_trunc('month', ts)
    else date_trunc('month', origin) + make_interval(months => months * floor((
      (date_part('year', ts) - date_part('year', origin)) * 12 + date_part('month', ts) - date_part('month', origin)
    ) / months)::int4) end
$function$;

-- time_bucket. Not STRICT: a strict function whose body has CASE is not inlined, and then costs a call for each row. Null goes
-- through every branch. The origins are Monday 2000-01-03, and 2000-01 of months (docs/design/buckets.md).

create function tidemark.time_bucket(bucket_width interval, ts timestamp, origin timestamp) returns timestamp
language sql immutable parallel safe
as $function$
  select case when tidemark.bucket_months(bucket_width) = 0 then date_bin(bucket_width, ts, origin)
    else tidemark.month_bucket(tidemark.bucket_months(bucket_width), ts, origin) end
$function$;

create function tidemark.time_bucket(bucket_width interval, ts timestamp) returns timestamp
language sql immutable parallel safe
as $function$
  select tidemark.time_bucket(bucket_width, ts, timestamp '2000-01-03')
$function$;

-- The offset is applied by the calendar of UTC: by the session's zone it would not be immutable.
create function tidemark.time_bucket(bucket_width interval, ts timestamp, "offset" interval) returns timestamp
language sql immutable parallel safe
as $function$
  select tidemark.time_bucket(bucket_width, ts - "offset", timestamp '2000-01-03') + "offset"
$function$;

create function tidemark.time_bucket(bucket_width interval, ts timestamptz, origin timestamptz) returns timestamptz
language sql immutable parallel safe
as $function$
  select case when tidemark.bucket_months(bucket_width) = 0 then date_bin(bucket_width, ts, origin)
    else tidemark.month_bucket(
      tidemark.bucket_months(bucket_width), ts at time zone 'UTC', origin at time zone 'UTC'
    ) at time zone 'UTC' end
$function$;

create function tidemark.time_bucket(bucket_width interval, ts timestamptz) returns timestamptz
language sql immutable parallel safe
as $function$
  select tidemark.time_bucket(bucket_width, ts, timestamptz '2000-01-03 00:00:00+00')
$function$;

create function tidemark.time_bucket(bucket_width interval, ts timestamptz, "offset" interval) returns timestamptz
language sql immutable parallel safe
as $function$
  select tidemark.time_bucket(bucket_width, ts at time zone 'UTC', "offset") at time zone 'UTC'
$function$;

create function tidemark.time_bucket(bucket_width interval, ts date, origin date) returns date
language sql immutable parallel safe
as $function$
  select case when tidemark.bucket_months(bucket_width) = 0
    then date_bin(tidemark.whole_days(bucket_width), ts::timestamp, origin::timestamp)::date
    else tidemark.month_bucket(tidemark.bucket_months(bucket_width), ts::timestamp, origin::timestamp)::date end
$function$;

create function tidemark.time_bucket(bucket_width interval, ts date) returns date
language sql immutable parallel safe
as $function$
  select tidemark.time_bucket(bucket_width, ts, date '2000-01-03')
$function$;

create function tidemark.time_bucket(bucket_width interval, ts date, "offset" interval) returns date
language sql immutable parallel safe
as $function$
  select (tidemark.time_bucket(bucket_width, (ts - tidemark.whole_days("offset"))::date, date '2000-01-03') + "offset")::date
$function$;

-- The first instant at which a clock of the zone shows a time or, where it is set forward over that, a later one. PostgreSQL
-- reads a time that is shown twice as the second, and one that is skipped as if the clock had not been set.
create function tidemark.first_instant(clock timestamp, timezone text) returns timestamptz
language plpgsql immutable strict parallel safe
as $function$
declare
  late timestamp := clock at time zone timezone at time zone 'UTC';
  early timestamp := late - interval '24 hours';
  middle timestamp;
begin
  if late at time zone 'UTC' at time zone timezone = clock then
    early := clock - (early at time zone 'UTC' at time zone timezone - early);
    return least(late, case when early at time zone 'UTC' at time zone timezone = clock then early end) at time zone 'UTC';
  end if;
  while late - early > interval '1 second' loop
    middle := date_trunc('second', early + (late - early) / 2);
    if middle at time zone 'UTC' at time zone timezone < clock then early := middle; else late := middle; end if;
  end loop;
  return late at time zone 'UTC';
end;
$function$;

-- By the clock of a zone: the rule of docs/design/buckets.md. Days, weeks and months begin at local midnight; a date that was
-- entered is not left when the clock is set back over midnight. Shorter buckets begin where the clock stands on a multiple of
-- the width.
create function tidemark.zone_bucket(
  bucket_width interval, ts timestamptz, timezone text, origin timestamptz, "offset" interval
) returns timestamptz
language plpgsql immutable parallel safe
as $function$
declare
  months int4 := tidemark.bucket_months(bucket_width);
  at timestamptz := ts;
  clock timestamp;
  since timestamp := coalesce(origin at time zone timezone, timestamp '2000-01-03');
  begun timestamp;
  start timestamptz;
  before interval;
begin
  if bucket_width is null or ts is null or timezone is null then return null; end if;
  if not isfinite(ts) then return ts; end if;
  if "offset" is not null then at := (at at time zone 'UTC' - "offset") at time zone 'UTC'; end if;
  clock := at at time zone timezone;

  if months > 0 or (extract(epoch from bucket_width) % 86400 = 0 and since::time = '00:00') then
    if tidemark.first_instant(clock::date + 1, timezone) <= at then clock := clock::date + 1; end if;
    start := tidemark.first_instant(tidemark.time_bucket(bucket_width, clock, since), timezone);
  else
    begun := tidemark.time_bucket(bucket_width, clock, since);
    start := begun at time zone timezone;
    if start at time zone timezone <> begun then
      start := tidemark.first_instant(begun, timezone);
    elsif start > at then
      -- the clock shows it twice, and this is the first time
      start := (at at time zone 'UTC' - (clock - begun)) at time zone 'UTC';
    else
      -- set back since: the clock may have stood on a later multiple before
      before := (start at time zone timezone) - (start at time zone 'UTC');
      if at at time zone 'UTC' + before > clock then
        begun := tidemark.time_bucket(bucket_width, at at time zone 'UTC' + before, since);
        if (begun - before) at time zone 'UTC' at time zone timezone = begun then
          start := greatest(start, (begun - before) at time zone 'UTC');
        end if;
      end if;
    end if;
  end if;

  return case when "offset" is null then start else (start at time zone 'UTC' + "offset") at time zone 'UTC' end;
end;
$function$;

-- Nearly always no clock was set between the start of the bucket, less 3 hours, and now: then plain arithmetic is right. That is
-- asked in one expression, which is inlined.
create function tidemark.time_bucket(
  bucket_width interval, ts timestamptz, timezone text, origin timestamptz default null, "offset" interval default null
) returns timestamptz
language sql immutable parallel safe
as $function$
  select case
    when not isfinite(ts) then ts
    when origin is null and "offset" is null
      and (tidemark.time_bucket(bucket_width, ts at time zone timezone) - interval '3 hours') at time zone timezone
        = ((ts at time zone 'UTC')
          - ((ts at time zone timezone) - tidemark.time_bucket(bucket_width, ts at time zone timezone))
          - interval '3 hours') at time zone 'UTC'
    then ((ts at time zone 'UTC')
      - ((ts at time zone timezone) - tidemark.time_bucket(bucket_width, ts at time zone timezone))) at time zone 'UTC'
    else tidemark.zone_bucket(bucket_width, ts, timezone, origin, "offset") end
$function$;

create function tidemark.whole_width(width int8) returns int8
language plpgsql immutable strict parallel safe
as $function$
begin
  if width <= 0 then
    raise exception using errcode = '22023', message = format('the width of a bucket must be greater than 0, not %s', width);
  end if;
  return width;
end;
$function$;

create function tidemark.time_bucket(bucket_width int8, ts int8) returns int8
language sql immutable parallel safe
as $function$
  select case when ts % tidemark.whole_width(bucket_width) < 0 then ts - ts % bucket_width - bucket_width
    else ts - ts % bucket_width end
$function$;

create function tidemark.time_bucket(bucket_width int4, ts int4) returns int4
language sql immutable parallel safe
as $function$
  select case when ts % tidemark.whole_width(bucket_width)::int4 < 0 then ts - ts % bucket_width - bucket_width
    else ts - ts % bucket_width end
$function$;

create function tidemark.time_bucket(bucket_width int2, ts int2) returns int2
language sql immutable parallel safe
as $function$
  select case when ts % tidemark.whole_width(bucket_width)::int2 < 0 then ts - ts % bucket_width - bucket_width
    else ts - ts % bucket_width end
$function$;

create function tidemark.time_bucket(bucket_width int8, ts int8, "offset" int8) returns int8
language sql immutable parallel safe
as $function$
  select tidemark.time_bucket(bucket_width, ts - "offset" % bucket_width) + "offset" % bucket_width
$function$;

create function tidemark.time_bucket(bucket_width int4, ts int4, "offset" int4) returns int4
language sql immutable parallel safe
as $function$
  select tidemark.time_bucket(bucket_width, ts - "offset" % bucket_width) + "offset" % bucket_width
$function$;

create function tidemark.time_bucket(bucket_width int2, ts int2, "offset" int2) returns int2
language sql immutable parallel safe
as $function$
  select tidemark.time_bucket(bucket_width, ts - "offset" % bucket_width) + "offset" % bucket_width
$function$;

-- first(value, time) and last(value, time): the value at the least and the greatest time. A state has the time as what it is, to
-- be compared, and the value as text: a state's type cannot hold a value of any type, and text comes back exactly.
-- Rows without time are left out; a null value that has the least time is the answer. Of equal times the row that came first counts.
create function tidemark.value_of_text(value text, kind anyelement) returns anyelement
language plpgsql immutable parallel safe
as $function$
declare
  answer alias for $0;
begin
  -- text is assigned to anything but a row
  if (select typtype from pg_catalog.pg_type where oid = pg_typeof(kind)) = 'c' then
    execute format('select (%L::%s).*', value, pg_typeof(kind)) into answer;
    return answer;
  end if;
  return value;
end;
$function$;

do $do$
declare
  type text;
begin
  foreach type in array array['timestamptz', 'timestamp', 'date', 'int2', 'int4', 'int8'] loop
    execute format('create type tidemark.value_at_%1$s as ("time" %1$s, value text)', type);
    execute format($create$
      create function tidemark.first_step(state tidemark.value_at_%1$s, value anyelement, "time" %1$s)
      returns tidemark.value_at_%1$s language plpgsql immutable parallel safe as $function$
      begin
        if $3 is null or $3 >= state."time" then return state; end if;
        return ($3, $2::text);
      end;
      $function$;
      create function tidemark.last_step(state tidemark.value_at_%1$s, value anyelement, "time" %1$s)
      returns tidemark.value_at_%1$s language plpgsql immutable parallel safe as $function$
      begin
        if $3 is null or $3 <= state."time" then return state; end if;
        return ($3, $2::text);
      end;
      $function$;
      create function tidemark.first_merge(a tidemark.value_at_%1$s, b tidemark.value_at_%1$s)
      returns tidemark.value_at_%1$s language sql immutable parallel safe
      as $function$ select case when a."time" is null or b."time" < a."time" then b else a end $function$;
      create function tidemark.last_merge(a tidemark.value_at_%1$s, b tidemark.value_at_%1$s)
      returns tidemark.value_at_%1$s language sql immutable parallel safe
      as $function$ select case when a."time" is null or b."time" > a."time" then b else a end $function$;
      create function tidemark.value_of(state tidemark.value_at_%1$s, value anyelement, "time" %1$s)
      returns anyelement language sql immutable parallel safe
      as $function$ select tidemark.value_of_text(state.value, value) $function$;
      create aggregate tidemark.first(value anyelement, "time" %1$s) (
        sfunc = tidemark.first_step, stype = tidemark.value_at_%1$s, combinefunc = tidemark.first_merge,
        finalfunc = tidemark.value_of, finalfunc_extra, parallel = safe
      );
      create aggregate tidemark.last(value anyelement, "time" %1$s) (
        sfunc = tidemark.last_step, stype = tidemark.value_at_%1$s, combinefunc = tidemark.last_merge,
        finalfunc = tidemark.value_of, finalfunc_extra, parallel = safe
      )
    $create$, type);
  end loop;
end;
$do$;

-- By anything else that can be compared: the state is {time, value}, both as text.
create function tidemark.first_step(state text[], value anyelement, "time" anycompatible) returns text[]
language plpgsql immutable parallel safe
as $function$
declare
  least "time"%type := state[1];
begin
  if "time" is null or "time" >= least then return state; end if;
  return array["time"::text, value::text];
end;
$function$;

create function tidemark.last_step(state text[], value anyelement, "time" anycompatible) returns text[]
language plpgsql immutable parallel safe
as $function$
declare
  greatest "time"%type := state[1];
begin
  if "time" is null or "time" <= greatest then return state; end if;
  return array["time"::text, value::text];
end;
$function$;

create function tidemark.value_of(state text[], value anyelement, "time" anycompatible) returns anyelement
language sql immutable parallel safe
as $function$
  select tidemark.value_of_text(state[2], value)
$function$;

-- Without a combine function: states do not say of which type their times are. Such a call runs in one process.
create aggregate tidemark.first(value anyelement, "time" anycompatible) (
  sfunc = tidemark.first_step, stype = text[], finalfunc = tidemark.value_of, finalfunc_extra, parallel = safe
);
create aggregate tidemark.last(value anyelement, "time" anycompatible) (
  sfunc = tidemark.last_step, stype = text[], finalfunc = tidemark.value_of, finalfunc_extra, parallel = safe
);

-- histogram(value, min, max, nbuckets): how many values lie below min, in each of nbuckets equal parts, and from max on.
create function tidemark.histogram_step(state int4[], value float8, min float8, max float8, nbuckets int4) returns int4[]
language plpgsql immutable parallel safe
as $function$
declare
  place int4;
begin
  if value is null then return state; end if;
  if state is null then
    if min > max then
      raise exception using errcode = '22023', message = format('min (%s) is greater than max (%s)', min, max);
    end if;
    state := array_fill(0, array[nbuckets + 2]);
  elsif cardinality(state) <> nbuckets + 2 then
    raise exception using
      errcode = '22023',
      message = format('nbuckets was %s and is now %s: it must not change between rows', cardinality(state) - 2, nbuckets);
  end if;
  place := width_bucket(value, min, max, nbuckets) + 1;
  state[place] := state[place] + 1;
  return state;
end;
$function$;

create function tidemark.histogram_merge(a int4[], b int4[]) returns int4[]
language plpgsql immutable parallel safe
as $function$
begin
  if a is null or b is null then return coalesce(a, b); end if;
  if cardinality(a) <> cardinality(b) then
    raise exception using
      errcode = '22023',
      message = format('nbuckets was %s and is now %s: it must not change between rows', cardinality(a) - 2, cardinality(b) - 2);
  end if;
  for i in 1 .. cardinality(a) loop
    a[i] := a[i] + b[i];
  end loop;
  return a;
end;
$function$;

create aggregate tidemark.histogram(value float8, min float8, max float8, nbuckets int4) (
  sfunc = tidemark.histogram_step, stype = int4[], combinefunc = tidemark.histogram_merge, parallel = safe
);

-- Gap filling changes which rows there are, and no function of a GROUP BY can do that. So time_bucket_gapfill, locf and
-- interpolate have TimescaleDB's signatures and refuse, already when a query is planned, also where it would have no rows:
-- `tidemark sql` and tm.sql() rewrite such a query to one that fills, which calls the functions below
-- (docs/decisions/0012-sql-functions.md).
create function tidemark.refuse_unfilled(name text) returns text
language plpgsql immutable strict parallel safe
as $function$
begin
  raise exception using
    errcode = '0A000',
    message = format('TM_GAPFILL: PostgreSQL cannot fill gaps inside a GROUP BY, so %s() was not computed', name),
    hint = 'Run the query with tm.sql() or `tidemark sql`, which rewrite it; `tidemark sql --print` prints SQL that runs everywhere.';
end;
$function$;

do $do$
declare
  type text;
begin
  foreach type in array array['int2', 'int4', 'int8', 'date', 'timestamp', 'timestamptz'] loop
    execute format($create$
      create function tidemark.time_bucket_gapfill(
        bucket_width %2$s, ts %1$s, start %1$s default null, finish %1$s default null
      ) returns %1$s language sql immutable parallel safe
      as $function$ select case when tidemark.refuse_unfilled('time_bucket_gapfill') is null then ts end $function$
    $create$, type, case when type like 'int%' then type else 'interval' end);
  end loop;
  foreach type in array array['int2', 'int4', 'int8', 'float4', 'float8'] loop
    -- A function in SQL, which is inlined and so refuses early, takes no record. The default of `refused` is computed early, too.
    execute format($create$
      create function tidemark.interpolate(
        value %1$s, prev record default null, next record default null,
        refused text default tidemark.refuse_unfilled('interpolate')
      ) returns %1$s language plpgsql immutable parallel safe
      as $function$ begin return refused; end $function$
    $create$, type);
  end loop;
end;
$do$;

create function tidemark.time_bucket_gapfill(
  bucket_width interval, ts timestamptz, timezone text, start timestamptz default null, finish timestamptz default null
) returns timestamptz language sql immutable parallel safe
as $function$ select case when tidemark.refuse_unfilled('time_bucket_gapfill') is null then ts end $function$;

create function tidemark.locf(value anyelement, prev anyelement default null, treat_null_as_missing bool default false)
returns anyelement language sql immutable parallel safe
as $function$ select case when tidemark.refuse_unfilled('locf') is null then value end $function$;

-- What rewritten queries call. `kind` is a null of the type that buckets have: it says as what a literal is read.

create function tidemark.gapfill_end(start anyelement, finish anyelement) returns anyelement
language plpgsql immutable parallel safe
as $function$
begin
  if start is null or finish is null then
    raise exception using
      errcode = '22004',
      message = format('TM_GAPFILL: the %s of time_bucket_gapfill is null', case when start is null then 'start' else 'finish' end),
      hint = 'Give start and finish, or bounds of time in WHERE, that are not null.';
  end if;
  return finish;
end;
$function$;

do $do$
declare
  type text;
begin
  foreach type in array array['int2', 'int4', 'int8'] loop
    execute format($create$
      create function tidemark.gapfill_at(kind %1$s, value %1$s) returns %1$s
      language sql immutable parallel safe as $function$ select value $function$;
      create function tidemark.gapfill_after(kind %1$s, value %1$s) returns %1$s
      language sql immutable parallel safe as $function$ select value + 1::%1$s $function$;
      create function tidemark.gapfill_buckets(kind %1$s, width %1$s, start %1$s, finish %1$s) returns setof %1$s
      language sql immutable parallel safe
      as $function$
        select bucket::%1$s
        from generate_series(tidemark.time_bucket(width, start)::int8, tidemark.gapfill_end(start, finish)::int8 - 1, width) bucket
      $function$;
      create function tidemark.gapfill_number(value %1$s) returns numeric
      language sql immutable parallel safe as $function$ select value::numeric $function$;
    $create$, type);
  end loop;
  foreach type in array array['timestamp', 'timestamptz'] loop
    execute format($create$
      create function tidemark.gapfill_at(kind %1$s, value %1$s) returns %1$s
      language sql immutable parallel safe as $function$ select value $function$;
      create function tidemark.gapfill_number(value %1$s) returns numeric
      language sql immutable parallel safe as $function$ select extract(epoch from value) * 1000000 $function$;
    $create$, type);
  end loop;
  foreach type in array array['int2', 'int4', 'int8'] loop
    execute format($create$
      create function tidemark.interpolable(value %1$s) returns %1$s
      language sql immutable parallel safe as $function$ select value $function$;
      create function tidemark.gapfill_between(x numeric, x0 numeric, x1 numeric, y0 %1$s, y1 %1$s) returns %1$s
      language sql immutable parallel safe
      as $function$ select ((y0 * (x1 - x) + y1 * (x - x0)) / (x1 - x0))::%1$s $function$;
    $create$, type);
  end loop;
  foreach type in array array['float4', 'float8'] loop
    execute format($create$
      create function tidemark.interpolable(value %1$s) returns %1$s
      language sql immutable parallel safe as $function$ select value $function$;
      create function tidemark.gapfill_between(x numeric, x0 numeric, x1 numeric, y0 %1$s, y1 %1$s) returns %1$s
      language sql immutable parallel safe
      as $function$
        select case when y0 = y1 then y0
          else ((y0::float8 * (x1 - x)::float8 + y1::float8 * (x - x0)::float8) / (x1 - x0)::float8)::%1$s end
      $function$;
    $create$, type);
  end loop;
end;
$do$;

create function tidemark.gapfill_at(kind date, value date) returns date
language sql immutable parallel safe as $function$ select value $function$;

create function tidemark.gapfill_after(kind date, value date) returns date
language sql immutable parallel safe as $function$ select value + 1 $function$;

create function tidemark.gapfill_after(kind timestamp, value timestamp) returns timestamp
language sql immutable parallel safe as $function$ select value + interval '1 microsecond' $function$;

create function tidemark.gapfill_after(kind timestamptz, value timestamptz) returns timestamptz
language sql immutable parallel safe
as $function$ select (value at time zone 'UTC' + interval '1 microsecond') at time zone 'UTC' $function$;

create function tidemark.gapfill_number(value date) returns numeric
language sql immutable parallel safe as $function$ select (value - date '2000-01-01')::numeric $function$;

create function tidemark.gapfill_buckets(kind timestamp, width interval, start timestamp, finish timestamp)
returns setof timestamp language sql immutable parallel safe
as $function$
  select bucket
  from generate_series(
    tidemark.time_bucket(width, start), tidemark.gapfill_end(start, finish) - interval '1 microsecond', width
  ) bucket
$function$;

create function tidemark.gapfill_buckets(kind date, width interval, start date, finish date)
returns setof date language sql immutable parallel safe
as $function$
  select bucket::date
  from generate_series(
    tidemark.time_bucket(width, start)::timestamp, tidemark.gapfill_end(start, finish)::timestamp - interval '1 microsecond', width
  ) bucket
$function$;

create function tidemark.gapfill_buckets(kind timestamptz, width interval, start timestamptz, finish timestamptz)
returns setof timestamptz language sql immutable parallel safe
as $function$
  select bucket at time zone 'UTC'
  from tidemark.gapfill_buckets(null::timestamp, width, start at time zone 'UTC', finish at time zone 'UTC') bucket
$function$;

-- By the clock of a zone: what it shows twice begins two buckets, or one.
create function tidemark.gapfill_buckets(kind timestamptz, width interval, start timestamptz, finish timestamptz, timezone text)
returns setof timestamptz language sql immutable parallel safe
as $function$
  select distinct bucket
  from tidemark.gapfill_buckets(
      null::timestamp, width,
      tidemark.time_bucket(width, start, timezone) at time zone timezone,
      tidemark.gapfill_end(start, finish) at time zone timezone + interval '1 day'
    ) clock
  cross join lateral (values (clock at time zone timezone), (tidemark.first_instant(clock, timezone))) shown(instant)
  cross join lateral tidemark.time_bucket(width, instant, timezone) bucket
  where bucket >= tidemark.time_bucket(width, start, timezone) and bucket < finish
  order by bucket
$function$;

-- A field of a record (time, value) that interpolate was given, as the type of `kind`. Through JSON, because the fields of a record
-- have no type before it is there.
create function tidemark.gapfill_sample(kind anyelement, sample record, field text) returns anyelement
language plpgsql immutable parallel safe
as $function$
declare
  fields json := row_to_json(sample);
begin
  if sample is null then return null; end if;
  if (select count(*) from json_object_keys(fields)) <> 2 or fields -> 'f1' is null or fields -> 'f2' is null then
    raise exception using
      errcode = '22023',
      message = format('TM_GAPFILL: prev and next of interpolate are records of two, (time, value), not %s', fields);
  end if;
  return tidemark.value_of_text(fields ->> field, kind);
end;
$function$;
