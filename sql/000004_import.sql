-- Imports of files: how far each has come, and the rows that did not fit.

create table tidemark.import (
  id int8 generated always as identity primary key,
  -- schema.table
  dataset text not null,
  -- as it was named; the content's fingerprint is what makes a file the same file
  file text not null,
  fingerprint text not null,
  size_bytes int8 not null,
  -- what was guessed and asked for, as shown to the user; an import goes on only with an equal one
  plan jsonb not null,
  plan_hash text not null,
  -- records in a batch: fixed for the life of an import, because batches are numbered by records
  batch_rows int not null check (batch_rows > 0),
  -- running: also of a process that was killed; stopped: ended by an error; done: all records are in or refused
  state text not null default 'running' check (state in ('running', 'stopped', 'done')),
  -- the process that may commit batches; each start takes a new one, so an older process is refused
  owner uuid not null,
  -- totals; while it runs those of tidemark.import_batch count
  rows int8 not null default 0,
  dead int8 not null default 0,
  started_at timestamptz not null default now(),
  finished_at timestamptz
);

create index import_by_content on tidemark.import (dataset, fingerprint);

-- One row for each committed batch, inserted in the transaction that wrote its rows. Batches commit out of order when
-- several connections write; rows of one shared counter would make them wait for each other. Emptied at the end.
create table tidemark.import_batch (
  import_id int8 not null references tidemark.import on delete cascade,
  -- batch n holds records n * batch_rows up to (n + 1) * batch_rows
  batch int8 not null,
  rows int4 not null,
  dead int4 not null,
  primary key (import_id, batch)
);

create table tidemark.dead_letter (
  id int8 generated always as identity primary key,
  dataset text not null,
  import_id int8 references tidemark.import on delete cascade,
  file text not null,
  line int8 not null,
  column_name text,
  -- at most 200 characters
  value text,
  -- a code of docs/guide/import.md
  reason text not null,
  message text not null,
  -- at most 2,000 characters
  raw text,
  created_at timestamptz not null default now()
);

create index dead_letter_by_import on tidemark.dead_letter (import_id, reason);
create index dead_letter_by_dataset on tidemark.dead_letter (dataset, id);

comment on table tidemark.import is 'Imports of files: what, how, and how far.';
comment on table tidemark.import_batch is 'Batches of a running import that are committed.';
comment on table tidemark.dead_letter is 'Rows that did not fit, with the reason.';
