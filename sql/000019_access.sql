-- Who may use the server: API keys, signed-in browsers, tickets of WebSockets; and what was done by whom.

-- A key. Its secrets lie beside it, because two are good while one is being replaced.
create table tidemark.api_key (
  -- 12 letters and digits; the key's text begins with it: tm_<id>_<secret>
  id text primary key check (id ~ '^[0-9A-Za-z]{12}$'),
  name text not null check (length(name) between 1 and 100),
  -- whose rows it means: every tenant's, or one's
  tenant_kind text not null check (tenant_kind in ('all', 'one')),
  tenant text,
  scopes text[] not null check (scopes <@ array['ingest', 'query', 'admin'] and cardinality(scopes) > 0),
  -- null: every dataset
  datasets text[],
  created_at timestamptz not null,
  created_by text not null,
  -- null: never
  expires_at timestamptz,
  -- within a minute; null: never
  last_used_at timestamptz,
  revoked_at timestamptz,
  check ((tenant_kind = 'one') = (tenant is not null)),
  check (tenant <> '')
);

-- SHA-256 of a secret. The secret itself is told once and kept nowhere.
create table tidemark.api_key_secret (
  key_id text not null references tidemark.api_key on delete cascade,
  hash bytea not null check (length(hash) = 32),
  created_at timestamptz not null,
  -- of one that was replaced: the end of the overlap; null: it is good as long as the key
  expires_at timestamptz,
  primary key (key_id, hash)
);

-- What stands for somebody who has shown a key or a token already.
create table tidemark.pass (
  -- SHA-256 of the 256 random bits that the holder has
  hash bytea primary key check (length(hash) = 32),
  -- session: a browser that is signed in; ticket: opens one WebSocket
  kind text not null check (kind in ('session', 'ticket')),
  -- of the key that was shown: the pass ends with it; null: of a token
  key_id text references tidemark.api_key on delete cascade,
  -- who holds it
  principal jsonb not null,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  -- of what was shown for it; null: never
  credential_expires_at timestamptz
);

create index pass_by_expiry on tidemark.pass (expires_at);

create table tidemark.audit_log (
  id int8 generated always as identity primary key,
  at timestamptz not null,
  -- key, token, session, anonymous; cli: somebody at a shell
  actor_kind text not null,
  actor text not null,
  -- of the actor; null: of no single tenant
  tenant text,
  -- key.create, or the method and path of a route
  act text not null,
  subject text,
  outcome text not null check (outcome in ('done', 'refused', 'failed')),
  -- never a secret
  detail jsonb,
  request_id text,
  address text
);

create index audit_log_by_time on tidemark.audit_log (at);

-- Entries are added and, when their time is over, deleted: by whoever says so in his transaction, which only trimming does.
create function tidemark.keep_audit_log() returns trigger
language plpgsql as $$
begin
  if tg_op = 'DELETE' and pg_catalog.current_setting('tidemark.trim_audit_log', true) = 'on' then
    return null;
  end if;
  raise exception 'tidemark.audit_log is append-only'
    using errcode = 'restrict_violation', hint = 'Entries leave it when server.audit.keep is over.';
end
$$;

create trigger keep_audit_log
before update or delete or truncate on tidemark.audit_log
for each statement execute function tidemark.keep_audit_log();

alter table tidemark.audit_log enable always trigger keep_audit_log;

comment on table tidemark.api_key is 'API keys of the server; their secrets are not in here.';
comment on table tidemark.api_key_secret is 'SHA-256 of the secrets of API keys.';
comment on table tidemark.pass is 'Signed-in browsers and tickets of WebSockets.';
comment on table tidemark.audit_log is 'Administrative acts: who did what, and what came of it. Append-only.';
