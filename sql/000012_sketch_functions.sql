-- States of continuous aggregates in SQL: finished values, and states of many cells as one (docs/reference/sql.md). The bytes are
-- those of docs/design/aggregates.md, and every function gives what TypeScript gives. Which are for people is said by a comment on
-- the function; the others are parts of views.

-- Functions for people are of no use to who may not name them. Tables stay closed: none of this schema is granted.
grant usage on schema tidemark to public;

-- Sums -------------------------------------------------------------------------------------------------------------------------

-- The double nearest to sum / n.
create function tidemark.nearest_ratio(in_sum numeric, in_n int8) returns float8
language sql immutable strict parallel safe
begin atomic
  select case
    when abs(in_sum) <= 9007199254740992 then in_sum::float8 / in_n::float8
    -- in whole numbers: a quotient would be rounded twice
    else (div(in_sum * 1e40, in_n::numeric) * 1e-40)::float8
  end;
end;

-- (small + large * 2^200) / divisor, infinite where no double is large enough.
create function tidemark.float_total(in_small float8, in_large float8, in_divisor int8) returns float8
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  -- nearer to zero it is nothing beside values of 2^700, and PostgreSQL refuses to multiply
  scaled constant float8 := case when abs(in_small) < 1e-240 then 0 else in_small * 6.223015277861142e-61::float8 end;
  total constant float8 := (in_large + scaled) / in_divisor;
begin
  if abs(total) >= 1.1187243896851205e248 and abs(total) < 'Infinity' then
    return case when total > 0 then 'Infinity' else '-Infinity' end;
  end if;
  return total / 6.223015277861142e-61::float8;
end;
$function$;

-- Sample variance, or its root, of values of which some are too large to be squared; those are kept times 2^-600.
create function tidemark.large_variance(
  in_n int8,
  in_mean float8,
  in_m2 float8,
  in_large_n int8,
  in_large_mean float8,
  in_large_m2 float8,
  in_root bool
) returns float8
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  scale constant float8 := power(2::float8, -600);
  least_scaled constant float8 := power(2::float8, -470);
  mean float8;
  m2 float8 := in_large_m2;
  n constant float8 := in_n + in_large_n;
  delta float8;
  variance float8;
begin
  if n < 2 then
    return null;
  end if;
  if in_n > 0 then
    mean := case when abs(in_mean) < least_scaled then 0 else in_mean * scale end;
    delta := mean - in_large_mean;
    mean := case when in_m2 < least_scaled then 0 else in_m2 * scale end;
    m2 := m2 + case when mean < least_scaled then 0 else mean * scale end + delta * delta * in_large_n * (in_n / n);
  end if;
  variance := greatest(m2, 0) / (n - 1);
  if in_root then
    variance := sqrt(variance);
    return case when variance >= power(2::float8, 424) and variance < 'Infinity' then 'Infinity' else variance / scale end;
  elsif variance >= power(2::float8, -176) and variance < 'Infinity' then
    return 'Infinity';
  end if;
  return variance / scale / scale;
end;
$function$;

-- Bytes ------------------------------------------------------------------------------------------------------------------------

-- Whole numbers of 7 bits a byte from a place on, to the end. What is behind the last one is the caller's to leave out.
create function tidemark.read_counts(in_state bytea, in_from int) returns int8[]
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  -- out of the row's compression, once
  bytes constant bytea := in_state || ''::bytea;
  counts int8[] := '{}';
  count int8 := 0;
  shift int := 0;
  place int := 0;
  byte int;
begin
  if get_byte(in_state, 0) <> 1 then
    raise exception using
      errcode = '22P03',
      message = format('the encoding of a state has version %s, and this catalog reads version 1', get_byte(in_state, 0)),
      hint = 'Refresh the aggregate that it belongs to.';
  end if;
  for i in in_from .. length(in_state) - 1 loop
    byte := get_byte(bytes, i);
    if byte < 128 then
      place := place + 1;
      if shift = 0 then
        counts[place] := byte;
      else
        counts[place] := count | (byte::int8 << shift);
        count := 0;
        shift := 0;
      end if;
    else
      count := count | ((byte & 127)::int8 << shift);
      shift := least(shift + 7, 56);
    end if;
  end loop;
  return counts;
end;
$function$;

create function tidemark.write_count(in_count int8) returns bytea
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  bytes bytea := '';
  rest int8 := in_count;
begin
  if rest < 128 then
    return set_byte('\x00'::bytea, 0, rest::int);
  end if;
  while rest > 127 loop
    bytes := bytes || set_byte('\x00'::bytea, 0, (rest & 127)::int | 128);
    rest := rest >> 7;
  end loop;
  return bytes || set_byte('\x00'::bytea, 0, rest::int);
end;
$function$;

-- A finite double from its eight bytes.
create function tidemark.read_double(in_bytes bytea) returns float8
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  bits constant int8 := ('x' || encode(in_bytes, 'hex'))::bit(64)::int8;
  exponent constant int := ((bits >> 52) & 2047)::int;
  fraction constant int8 := bits & 4503599627370495;
  magnitude constant float8 := case
    when exponent = 0 then fraction::float8 * power(2::float8, -1074)
    else (fraction + 4503599627370496)::float8 * power(2::float8, exponent - 1075)
  end;
begin
  return case when bits < 0 then -magnitude else magnitude end;
end;
$function$;

-- Percentiles ------------------------------------------------------------------------------------------------------------------

-- The bucket of a value from its bits, moved above 0 and with its sign; 0 of zeros, and three keys of what is in no bucket.
create function tidemark.sketch_key(in_value float8) returns int
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  bits int8;
begin
  if abs(in_value) < 2.2250738585072014e-308::float8 then
    return 0;
  elsif in_value = 'NaN' then
    return 2000000;
  elsif abs(in_value) = 'Infinity' then
    return case when in_value > 0 then 1000000 else -1000000 end;
  end if;
  bits := ('x' || encode(float8send(abs(in_value)), 'hex'))::bit(64)::int8;
  -- no border of a bucket lies halfway between two fractions
  return sign(in_value)::int
    * (((bits >> 52) - 1)::int * 50 + (((bits & 4503599627370495) * 50 + 25) >> 52)::int + 1);
end;
$function$;

-- The value in the middle of a bucket of magnitudes.
create function tidemark.sketch_value(in_bucket int) returns float8
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  exponent constant int := floor(in_bucket / 50::float8);
  low constant float8 := (50 + in_bucket - exponent * 50) / 50::float8;
  high constant float8 := (51 + in_bucket - exponent * 50) / 50::float8;
begin
  return 2 * low * high / (low + high) * power(2::float8, exponent);
end;
$function$;

create function tidemark.percentile(state bytea, q float8) returns float8
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  counts constant int8[] := tidemark.read_counts(state, 1);
  positive_size constant int := counts[5];
  -- of the last pair: the bucket is known by adding up
  negative_at constant int := 6 + 2 * positive_size;
  negative_size constant int := counts[negative_at];
  positive int8 := 0;
  negative int8 := 0;
  finite int8;
  total int8;
  rank int8;
  bucket int := 0;
  before int8 := 0;
  value float8;
  least_value float8;
  greatest_value float8;
begin
  if not (q >= 0 and q <= 1) then
    raise exception using errcode = '22023', message = format('percentile needs a quantile from 0 to 1, not %s', q);
  end if;
  for i in 1 .. positive_size loop
    positive := positive + counts[5 + 2 * i];
  end loop;
  for i in 1 .. negative_size loop
    negative := negative + counts[negative_at + 2 * i];
  end loop;
  finite := negative + counts[1] + positive;
  total := finite + counts[2] + counts[3] + counts[4];
  if total = 0 then
    return null;
  end if;
  rank := floor(q * (total - 1)::float8);
  if rank < counts[4] then
    return '-Infinity';
  end if;
  rank := rank - counts[4];
  if rank >= finite then
    return case when rank - finite < counts[3] then 'Infinity' else 'NaN' end;
  end if;
  least_value := tidemark.read_double(substr(state, length(state) - 15, 8));
  greatest_value := tidemark.read_double(substr(state, length(state) - 7, 8));
  if rank = 0 then
    return least_value;
  elsif rank = finite - 1 then
    return greatest_value;
  elsif rank < negative then
    -- from the greatest magnitude on: so many lie below it
    rank := negative - 1 - rank;
    for i in 1 .. negative_size loop
      bucket := case when i = 1
        then (counts[negative_at + 1] >> 1) # -(counts[negative_at + 1] & 1)
        else bucket + counts[negative_at - 1 + 2 * i]
      end;
      before := before + counts[negative_at + 2 * i];
      exit when before > rank;
    end loop;
    value := -tidemark.sketch_value(bucket);
  elsif rank - negative < counts[1] then
    value := 0;
  else
    rank := rank - negative - counts[1];
    for i in 1 .. positive_size loop
      bucket := case when i = 1 then (counts[6] >> 1) # -(counts[6] & 1) else bucket + counts[4 + 2 * i] end;
      before := before + counts[5 + 2 * i];
      exit when before > rank;
    end loop;
    value := tidemark.sketch_value(bucket);
  end if;
  return least(greatest(value, least_value), greatest_value);
end;
$function$;

create function tidemark.percentiles(state bytea, qs float8[]) returns float8[]
language sql immutable strict parallel safe
begin atomic
  select array_agg(tidemark.percentile(state, q.q) order by q.place) from unnest(qs) with ordinality as q (q, place);
end;

-- The buckets of one sign: how many, the first one, distances, each with its count. Below the cap they are counted in the lowest.
create function tidemark.write_buckets(in_buckets int[], in_counts int8[]) returns bytea
language sql immutable parallel safe
begin atomic
  with listed as (
    select greatest(b.bucket, max(b.bucket) over () - 4095) as bucket, b.count
    from unnest(in_buckets, in_counts) as b (bucket, count)
  ),
  kept as (
    select l.bucket, sum(l.count)::int8 as count, l.bucket - lag(l.bucket) over (order by l.bucket) as distance
    from listed as l
    group by l.bucket
  )
  select tidemark.write_count(count(*)) || coalesce(string_agg(
    tidemark.write_count(coalesce(k.distance, case when k.bucket < 0 then -2 * k.bucket - 1 else 2 * k.bucket end))
      || tidemark.write_count(k.count),
    '' order by k.bucket
  ), '')
  from kept as k;
end;

-- From counts by key: the bucket + 51101 with the sign of the value, 0, and three beyond all buckets.
create function tidemark.percentile_state(in_keys int[], in_counts int8[], in_min float8, in_max float8) returns bytea
language sql immutable parallel safe
begin atomic
  with listed as (
    select k.key, sum(k.count)::int8 as count
    from unnest(in_keys, in_counts) as k (key, count)
    group by k.key
  )
  select '\x01'::bytea
    || tidemark.write_count(coalesce(sum(l.count) filter (where l.key = 0), 0)::int8)
    || tidemark.write_count(coalesce(sum(l.count) filter (where l.key = 2000000), 0)::int8)
    || tidemark.write_count(coalesce(sum(l.count) filter (where l.key = 1000000), 0)::int8)
    || tidemark.write_count(coalesce(sum(l.count) filter (where l.key = -1000000), 0)::int8)
    || tidemark.write_buckets(
      array_agg(l.key - 51101) filter (where l.key > 0 and l.key < 1000000),
      array_agg(l.count) filter (where l.key > 0 and l.key < 1000000)
    )
    || tidemark.write_buckets(
      array_agg(-l.key - 51101) filter (where l.key < 0 and l.key > -1000000),
      array_agg(l.count) filter (where l.key < 0 and l.key > -1000000)
    )
    -- + 0: -0 is 0
    || coalesce(float8send(in_min + 0::float8) || float8send(in_max + 0::float8), '')
  from listed as l;
end;

create function tidemark.merge_percentiles(in_states bytea[]) returns bytea
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  state bytea;
  counts int8[];
  keys int[] := '{}';
  key_counts int8[] := '{}';
  place int;
  finite int8;
  least_value float8;
  greatest_value float8;
begin
  if array_length(array_remove(in_states, null), 1) is null then
    return null;
  end if;
  foreach state in array array_remove(in_states, null) loop
    counts := tidemark.read_counts(state, 1);
    keys := keys || array[0, 2000000, 1000000, -1000000];
    key_counts := key_counts || counts[1:4];
    finite := counts[1];
    place := 5;
    for side in 0 .. 1 loop
      if counts[place] > 0 then
        -- distances, the first one from 0, become buckets
        counts[place + 1] := (counts[place + 1] >> 1) # -(counts[place + 1] & 1);
        select
          keys || array_agg(case side when 0 then d.bucket + 51101 else -d.bucket - 51101 end order by d.pair),
          key_counts || array_agg(d.count order by d.pair)
        into keys, key_counts
        from (
          select l.pair, l.count, (sum(l.distance) over (order by l.pair))::int as bucket
          from (
            select p.pair, counts[place + 2 * p.pair - 1] as distance, counts[place + 2 * p.pair] as count
            from generate_series(1, counts[place]::int) as p (pair)
          ) as l
        ) as d;
        finite := finite + counts[place];
      end if;
      place := place + 1 + 2 * counts[place];
    end loop;
    if finite > 0 then
      least_value := least(least_value, tidemark.read_double(substr(state, length(state) - 15, 8)));
      greatest_value := greatest(greatest_value, tidemark.read_double(substr(state, length(state) - 7, 8)));
    end if;
  end loop;
  return tidemark.percentile_state(keys, key_counts, least_value, greatest_value);
end;
$function$;

-- Uniques ----------------------------------------------------------------------------------------------------------------------

create function tidemark.uniques(state bytea) returns int8
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  -- registers of each rank, 0 … 53
  counts float8[] := array_fill(0::float8, array[54], array[0]);
  registers text;
  rest text;
  left_over int := 4096;
  x float8;
  y float8;
  z float8;
  part float8;
  previous float8;
begin
  if get_byte(state, 1) = 0 then
    return (tidemark.read_counts(substr(state, 1, least(length(state), 4)), 2))[1];
  end if;
  -- a byte of text is a register: counted by what is shorter without it
  registers := encode(substr(state, 3), 'escape');
  rest := replace(registers, '\000', '');
  counts[0] := (length(registers) - length(rest)) / 4;
  left_over := left_over - counts[0]::int;
  for rank in 1 .. 53 loop
    exit when left_over = 0;
    registers := rest;
    rest := replace(registers, chr(rank), '');
    counts[rank] := length(registers) - length(rest);
    left_over := left_over - counts[rank]::int;
  end loop;

  -- Ertl 2017, algorithm 6; tau of the registers that are full
  x := 1 - counts[53] / 4096;
  if x = 0 or x = 1 then
    z := 0;
  else
    y := 1;
    z := 1 - x;
    loop
      previous := z;
      x := sqrt(x);
      y := y / 2;
      z := z - (1 - x) * (1 - x) * y;
      exit when z = previous;
    end loop;
    z := z / 3;
  end if;
  z := 4096 * z;
  for k in reverse 52 .. 1 loop
    z := (z + counts[k]) / 2;
  end loop;
  -- sigma of the empty ones
  x := counts[0] / 4096;
  if x = 1 then
    return 0;
  end if;
  y := 1;
  part := x;
  loop
    previous := part;
    x := x * x;
    part := part + x * y;
    y := y + y;
    exit when part = previous;
  end loop;
  z := z + 4096 * part;
  return floor(16777216::float8 / (1.3862943611198906::float8 * z) + 0.5::float8);
end;
$function$;

create function tidemark.write_registers(in_registers int[], in_ranks int[]) returns bytea
language sql immutable parallel safe
begin atomic
  select '\x0101'::bytea || decode(string_agg(lpad(to_hex(coalesce(r.rank, 0)), 2, '0'), '' order by g.register), 'hex')
  from generate_series(0, 4095) as g (register)
  left join (
    select l.register, max(l.rank) as rank from unnest(in_registers, in_ranks) as l (register, rank) group by l.register
  ) as r on r.register = g.register;
end;

create function tidemark.write_hashes(in_hashes int8[]) returns bytea
language sql immutable parallel safe
begin atomic
  -- in the order of the unsigned number
  select '\x0100'::bytea || tidemark.write_count(count(*))
    || coalesce(string_agg(int8send(h.hash), '' order by h.hash < 0, h.hash), '')
  from (select distinct l.hash from unnest(in_hashes) as l (hash)) as h;
end;

create function tidemark.uniques_state(in_total int8, in_registers int[], in_ranks int[], in_hashes int8[]) returns bytea
language sql immutable parallel safe
begin atomic
  select case
    when in_total > 512 then tidemark.write_registers(in_registers, in_ranks)
    else tidemark.write_hashes(in_hashes)
  end;
end;

create function tidemark.merge_uniques(in_states bytea[]) returns bytea
language sql immutable strict parallel safe
begin atomic
  with state as materialized (
    select s.state from unnest(in_states) as s (state) where s.state is not null
  ),
  hash as materialized (
    select distinct ('x' || encode(substr(s.state, case when length(s.state) < 1027 then 4 else 5 end + 8 * g.place, 8), 'hex'))::bit(64)::int8 as hash
    from state as s, generate_series(0, (length(s.state) - 3) / 8 - 1) as g (place)
    where get_byte(s.state, 1) = 0
  ),
  register as (
    select g.register, get_byte(s.state, g.register + 2) as rank
    from state as s, generate_series(0, 4095) as g (register)
    where get_byte(s.state, 1) = 1
    union all
    select (h.hash >> 52)::int & 4095, 53 - length(ltrim((h.hash & 4503599627370495)::bit(52)::text, '0'))
    from hash as h
  )
  select case
    when not exists (select from state) then null
    when not exists (select from state as s where get_byte(s.state, 1) = 1) and (select count(*) from hash) <= 512
      then tidemark.write_hashes((select array_agg(h.hash) from hash as h))
    else (select tidemark.write_registers(array_agg(r.register), array_agg(r.rank)) from register as r)
  end;
end;

-- Different values -------------------------------------------------------------------------------------------------------------

create function tidemark.count_distinct(state bytea) returns int8
language sql immutable strict parallel safe
begin atomic
  select (tidemark.read_counts(substr(state, 1, least(length(state), 10)), 1))[1];
end;

-- Null where there are more bytes of texts than a state may have.
create function tidemark.distinct_state(in_bytes int8, in_texts text[]) returns bytea
language sql immutable parallel safe
begin atomic
  select case when in_bytes is null or in_texts is not null then (
    select '\x01'::bytea || tidemark.write_count(count(*)) || coalesce(string_agg(
      tidemark.write_count(octet_length(convert_to(t.text, 'UTF8'))) || convert_to(t.text, 'UTF8'),
      '' order by t.text collate "C"
    ), '')
    from (select distinct l.text from unnest(in_texts) as l (text)) as t
  ) end;
end;

create function tidemark.distinct_texts(in_state bytea) returns text[]
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  texts text[] := '{}';
  -- behind the version and how many there are
  place int := 1 + length(tidemark.write_count(tidemark.count_distinct(in_state)));
  size int;
  shift int;
  byte int;
begin
  while place < length(in_state) loop
    size := 0;
    shift := 0;
    loop
      byte := get_byte(in_state, place);
      place := place + 1;
      size := size | ((byte & 127) << shift);
      shift := shift + 7;
      exit when byte < 128;
    end loop;
    texts := texts || convert_from(substr(in_state, place + 1, size), 'UTF8');
    place := place + size;
  end loop;
  return texts;
end;
$function$;

create function tidemark.merge_distinct(in_states bytea[]) returns bytea
language sql immutable strict parallel safe
begin atomic
  select case when array_length(array_remove(in_states, null), 1) is not null then tidemark.distinct_state(0, (
    select coalesce(array_agg(t.text), '{}')
    from unnest(in_states) as s (state), unnest(tidemark.distinct_texts(s.state)) as t (text)
  )) end;
end;

-- Histograms -------------------------------------------------------------------------------------------------------------------

create function tidemark.histogram_counts(state bytea) returns int8[]
language sql immutable strict parallel safe
begin atomic
  select tidemark.read_counts(state, 1);
end;

-- `in_size`: one more than there are borders.
create function tidemark.histogram_state(in_places int[], in_counts int8[], in_size int) returns bytea
language sql immutable parallel safe
begin atomic
  select '\x01'::bytea || string_agg(tidemark.write_count(coalesce(c.count, 0)), '' order by g.place)
  from generate_series(0, in_size - 1) as g (place)
  left join (
    select l.place, sum(l.count)::int8 as count from unnest(in_places, in_counts) as l (place, count) group by l.place
  ) as c on c.place = g.place;
end;

create function tidemark.merge_histograms(in_states bytea[]) returns bytea
language sql immutable strict parallel safe
begin atomic
  select '\x01'::bytea || string_agg(tidemark.write_count(c.count), '' order by c.place)
  from (
    select l.place, sum(l.count)::int8 as count
    from unnest(in_states) as s (state), unnest(tidemark.read_counts(s.state, 1)) with ordinality as l (count, place)
    group by l.place
  ) as c
  having count(*) > 0;
end;

-- States of many cells as one --------------------------------------------------------------------------------------------------

create aggregate tidemark.rollup_percentile(state bytea) (
  sfunc = array_append, stype = bytea[], finalfunc = tidemark.merge_percentiles, combinefunc = array_cat, parallel = safe
);

create aggregate tidemark.rollup_uniques(state bytea) (
  sfunc = array_append, stype = bytea[], finalfunc = tidemark.merge_uniques, combinefunc = array_cat, parallel = safe
);

create aggregate tidemark.rollup_count_distinct(state bytea) (
  sfunc = array_append, stype = bytea[], finalfunc = tidemark.merge_distinct, combinefunc = array_cat, parallel = safe
);

create aggregate tidemark.rollup_histogram(state bytea) (
  sfunc = array_append, stype = bytea[], finalfunc = tidemark.merge_histograms, combinefunc = array_cat, parallel = safe
);

comment on function tidemark.percentile(bytea, float8) is 'The value at a quantile from 0 to 1 of a percentile state, within 1 %.';
comment on function tidemark.percentiles(bytea, float8[]) is 'The values at several quantiles of a percentile state.';
comment on function tidemark.uniques(bytea) is 'How many different values a uniques state has seen: exact up to 512, then within about 1.6 %.';
comment on function tidemark.count_distinct(bytea) is 'How many different values a countDistinct state holds.';
comment on function tidemark.histogram_counts(bytea) is 'Values below the first border, between borders, at or above the last one.';
comment on aggregate tidemark.rollup_percentile(bytea) is 'One percentile state of many.';
comment on aggregate tidemark.rollup_uniques(bytea) is 'One uniques state of many.';
comment on aggregate tidemark.rollup_count_distinct(bytea) is 'One countDistinct state of many.';
comment on aggregate tidemark.rollup_histogram(bytea) is 'One histogram state of many.';
