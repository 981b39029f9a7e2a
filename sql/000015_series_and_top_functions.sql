-- States of topK, counters and time-weighted averages in SQL: finished values, and states as the view of a continuous aggregate
-- computes them from rows. The bytes are those of docs/design/aggregates.md; the other states are in 000012.

-- The most frequent values -----------------------------------------------------------------------------------------------------

-- What a topK state holds. The first row has no text: its count is how often a value that is not listed may have occurred.
create function tidemark.top_items(in_state bytea, out text text, out count int8, out error int8) returns setof record
language plpgsql immutable strict parallel safe rows 256
set search_path = ''
as $function$
declare
  -- out of the row's compression, once
  bytes constant bytea := in_state || ''::bytea;
  place int := 1;
  -- -2 the rest, -1 how many values; then of each: 0 bytes of its text, 1 count, 2 error
  field int := -2;
  number int8;
  shift int;
  byte int;
begin
  if get_byte(bytes, 0) <> 1 then
    raise exception using
      errcode = '22P03',
      message = format('the encoding of a state has version %s, and this catalog reads version 1', get_byte(bytes, 0)),
      hint = 'Refresh the aggregate that it belongs to.';
  end if;
  while place < length(bytes) loop
    number := 0;
    shift := 0;
    loop
      byte := get_byte(bytes, place);
      place := place + 1;
      number := number | ((byte & 127)::int8 << shift);
      exit when byte < 128;
      shift := shift + 7;
    end loop;
    if field = 0 then
      text := convert_from(substr(bytes, place + 1, number::int), 'UTF8');
      place := place + number::int;
    elsif field = 1 then
      count := number;
    elsif field = 2 then
      error := number;
      return next;
    elsif field = -2 then
      count := number;
      error := 0;
      return next;
    end if;
    field := (field + 1) % 3;
  end loop;
end;
$function$;

-- Null texts: more values than a state keeps, of which `in_rest` is the count of the first that is not kept.
create function tidemark.top_state(in_texts text[], in_counts int8[], in_rest int8) returns bytea
language sql immutable parallel safe
begin atomic
  select '\x01'::bytea || tidemark.write_count(coalesce(in_rest, 0)) || tidemark.write_count(count(*)) || coalesce(string_agg(
    tidemark.write_count(octet_length(convert_to(t.text, 'UTF8'))) || convert_to(t.text, 'UTF8')
      || tidemark.write_count(t.count) || '\x00'::bytea,
    '' order by t.text collate "C"
  ), '')
  from unnest(in_texts, in_counts) as t (text, count)
  where t.text is not null;
end;

-- A double from the text of its bits.
create function tidemark.double_of_bits(in_bits text) returns float8
language sql immutable strict parallel safe
begin atomic
  select case in_bits::int8
    when 9221120237041090560 then 'NaN'::float8
    when 9218868437227405312 then 'Infinity'::float8
    when -4503599627370496 then '-Infinity'::float8
    else tidemark.read_double(int8send(in_bits::int8))
  end;
end;

-- A value from its canonical text, as JSON over HTTP has it: what JSON cannot say as a number is a text.
create function tidemark.top_value(in_text text, in_type text) returns jsonb
language sql immutable strict parallel safe
set extra_float_digits = 1
begin atomic
  select case
    when in_type in ('int2', 'int4') then to_jsonb(in_text::int8)
    when in_type = 'int8' then
      case when in_text::int8 between -9007199254740991 and 9007199254740991 then to_jsonb(in_text::int8) else to_jsonb(in_text) end
    when in_type in ('float4', 'float8', 'json-number') then
      case
        when abs(tidemark.double_of_bits(in_text)) < 'Infinity' then to_jsonb(tidemark.double_of_bits(in_text))
        else to_jsonb(tidemark.double_of_bits(in_text)::text)
      end
    when in_type = 'bool' then to_jsonb(in_text::bool)
    when in_type = 'date' then to_jsonb(case in_text::int8
      when 2147483647 then 'infinity'::date
      when -2147483648 then '-infinity'::date
      else date '1970-01-01' + in_text::int
    end)
    when in_type = 'timestamptz' then case in_text::int8
      when 9223372036854775807 then to_jsonb('infinity'::text)
      when -9223372036854775808 then to_jsonb('-infinity'::text)
      else to_jsonb((to_jsonb(
        timestamp 'epoch' + (in_text::int8 / 86400000000)::int * interval '1 day'
          + (in_text::int8 % 86400000000) * interval '1 microsecond'
      ) #>> '{}') || 'Z')
    end
    else to_jsonb(in_text)
  end;
end;

create function tidemark.top_k(state bytea, k int, value_type text default 'text') returns jsonb
language sql immutable strict parallel safe
begin atomic
  select coalesce(jsonb_agg(
    jsonb_build_object('value', tidemark.top_value(t.text, value_type), 'count', t.count, 'error', t.error) order by t.place
  ), '[]')
  from (
    -- of equal counts the least value first
    select i.text, i.count, i.error, row_number() over (
      order by
        i.count desc,
        case when value_type in ('float4', 'float8', 'json-number') then tidemark.double_of_bits(i.text) end,
        case when value_type in ('int2', 'int4', 'int8', 'numeric', 'date', 'timestamptz') then i.text::numeric end,
        i.text collate "C"
    ) as place
    from tidemark.top_items(state) as i
    where i.text is not null
  ) as t
  where t.place <= k;
end;

-- Series in order of time ------------------------------------------------------------------------------------------------------

-- A number of 7 bits a byte, and the place behind it.
create function tidemark.number_at(in_bytes bytea, in_place int, out number int8, out next int)
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  shift int := 0;
  byte int;
begin
  number := 0;
  next := in_place;
  loop
    byte := get_byte(in_bytes, next);
    next := next + 1;
    number := number | ((byte & 127)::int8 << shift);
    exit when byte < 128;
    shift := shift + 7;
  end loop;
end;
$function$;

-- Signed: even numbers stand for those from 0 on.
create function tidemark.signed_number(in_number int8) returns int8
language sql immutable strict parallel safe
begin atomic
  select ((in_number >> 1) & 9223372036854775807) # -(in_number & 1);
end;

create function tidemark.write_signed(in_number int8) returns bytea
language plpgsql immutable strict parallel safe
set search_path = ''
as $function$
declare
  bytes bytea := '';
  rest int8 := (in_number << 1) # (in_number >> 63);
begin
  -- as an unsigned number of 64 bits
  while rest < 0 or rest > 127 loop
    bytes := bytes || set_byte('\x00'::bytea, 0, (rest & 127)::int | 128);
    rest := (rest >> 7) & 144115188075855871;
  end loop;
  return bytes || set_byte('\x00'::bytea, 0, rest::int);
end;
$function$;

-- What a state of a counter or of a time-weighted average holds: a row for each series, in their order. The bytes do not say how many
-- columns tell the series apart.
create function tidemark.state_series(
  in_state bytea,
  in_columns int,
  out place int,
  out key bytea,
  out from_micros int8,
  out first float8,
  out to_micros int8,
  out last float8,
  out links float8
) returns setof record
language plpgsql immutable strict parallel safe rows 10
set search_path = ''
as $function$
declare
  bytes constant bytea := in_state || ''::bytea;
  amount int8;
  at int;
  key_from int;
  number int8;
begin
  if get_byte(bytes, 0) <> 1 then
    raise exception using
      errcode = '22P03',
      message = format('the encoding of a state has version %s, and this catalog reads version 1', get_byte(bytes, 0)),
      hint = 'Refresh the aggregate that it belongs to.';
  end if;
  select n.number, n.next into amount, at from tidemark.number_at(bytes, 1) as n;
  place := 0;
  while at < length(bytes) loop
    place := place + 1;
    key_from := at;
    for i in 1 .. in_columns loop
      if get_byte(bytes, at) = 0 then
        at := at + 1;
      else
        select n.number, n.next into number, at from tidemark.number_at(bytes, at + 1) as n;
        at := at + number::int;
      end if;
    end loop;
    key := substr(bytes, key_from + 1, at - key_from);
    select tidemark.signed_number(n.number), n.next into from_micros, at from tidemark.number_at(bytes, at) as n;
    first := tidemark.read_double(substr(bytes, at + 1, 8));
    select from_micros + tidemark.signed_number(n.number), n.next into to_micros, at from tidemark.number_at(bytes, at + 8) as n;
    last := tidemark.read_double(substr(bytes, at + 1, 8));
    links := tidemark.read_double(substr(bytes, at + 9, 8));
    at := at + 16;
    return next;
  end loop;
  if place <> amount or at <> length(bytes) then
    raise exception using
      errcode = '22023',
      message = format('this state does not have series of %s columns', in_columns),
      hint = 'Give the number of columns that tell series apart, as the aggregate was declared.';
  end if;
exception
  when array_subscript_error or numeric_value_out_of_range or invalid_binary_representation or invalid_text_representation then
    raise exception using
      errcode = '22023',
      message = format('this state does not have series of %s columns', in_columns),
      hint = 'Give the number of columns that tell series apart, as the aggregate was declared.';
end;
$function$;

-- One series as a state holds it.
create function tidemark.write_series(
  in_key text[],
  in_from timestamptz,
  in_first float8,
  in_to timestamptz,
  in_last float8,
  in_links float8
) returns bytea
language sql immutable parallel safe
begin atomic
  select coalesce((
      select string_agg(
        case when k.part is null then '\x00'::bytea
          else '\x01'::bytea || tidemark.write_count(octet_length(convert_to(k.part, 'UTF8'))) || convert_to(k.part, 'UTF8')
        end,
        '' order by k.place
      )
      from unnest(in_key) with ordinality as k (part, place)
    ), '')
    || tidemark.write_signed((extract(epoch from in_from) * 1000000)::int8)
    -- + 0: -0 is 0
    || float8send(in_first + 0::float8)
    || tidemark.write_signed(((extract(epoch from in_to) - extract(epoch from in_from)) * 1000000)::int8)
    || float8send(in_last + 0::float8)
    || float8send(in_links + 0::float8);
end;

create function tidemark.increase(state bytea, series_columns int) returns float8
language sql immutable strict parallel safe
begin atomic
  select sum(s.last - s.first + s.links order by s.place) + 0::float8
  from tidemark.state_series(state, series_columns) as s;
end;

create function tidemark.delta(state bytea, series_columns int) returns float8
language sql immutable strict parallel safe
begin atomic
  select sum(s.last - s.first order by s.place) + 0::float8
  from tidemark.state_series(state, series_columns) as s;
end;

create function tidemark.rate(state bytea, series_columns int) returns float8
language sql immutable strict parallel safe
begin atomic
  select sum((s.last - s.first + s.links) / ((s.to_micros - s.from_micros)::float8 / 1000000::float8) order by s.place) + 0::float8
  from tidemark.state_series(state, series_columns) as s
  where s.to_micros > s.from_micros;
end;

create function tidemark.time_weighted_avg(state bytea, series_columns int) returns float8
language sql immutable strict parallel safe
begin atomic
  select sum(s.links order by s.place)
    / nullif(sum((s.to_micros - s.from_micros)::float8 / 1000000::float8 order by s.place), 0) + 0::float8
  from tidemark.state_series(state, series_columns) as s;
end;

comment on function tidemark.top_k(bytea, int, text) is
  'The k values that a topK state counted most often, as [{"value", "count", "error"}]; value_type is that of the column.';
comment on function tidemark.increase(bytea, int) is 'What the counters of an increase, rate or delta state went up by, resets included.';
comment on function tidemark.delta(bytea, int) is 'The last reading less the first, all series of an increase, rate or delta state together.';
comment on function tidemark.rate(bytea, int) is 'Increase for each second between the first and the last reading of a series.';
comment on function tidemark.time_weighted_avg(bytea, int) is 'The average of a timeWeightedAvg state, weighted by how long a value held.';
