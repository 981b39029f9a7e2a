-- Uniques as the statements give them that group by cell: registers in four bytes each (number << 6 | rank), hashes in eight.

create function tidemark.uniques_state(in_total int8, in_registers bytea, in_hashes bytea) returns bytea
language sql immutable parallel safe
begin atomic
  select case
    when in_total > 512 then (
      select tidemark.write_registers(array_agg(w.word >> 6), array_agg(w.word & 63))
      from (
        select ('x' || encode(substr(in_registers, g.place, 4), 'hex'))::bit(32)::int as word
        from generate_series(1, length(in_registers), 4) as g (place)
      ) as w
    )
    else tidemark.write_hashes((
      select array_agg(('x' || encode(substr(in_hashes, g.place, 8), 'hex'))::bit(64)::int8)
      from generate_series(1, length(in_hashes), 8) as g (place)
    ))
  end;
end;
