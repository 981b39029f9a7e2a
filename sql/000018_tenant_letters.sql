-- What is kept of callers belongs to their tenant: idempotency keys, and rows that were refused.

-- Two tenants may choose the same key; neither is answered with the other's report. '': callers for every tenant.
alter table tidemark.ingest_batch
  add column tenant text not null default '',
  drop constraint ingest_batch_pkey,
  add primary key (dataset, tenant, key);

-- Null: of a caller for every tenant, who alone sees them.
alter table tidemark.dead_letter
  add column tenant text check (tenant <> '');

create index dead_letter_of_tenant on tidemark.dead_letter (tenant, id) where tenant is not null;

comment on column tidemark.ingest_batch.tenant is 'On whose behalf the batch came; empty: for every tenant.';
comment on column tidemark.dead_letter.tenant is 'On whose behalf the row came; null: for every tenant.';
