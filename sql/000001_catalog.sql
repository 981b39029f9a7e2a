-- The catalog: which tables are hypertables, and which chunk is where.

create schema if not exists tidemark;

-- Chunks of every hypertable live here, out of the way of \dt.
create schema if not exists tidemark_chunks;

create table tidemark.hypertable (
  id int generated always as identity primary key,
  schema_name text not null,
  table_name text not null,
  time_column text not null,
  tenant_column text,
  -- as declared: '1 day', '1 month'
  chunk_interval text not null,
  max_chunks int not null check (max_chunks > 0),
  -- width of a cell of the change log, in microseconds
  change_cell_us int8 not null check (change_cell_us > 0),
  append_only boolean not null default false,
  -- the whole declaration, for drift and for processes that start without the configuration
  definition jsonb not null,
  -- grows with every change to which chunk is where; for caches only
  epoch int8 not null default 0,
  created_at timestamptz not null default now(),
  unique (schema_name, table_name)
);

create table tidemark.chunk (
  id int8 generated always as identity primary key,
  hypertable_id int not null references tidemark.hypertable on delete cascade,
  range_from timestamptz not null,
  range_to timestamptz not null,
  -- hot: rows in the partition; freezing, cold, dropped: see docs/design/chunk-life.md
  state text not null default 'hot' check (state in ('hot', 'freezing', 'cold', 'dropped')),
  -- the attached partition, in schema tidemark_chunks; null when there is none
  relation_name text,
  created_at timestamptz not null default now(),
  check (range_from < range_to),
  unique (hypertable_id, range_from)
);

comment on table tidemark.hypertable is 'Tables partitioned by time, as declared.';
comment on table tidemark.chunk is 'One time range [range_from, range_to) of a hypertable.';
