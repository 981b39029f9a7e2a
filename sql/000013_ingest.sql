-- Rows of many callers: batches that were sent twice, events that were sent twice, and rows that were refused.

-- A batch that came with an idempotency key, inserted in the transaction that wrote its rows: a second one with the same
-- key waits for the first, and is answered with its report.
create table tidemark.ingest_batch (
  -- schema.table
  dataset text not null,
  -- 1 to 200 characters of the caller's choice
  key text not null,
  -- of the rows: the same key with other rows is refused
  fingerprint bytea not null,
  report json not null,
  created_at timestamptz not null default now(),
  primary key (dataset, key)
);

create index ingest_batch_by_age on tidemark.ingest_batch (created_at);

-- Which generation of event ids a dataset is in. Writers hold the row FOR KEY SHARE until they commit; moving on locks
-- the table, so no id comes into a generation that is over.
create table tidemark.seen_generation (
  id int4 generated always as identity primary key,
  -- schema.table
  dataset text not null unique,
  generation int4 not null default 1,
  started_at timestamptz not null default now()
);

-- Event ids that were written: an id is new when neither the current generation has it nor the one before.
create table tidemark.seen_event (
  -- of tidemark.seen_generation, without a foreign key: its check would cost more than the row
  dataset_id int4 not null,
  generation int4 not null,
  -- no order of a language: two servers compare it alike
  id text collate "C" not null,
  primary key (dataset_id, generation, id)
);

-- The rule and the whole row, so that what was refused can be corrected and sent again.
alter table tidemark.dead_letter
  add column on_conflict text check (on_conflict in ('error', 'ignore', 'update')),
  add column is_whole bool;

comment on column tidemark.dead_letter.file is 'The file of an import; without one the way in: http, websocket, …';
comment on column tidemark.dead_letter.line is 'The line in the file, from 1; without an import the place in its batch, from 0.';
comment on column tidemark.dead_letter.is_whole is 'Whether raw is the whole row as it came; null: an import''s.';
comment on table tidemark.ingest_batch is 'Batches with an idempotency key, and how they were answered.';
comment on table tidemark.seen_generation is 'Datasets that know event ids, and the generation of ids that each is in.';
comment on table tidemark.seen_event is 'Event ids that were written within the dataset''s window.';
