-- Boards: panels of queries that people keep and look at; and links to them (docs/guide/boards.md).

create table tidemark.board (
  -- 12 letters and digits
  id text primary key check (id ~ '^[0-9A-Za-z]{12}$'),
  -- whose; null: of keys for every tenant
  tenant text,
  name text not null,
  description text,
  -- range, refresh, panels; not jsonb, which has an order of keys of its own: columns come in this one
  document json not null,
  -- for links and lists, without reading documents
  datasets text[] not null,
  panel_count int4 not null,
  version int4 not null default 1,
  created_at timestamptz not null,
  created_by text not null,
  updated_at timestamptz not null,
  updated_by text not null
);

create index board_of_tenant on tidemark.board (tenant, name);

-- A link. It shows one board to whoever has it, as somebody who may ask: within his tenant and the datasets that were on it.
create table tidemark.board_share (
  id text primary key check (id ~ '^[0-9A-Za-z]{12}$'),
  -- SHA-256 of the 256 random bits of the link
  hash bytea not null unique check (length(hash) = 32),
  -- of a board that is stored, or of a file
  board_id text not null,
  -- null: the board is a file. The link goes with the board
  stored_id text references tidemark.board on delete cascade,
  tenant_kind text not null check (tenant_kind in ('all', 'one')),
  tenant text,
  datasets text[] not null,
  -- how the sharer had shown who he is: key, token, session; anonymous where nobody is asked
  by_kind text not null,
  by_id text not null,
  -- of the sharer: the link ends with it; null: he had a token, or nobody was asked
  key_id text references tidemark.api_key on delete cascade,
  created_at timestamptz not null,
  expires_at timestamptz not null,
  revoked_at timestamptz,
  -- to the hour; null: never
  last_opened_at timestamptz,
  check ((tenant_kind = 'one') = (tenant is not null)),
  check (stored_id is null or stored_id = board_id)
);

create index board_share_of_board on tidemark.board_share (board_id, created_at);
create index board_share_of_key on tidemark.board_share (key_id) where key_id is not null;
create index board_share_by_expiry on tidemark.board_share (expires_at);

comment on table tidemark.board is 'Boards that are stored; others are files of the repository.';
comment on table tidemark.board_share is 'Read-only links to boards; their tokens are not in here.';
