-- Imports that write straight into the lake: their files, until one transaction makes all rows visible.

alter table tidemark.import
  -- its batches are files of the lake, which count when it is done
  add column is_cold boolean not null default false;

-- A file with rows of one batch of such an import and of one chunk, inserted in the transaction that notes the batch. So
-- an import that goes on finds what is written, and the sweep knows whose a file is. Emptied when the import is done, and
-- when it is given up: by the next one of the same file (again), or by the sweep.
create table tidemark.import_file (
  -- below the root of the lake; never used twice
  path text primary key,
  import_id int8 not null references tidemark.import on delete cascade,
  batch int8 not null,
  -- of its chunk, microseconds since 1970: the end of the last one is past what timestamptz can say
  range_from int8 not null,
  range_to int8 not null,
  -- everything that tidemark.lake_file says of a file
  file jsonb not null,
  staged_at timestamptz not null default clock_timestamp(),
  check (range_from < range_to)
);

create index import_file_by_import on tidemark.import_file (import_id);
create index import_file_by_summary on tidemark.import_file ((file -> 'summary' ->> 'path'));

comment on table tidemark.import_file is 'Files of imports into the lake that are not done yet.';

-- Gives up an import that is not done: its files go to the trash, what it has noted is forgotten, and a process that is still
-- at it is refused. The caller holds the import's row.
create function tidemark.give_up_cold_import(in_import_id int8) returns void
language sql
begin atomic
  update tidemark.import
  set state = 'stopped', owner = gen_random_uuid(), rows = 0, dead = 0
  where id = in_import_id and is_cold and state <> 'done';
  insert into tidemark.lake_trash (path, dataset, bytes, reason)
  select p.path, i.dataset, p.bytes, 'cancelled'
  from tidemark.import as i
  join tidemark.import_file as f on f.import_id = i.id
  cross join lateral (
    values
      (f.path, (f.file ->> 'bytes')::int8),
      (f.file -> 'summary' ->> 'path', (f.file -> 'summary' ->> 'bytes')::int8)
  ) as p (path, bytes)
  where i.id = in_import_id and i.is_cold and i.state <> 'done' and p.path is not null
  on conflict (path) do nothing;
  delete from tidemark.import_file as f
  using tidemark.import as i
  where f.import_id = in_import_id and i.id = f.import_id and i.is_cold and i.state <> 'done';
  delete from tidemark.import_batch as b
  using tidemark.import as i
  where b.import_id = in_import_id and i.id = b.import_id and i.is_cold and i.state <> 'done';
  delete from tidemark.dead_letter as d
  using tidemark.import as i
  where d.import_id = in_import_id and i.id = d.import_id and i.is_cold and i.state <> 'done';
end;

revoke all on function tidemark.give_up_cold_import(int8) from public;
