-- Which migrations of Tidemark's own catalog this database has. The runner is src/migrate/catalog.ts.

-- "if not exists": an administrator may have made the schema beforehand, for a role that may not create schemas.
create schema if not exists tidemark;

create table tidemark.migration (
  id int primary key,
  name text not null,
  -- sha256 of the file; a file that changed after it was applied is refused
  checksum text not null,
  -- why a Tidemark that does not know this migration must not run on this database; null: it may
  breaking text,
  -- version of the Tidemark that applied it
  applied_by text not null,
  applied_at timestamptz not null default now()
);

comment on schema tidemark is 'The catalog of Tidemark. Change it only through Tidemark.';
comment on table tidemark.migration is 'Migrations of the catalog that were applied, one row for each file of sql/.';
