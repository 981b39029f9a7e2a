-- Reports: queries that are saved, asked on a schedule, and what they gave (docs/guide/reports.md).

create table tidemark.report (
  id int8 generated always as identity primary key,
  -- whose rows it is about; null: those of every tenant
  tenant text,
  name text not null check (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
  title text not null,
  -- schema.table, of a hypertable, a plain table or a continuous aggregate
  dataset text not null,
  -- not jsonb, which has an order of keys of its own: columns come in this one
  query json not null,
  -- {"every": "1 day", "zone": "Europe/Berlin", "delay": "2 hours"}; null: it is asked when somebody asks for it
  schedule json,
  -- answers that are kept
  keep int4 not null check (keep between 1 and 1000),
  created_by text not null,
  created_at timestamptz not null default now(),
  changed_at timestamptz not null default now(),
  -- end of the period that it is asked about next; null: no schedule
  next_period timestamptz,
  -- when that is
  next_at timestamptz,
  -- who asks has until then; another one takes it over afterwards
  leased_until timestamptz,
  failures int4 not null default 0,
  last_error text,
  unique nulls not distinct (tenant, name),
  check ((schedule is null) = (next_at is null) and (next_at is null) = (next_period is null))
);

create index report_due on tidemark.report (next_at) where next_at is not null;

create table tidemark.report_run (
  id int8 generated always as identity primary key,
  report_id int8 not null references tidemark.report on delete cascade,
  -- what "now" was for its range
  as_of timestamptz not null,
  asked_at timestamptz not null default now(),
  elapsed_ms int4 not null,
  row_count int4 not null,
  -- columns, rows, plan: gzipped JSON
  answer bytea not null
);

alter table tidemark.report_run alter column answer set storage external;

create index report_run_newest on tidemark.report_run (report_id, id desc);

comment on table tidemark.report is 'Saved queries, and when they are asked.';
comment on table tidemark.report_run is 'What reports have given, newest last.';
