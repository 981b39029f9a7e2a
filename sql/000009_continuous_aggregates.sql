-- Continuous aggregates: their versions, and which ranges of their cells are not valid (docs/design/continuous-aggregates.md).

-- Tables of cells live here, out of the way of \dt.
create schema if not exists tidemark_aggregates;

create table tidemark.aggregate (
  id int generated always as identity primary key,
  schema_name text not null,
  table_name text not null,
  -- the hypertable under the whole chain
  hypertable_id int not null references tidemark.hypertable,
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
