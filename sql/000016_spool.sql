-- How far the spools of processes have been written: moved on in the transaction of the rows, so that a batch of a spool is
-- written once, whatever dies when.
create table tidemark.spool_position (
  -- of the folder; never used again
  spool uuid not null,
  -- schema.table
  dataset text not null,
  -- of the last record that is stored, from 1
  sequence int8 not null,
  -- lately
  bytes_per_second float8,
  updated_at timestamptz not null default clock_timestamp(),
  primary key (spool, dataset)
);

comment on table tidemark.spool_position is 'Up to which record the spools on disk (ack: queued) are in the database.';
