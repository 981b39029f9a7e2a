-- What those who run it look at over time: how storage grows, and which workers there are.

-- Sizes of a dataset at a moment, of statistics and of the catalog; written by a job every hour. Of days that are over for a month one
-- is kept.
create table tidemark.storage_sample (
  -- schema.table
  dataset text not null,
  at timestamptz not null default clock_timestamp(),
  -- PostgreSQL's estimate
  hot_rows int8 not null,
  -- with indexes
  hot_bytes int8 not null,
  cold_rows int8 not null,
  -- with summaries
  cold_bytes int8 not null,
  primary key (dataset, at)
);

-- Processes that run background jobs. One says every few seconds that it lives; one that does no more for an hour is forgotten.
create table tidemark.worker (
  -- as in tidemark.job.lease_owner
  id text primary key,
  host text not null,
  process_id int4 not null,
  started_at timestamptz not null default clock_timestamp(),
  seen_at timestamptz not null default clock_timestamp()
);

comment on table tidemark.storage_sample is 'How large each dataset was, by the hour, later by the day.';
comment on table tidemark.worker is 'Processes that run background jobs, and when each was heard of.';
