import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { migrate, planMigration } from '../../src/migrate/index.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { hypertable, t, table, view } from '../../src/schema/index.ts'
import { isTidemarkError, type TidemarkError } from '../../src/util/errors.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const models = table('metadata.models', {
  columns: {
    id: t.uuid().default('00000000-0000-0000-0000-000000000001'),
    name: t.text().default("it's \\ a name"),
    price: t.numeric(12, 4).default('0.5'),
    tags: t.textArray().default(['a', 'b"c']),
    settings: t.jsonb().default({ a: [1, null], b: "it's" }),
    since: t.timestamptz().defaultSql('now()'),
    weight: t.float8().default(-0.5),
    seen: t.int8().default(9007199254740993n),
    released: t.date().nullable().comment('when it came out'),
    ok: t.bool().default(true),
  },
  primaryKey: ['id'],
  indexes: [
    { columns: ['name'], unique: true },
    {
      name: 'models_cheap',
      columns: ['-price', 'name'],
      where: "price < 1 and name <> 'x'",
    },
    { name: 'models_settings', columns: ['settings'], method: 'gin' },
  ],
  comment: 'known models',
})

const requests = hypertable('metrics.requests', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    model: t.text(),
    latencyMs: t.float8(),
    properties: t.jsonb().nullable(),
  },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
  primaryKey: ['tenant', 'model', 'time'],
  indexes: [{ columns: ['model', '-time'] }],
})

const slow = view(
  'metrics.slow_requests',
  `select time, model, "latencyMs" from metrics.requests where "latencyMs" > 100`,
)

let test: TestDatabase
beforeAll(async () => {
  test = await createTestDatabase()
})
afterAll(() => test.drop())

async function rejection(promise: Promise<unknown>): Promise<TidemarkError> {
  const error = await promise.then(
    () => null,
    (e: unknown) => e,
  )
  if (!isTidemarkError(error)) throw new Error(`not refused as expected: ${String(error)}`)
  return error
}

async function columnOf(text: string): Promise<unknown[]> {
  return (await test.db.query(raw(text))).rows.map((row) => row[0])
}

describe('migrating declared tables', () => {
  it('creates schemas, tables, hypertables and views, and does nothing the second time', async () => {
    const dry = await migrate(test.db, [models, requests, slow], { dryRun: true })
    expect(dry.steps.map((s) => s.kind)).toEqual([
      'create-schema',
      'create-schema',
      'create-table',
      'create-hypertable',
      'view',
    ])
    expect(await columnOf(`select count(*) from pg_namespace where nspname = 'metrics'`)).toEqual([0n])
    const report = await migrate(test.db, [models, requests, slow])
    expect(report.steps.map((s) => s.sentence)).toEqual(dry.steps.map((s) => s.sentence))
    const again = await migrate(test.db, [models, requests, slow])
    expect(again).toEqual({
      dryRun: false,
      catalog: [],
      steps: [],
      conversions: [],
      drift: [],
      undeclared: [],
      undeclaredAggregates: [],
    })
  })

  it('records each change with its SQL', async () => {
    const rows = await columnOf(
      `select kind || ' ' || relation from tidemark.schema_change where definition_after is not null order by id`,
    )
    expect(rows).toEqual(['create-table metadata.models', 'create-hypertable metrics.requests'])
  })

  it('fills declared defaults exactly', async () => {
    await test.db.execute(`insert into metadata.models (released) values (null)`)
    const { rows } = await test.db.query(
      sql`select name, price, tags, settings, weight, seen, ok from metadata.models`,
    )
    expect(rows).toEqual([
      ["it's \\ a name", '0.5000', ['a', 'b"c'], { a: [1, null], b: "it's" }, -0.5, 9007199254740993n, true],
    ])
  })

  it('makes a hypertable that takes rows and refuses a row without a place in time', async () => {
    await test.db.execute(
      `insert into metrics.requests values ('2026-01-01 00:00Z', 'a', 'm', 101), ('2026-01-01 00:01Z', 'a', 'm', 1)`,
    )
    expect(await columnOf('select count(*) from metrics.slow_requests')).toEqual([1n])
    expect(await columnOf('select count(*) from tidemark.change_log')).not.toEqual([0n])
    const error = await rejection(
      test.db.execute(`insert into metrics.requests values ('infinity', 'a', 'm', 101)`),
    )
    expect(error.code).toBe('TM_CONSTRAINT')
  })

  it('lets twenty processes migrate at once', async () => {
    const more = hypertable('metrics.twenty', {
      columns: { time: t.timestamptz(), v: t.int4() },
      time: 'time',
      chunk: '1 hour',
      indexes: [{ columns: ['v'] }],
    })
    const all = Array.from({ length: 20 }, () =>
      createDatabase({ connectionString: test.connectionString, max: 1 }),
    )
    try {
      const reports = await Promise.all(all.map((db) => migrate(db, [models, requests, slow, more])))
      expect(reports.flatMap((r) => r.steps.map((s) => s.kind))).toEqual(['create-hypertable'])
    } finally {
      await Promise.all(all.map((db) => db.close()))
    }
  })

  it('says what is no longer declared, and leaves it', async () => {
    const report = await migrate(test.db, [models, requests, slow])
    expect(report.undeclared).toEqual(['metrics.twenty'])
    expect(await columnOf('select count(*) from metrics.twenty')).toEqual([0n])
  })

  it('refuses an expression that PostgreSQL does not know, with its path', async () => {
    const wrong = table('metadata.wrong', { columns: { a: t.int4().defaultSql('no_such_function()') } })
    const error = await rejection(migrate(test.db, [wrong]))
    expect(error.code).toBe('TM_DECLARATION')
    expect(error.message).toMatch(/^metadata\.wrong: .*no_such_function/)
    const index = table('metadata.wrong', {
      columns: { a: t.int4() },
      indexes: [{ name: 'wrong_a', columns: ['a'], where: 'b > 1' }],
    })
    expect((await rejection(migrate(test.db, [index]))).message).toMatch(/indexes\.wrong_a: .*"b"/)
  })
})

describe('planning', () => {
  it('needs no catalog', async () => {
    const empty = await createTestDatabase({ empty: true })
    const report = await migrate(empty.db, [models, requests, slow], { dryRun: true })
    expect(report.steps.map((s) => s.kind)).toContain('create-hypertable')
    const { rows } = await empty.db.query(
      sql`select count(*) from pg_namespace where nspname like 'tidemark%'`,
    )
    expect(rows).toEqual([[0n]])
    await empty.drop()
  })
})

describe('altering declared tables', () => {
  const before = hypertable('alter_me.events', {
    columns: {
      time: t.timestamptz(),
      kind: t.text(),
      amount: t.numeric(10, 2),
      note: t.text().default('none'),
    },
    time: 'time',
    chunk: '1 day',
  })
  const columns = {
    time: t.timestamptz(),
    kind: t.text().nullable(),
    amount: t.numeric(14, 2).comment('in cents'),
    note: t.text().default('some'),
    added: t.int4().nullable(),
    level: t.int2().default(3),
    id: t.uuid().nullable().defaultSql('gen_random_uuid()'),
  }
  const after = hypertable('alter_me.events', {
    columns,
    time: 'time',
    chunk: '6 hours',
    maxChunks: 50,
    retain: '30 days',
    freeze: { after: '7 days' },
    indexes: [{ columns: ['kind', 'time'] }],
    comment: 'altered',
  })

  it('adds, widens, relaxes and comments without touching rows', async () => {
    await migrate(test.db, [before])
    await test.db.execute(`
      create table tidemark_chunks.ev1 partition of alter_me.events for values from ('2026-01-01') to ('2026-01-02');
      insert into alter_me.events values ('2026-01-01 01:00Z', 'k', 1), ('2025-01-01 01:00Z', 'k', 2)`)
    const files = `select array_agg(pg_relation_filenode(inhrelid) order by inhrelid) from pg_inherits
      where inhparent = 'alter_me.events'::regclass`
    const filesBefore = await columnOf(files)
    const report = await migrate(test.db, [after])
    expect(report.drift).toEqual([])
    expect(report.steps.map((s) => s.kind)).toContain('create-index')
    expect(await columnOf(files)).toEqual(filesBefore)
    expect((await migrate(test.db, [after])).steps).toEqual([])
    const { rows } = await test.db.query(sql`select * from alter_me.events order by time`)
    expect(rows.map((row) => row.slice(1))).toEqual([
      ['k', '2.00', 'none', null, 3, null],
      ['k', '1.00', 'none', null, 3, null],
    ])
    expect(
      await columnOf(`select bool_and(indisvalid) from pg_index where indrelid in (
        select 'alter_me.events'::regclass union all
        select inhrelid from pg_inherits where inhparent = 'alter_me.events'::regclass)`),
    ).toEqual([true])
    expect(
      await columnOf(`select chunk_interval || ' ' || max_chunks from tidemark.hypertable
        where schema_name = 'alter_me'`),
    ).toEqual(['6 hours 50'])
  })

  it('refuses what would lose or rewrite rows, before it changes anything, with the SQL', async () => {
    const destructive = hypertable('alter_me.events', {
      columns: {
        time: t.timestamptz(),
        kind: t.text(),
        amount: t.numeric(14, 3).comment('in cents'),
        note: t.text().default('some'),
        level: t.int4().default(3),
        id: t.uuid().nullable().defaultSql('gen_random_uuid()'),
        needed: t.text(),
        harmless: t.text().nullable(),
      },
      tenant: 'note',
      time: 'time',
      chunk: '6 hours',
      primaryKey: ['note', 'kind', 'time'],
    })
    const error = await rejection(migrate(test.db, [destructive]))
    expect(error.code).toBe('TM_MIGRATION_DESTRUCTIVE')
    for (const text of [
      'alter table "alter_me"."events" drop column "added";',
      'alter column "amount" type numeric(14,3)',
      'alter column "level" type integer using',
      'check ("kind" is not null) not valid;',
      'add column "needed" text;',
      'add constraint "events_pkey" primary key ("note", "kind", "time");',
      'tenant column from none to "note"',
    ])
      expect(error.message).toContain(text)
    expect(
      await columnOf(`select count(*) from information_schema.columns where column_name = 'harmless'`),
    ).toEqual([0n])
  })

  it('reports columns and indexes that nobody declared, and never touches them', async () => {
    await test.db.execute(`
      alter table alter_me.events add column extra int, add column required int not null default 1;
      alter table alter_me.events alter column required drop default;
      create index events_extra on alter_me.events (extra)`)
    const report = await migrate(test.db, [after])
    expect(report.steps).toEqual([])
    expect(report.drift.map((d) => d.sentence)).toEqual([
      'the column "extra" (integer) is not declared',
      'the column "required" (integer) is not declared, and has to be filled by every insert: it is NOT NULL without a default',
      'the index "events_extra" is not declared',
    ])
    await test.db.execute('alter table alter_me.events drop column extra, drop column required')
  })

  it('finishes an index that a killed run left half built', async () => {
    const plain = table('alter_me.plain', {
      columns: { a: t.int4(), b: t.int4() },
      indexes: [{ name: 'plain_a', columns: ['a'], unique: true }],
    })
    const withoutIndex = table('alter_me.plain', { columns: { a: t.int4(), b: t.int4() } })
    await migrate(test.db, [withoutIndex])
    await test.db.execute('insert into alter_me.plain values (1, 1), (1, 2)')
    expect((await rejection(migrate(test.db, [plain]))).code).toBe('TM_DUPLICATE_KEY')
    expect(
      await columnOf(`select indisvalid from pg_index where indexrelid = 'alter_me.plain_a'::regclass`),
    ).toEqual([false])
    await test.db.execute('delete from alter_me.plain where b = 2')
    const report = await migrate(test.db, [plain])
    expect(report.steps.map((s) => s.sentence)).toEqual([
      'finishes the index "plain_a" on alter_me.plain, with writers going on',
    ])
    const leftover = hypertable('alter_me.events', {
      columns,
      time: 'time',
      chunk: '6 hours',
      maxChunks: 50,
      retain: '30 days',
      freeze: { after: '7 days' },
      indexes: [{ columns: ['kind', 'time'] }, { name: 'events_level', columns: ['level'] }],
      comment: 'altered',
    })
    await test.db.execute('create index events_level on only alter_me.events (level)')
    await migrate(test.db, [leftover])
    expect(
      await columnOf(`select indisvalid from pg_index where indexrelid = 'alter_me.events_level'::regclass`),
    ).toEqual([true])
  })

  it('builds an index while a transaction that writes the hypertable is open', async () => {
    const writer = await test.connect()
    await writer.execute(
      `begin; insert into alter_me.events (time, kind, amount) values ('2026-01-01 02:00Z', 'w', 1)`,
    )
    const wanted = hypertable('alter_me.events', {
      columns,
      time: 'time',
      chunk: '6 hours',
      maxChunks: 50,
      retain: '30 days',
      freeze: { after: '7 days' },
      indexes: [
        { columns: ['kind', 'time'] },
        { name: 'events_level', columns: ['level'] },
        { name: 'events_note', columns: ['note'] },
      ],
      comment: 'altered',
    })
    const migration = migrate(test.db, [wanted])
    const other = await test.connect()
    let inserted = 0
    let done = false
    void migration.finally(() => {
      done = true
    })
    while (inserted < 20) {
      await other.execute(`insert into alter_me.events (time, kind, amount) values (now(), 'o', 1)`)
      inserted += 1
    }
    expect(done).toBe(false)
    await writer.execute('commit')
    await migration
    expect(
      await columnOf(`select indisvalid from pg_index where indexrelid = 'alter_me.events_note'::regclass`),
    ).toEqual([true])
  })

  it('replaces a view that gained a column and refuses one that lost one', async () => {
    const narrow = view('alter_me.v', 'select time, kind from alter_me.events')
    const wide = view('alter_me.v', 'select time, kind, level from alter_me.events', { comment: 'wide' })
    expect((await migrate(test.db, [narrow])).steps.map((s) => s.kind)).toEqual(['view'])
    expect((await migrate(test.db, [wide])).steps.map((s) => s.kind)).toEqual(['view'])
    expect((await migrate(test.db, [wide])).steps).toEqual([])
    expect((await rejection(migrate(test.db, [narrow]))).code).toBe('TM_MIGRATION_DESTRUCTIVE')
  })

  it('plans a conversion for a plain table that is declared as a hypertable', async () => {
    await test.db.execute(
      `create table alter_me.legacy as select now() as time, 1 as v from generate_series(1, 1000); analyze alter_me.legacy`,
    )
    const legacy = hypertable('alter_me.legacy', {
      columns: { time: t.timestamptz(), v: t.int4().nullable() },
      time: 'time',
      chunk: '1 day',
    })
    const plan = await planMigration(test.db, [legacy])
    expect(plan.steps).toMatchObject([{ kind: 'convert', class: 'conversion' }])
    expect(plan.steps[0]!.sentence).toContain('about 1,000 rows')
  })
})

describe('append-only tables', () => {
  const audit = hypertable('audit.entries', {
    columns: { time: t.timestamptz(), who: t.text() },
    time: 'time',
    chunk: '1 day',
    appendOnly: true,
    primaryKey: ['who', 'time'],
  })
  const plain = table('audit.plain', { columns: { id: t.int4() }, primaryKey: ['id'], appendOnly: true })
  const refused = [
    `update audit.entries set who = 'x'`,
    'delete from audit.entries',
    'truncate audit.entries',
    'delete from tidemark_chunks.audit_entries_default',
    'truncate tidemark_chunks.audit_entries_default',
    'delete from tidemark_chunks.audit_chunk',
    'truncate tidemark_chunks.audit_chunk',
    `insert into audit.entries values ('2026-01-01', 'a') on conflict (who, time) do update set who = 'b'`,
    'update audit.plain set id = 2',
    'truncate audit.plain',
  ]

  it('take rows, and refuse every change, for their owner and under replica role too', async () => {
    await migrate(test.db, [audit, plain])
    const { applyPartitionPolicies } = await import('../../src/migrate/index.ts')
    await test.db.transaction({}, async (c) => {
      await c.execute('create table tidemark_chunks.audit_chunk (like audit.entries including all)')
      await applyPartitionPolicies(c, audit, { schema: 'tidemark_chunks', table: 'audit_chunk' })
      await c.execute(`alter table audit.entries attach partition tidemark_chunks.audit_chunk
        for values from ('2026-01-01') to ('2026-01-02')`)
    })
    await test.db.execute(
      `insert into audit.entries values ('2026-01-01', 'a'), ('2020-01-01', 'a'); insert into audit.plain values (1)`,
    )
    for (const role of ['origin', 'replica']) {
      for (const statement of refused) {
        const error = await rejection(
          test.db.execute(`begin; set local session_replication_role = ${role}; ${statement}; commit`),
        ).finally(() => undefined)
        expect([statement, error.message]).toEqual([statement, expect.stringContaining('is append-only')])
      }
    }
    expect(await columnOf('select count(*) from audit.entries')).toEqual([2n])
  })

  it('let a declared row move pass, in its own transaction only', async () => {
    const connection = await test.connect()
    await connection.execute('begin; select tidemark.begin_row_move(); delete from audit.entries; rollback')
    await connection.execute('begin; select tidemark.begin_row_move(); update audit.plain set id = 3; commit')
    expect((await rejection(connection.execute('update audit.plain set id = 4'))).message).toContain(
      'audit.plain is append-only',
    )
    expect(await columnOf('select id from audit.plain')).toEqual([3])
  })

  it('cannot be passed by a role that may only write the table', async () => {
    await test.db.execute(`
      create role ${test.name}_app;
      grant usage on schema audit to ${test.name}_app;
      grant all on audit.plain to ${test.name}_app`)
    const connection = await test.connect()
    await connection.execute(`set role ${test.name}_app`)
    await connection.execute('insert into audit.plain values (10)')
    expect((await rejection(connection.execute('delete from audit.plain'))).message).toContain('append-only')
    expect((await rejection(connection.query(sql`select tidemark.begin_row_move()`))).message).toMatch(
      /permission denied/,
    )
    await connection.execute('reset role')
    await connection.close()
    await test.db.execute(`drop owned by ${test.name}_app; drop role ${test.name}_app`)
  })

  it('get back a guard that somebody took away, and lose it when the declaration says so', async () => {
    await test.db.execute('alter table tidemark_chunks.audit_chunk disable trigger tidemark_append_only')
    const restored = await migrate(test.db, [audit])
    expect(restored.steps.map((s) => s.kind)).toContain('append-only')
    expect((await migrate(test.db, [audit])).steps).toEqual([])
    expect((await rejection(test.db.execute('truncate tidemark_chunks.audit_chunk'))).message).toContain(
      'append-only',
    )
    const open = hypertable('audit.entries', {
      columns: { time: t.timestamptz(), who: t.text() },
      time: 'time',
      chunk: '1 day',
      primaryKey: ['who', 'time'],
    })
    await migrate(test.db, [open])
    await test.db.execute('delete from audit.entries')
    expect((await migrate(test.db, [open])).steps).toEqual([])
  })
})
