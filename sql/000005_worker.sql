-- What the background jobs know of each other. Jobs are idempotent: a lease only keeps two workers from doing
-- the same thing at once, and one that dies simply lets it run out.

create table tidemark.job (
  name text primary key,
  next_run_at timestamptz not null default '-infinity',
  -- who runs it now, until when at the latest
  lease_owner text,
  lease_until timestamptz,
  last_started_at timestamptz,
  last_finished_at timestamptz,
  last_ms float8,
  last_result jsonb,
  last_error text,
  runs int8 not null default 0,
  failures int8 not null default 0,
  -- failures since the last success; the next run is delayed by it
  failures_in_a_row int not null default 0
);

comment on table tidemark.job is 'Background jobs: when each runs next, who runs it, how it went.';
