-- The lake: files of chunks that are cold, rows of them that are no longer true, files that wait for their removal.
-- How a chunk lives: docs/design/chunk-life.md.

alter table tidemark.chunk
  -- who moves its rows (freeze, compact, thaw), until when at the latest; a mover that dies lets it run out
  add column lease_owner uuid,
  add column lease_until timestamptz,
  -- since when rows of it are in the lake
  add column frozen_at timestamptz,
  -- the last attempt to move it that failed, and how many did in a row
  add column move_error text,
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

-- Files that the catalog no longer names, until nobody can have a snapshot that does.
create table tidemark.lake_trash (
  path text primary key,
  dataset text not null,
  bytes int8 not null,
  reason text not null check (reason in ('compacted', 'thawed', 'expired', 'erased', 'summary', 'cancelled')),
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

revoke all on function tidemark.begin_cold_write(int) from public;

comment on table tidemark.lake_file is 'Parquet files of cold chunks.';
comment on table tidemark.lake_deletion is 'Places of rows in files that no longer count.';
comment on table tidemark.lake_trash is 'Files that are out of the catalog and wait to be removed.';
comment on table tidemark.erasure is 'Records of erasures.';
