import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { continuousAggregate, migrateAggregates } from '../../src/continuous/index.ts'
import { applyPartitionPolicies, migrate } from '../../src/migrate/index.ts'
import { checkTenants } from '../../src/ops/tenant-checks.ts'
import { count } from '../../src/query/index.ts'
import { hypertable, type StoredDefinition, t, table, view } from '../../src/schema/index.ts'
import { systemClock } from '../../src/time/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const columns = { time: t.timestamptz(), tenant: t.text(), value: t.int4() }
const events = hypertable('metrics.events', { columns, time: 'time', tenant: 'tenant', chunk: '1 day' })
const hourly = continuousAggregate('stats.hourly', {
  from: events,
  bucket: '1 hour',
  by: [],
  select: { n: count() },
})
const slow = view('app.slow', 'select * from metrics.events where value > 0')

let test: TestDatabase
const reader = `reader_${randomBytes(6).toString('hex')}`
const ask = async (text: string) => (await test.db.query(raw(text))).rows
const run = (text: string) => test.db.execute(text)
const sentences = async (definitions: Parameters<typeof migrate>[1]) =>
  (await migrate(test.db, definitions)).steps.map(({ sentence }) => sentence)

/** As a login that may read, for a tenant. */
function asReader(tenant: string, text: string) {
  return test.db.transaction({ mode: 'read committed' }, async (connection) => {
    await connection.execute(`set local role ${reader}; set local tidemark.tenant = '${tenant}'`)
    return (await connection.query(raw(text))).rows
  })
}

beforeAll(async () => {
  test = await createTestDatabase()
  await run(`create role ${reader} login; grant tidemark_reader to ${reader}`)
  await migrate(test.db, [events, slow])
  await migrateAggregates(test.db, [hourly])
  for (let day = 1; day <= 25; day += 1) {
    const name = `events_${day}`
    const from = `2026-01-${String(day).padStart(2, '0')}`
    await run(`create table tidemark_chunks.${name} (like metrics.events including all)`)
    await applyPartitionPolicies(test.db, events, { schema: 'tidemark_chunks', table: name })
    await run(`alter table metrics.events attach partition tidemark_chunks.${name}
      for values from ('${from}') to ('${from}'::timestamptz + interval '1 day')`)
  }
  await migrate(test.db, [events, slow])
  await run(`insert into metrics.events select '2026-01-01'::timestamptz + i * interval '20 hours', case i % 2 when 0 then 'a' else 'b' end, i
    from generate_series(0, 20) as i`)
})
afterAll(async () => {
  await run(`drop owned by ${reader}; drop role ${reader}`)
  await test.drop()
})

describe('row security of declared tables', () => {
  it('is put back by migrate wherever somebody took it away, the table first and partitions by the score', async () => {
    expect(await sentences([events, slow])).toEqual([])
    await run(`
      alter table metrics.events disable row level security;
      alter table tidemark_chunks.events_1 no force row level security;
      drop policy tidemark_login on tidemark_chunks.events_2;
      drop policy tidemark_tenant on tidemark_chunks.events_3;
      create policy tidemark_tenant on tidemark_chunks.events_3 using (true);
      alter policy tidemark_tenant on tidemark_chunks.events_4 to ${reader};
      drop policy tidemark_tenant on tidemark_chunks.metrics_events_default;
      create policy tidemark_tenant on tidemark_chunks.metrics_events_default for select
        using (tenant = nullif(current_setting('tidemark.tenant', true), ''))`)
    const dry = await migrate(test.db, [events, slow], { dryRun: true })
    expect(dry.steps.map(({ kind, sentence }) => [kind, sentence])).toEqual([
      ['tenant', 'keeps tenants apart in metrics.events by "tenant"'],
      ['tenant', 'keeps tenants apart in 5 partitions of metrics.events by "tenant"'],
    ])
    expect(await sentences([events, slow])).toEqual(dry.steps.map(({ sentence }) => sentence))
    expect(await sentences([events, slow])).toEqual([])
    expect(await asReader('a', `select count(*), bool_and(tenant = 'a') from metrics.events`)).toEqual([
      [11n, true],
    ])
  })

  it('comes to a database of an earlier version', async () => {
    await run(`
      do $$ declare r regclass; begin
        for r in select 'metrics.events'::regclass union all select inhrelid from pg_inherits where inhparent = 'metrics.events'::regclass loop
          execute format('drop policy tidemark_tenant on %s', r);
          execute format('drop policy tidemark_login on %s', r);
          execute format('alter table %s no force row level security, disable row level security', r);
        end loop;
      end $$;
      revoke select on metrics.events, app.slow from tidemark_reader`)
    expect(await sentences([events, slow])).toEqual([
      'keeps tenants apart in metrics.events by "tenant"',
      'keeps tenants apart in 20 partitions of metrics.events by "tenant"',
      'keeps tenants apart in 6 partitions of metrics.events by "tenant"',
      'lets tidemark_reader read metrics.events',
      'lets tidemark_reader read app.slow',
    ])
    expect(await sentences([events, slow])).toEqual([])
  })

  it('waits for no reader longer than it was told, and keeps nobody out meanwhile', async () => {
    await run('alter table metrics.events no force row level security')
    const busy = await test.connect()
    await busy.execute('begin; select count(*) from metrics.events')
    await expect(migrate(test.db, [events, slow], { lockTimeoutMs: 20, tries: 2 })).rejects.toMatchObject({
      code: 'TM_BUSY',
    })
    await busy.execute('commit')
    await busy.close()
    expect(await sentences([events, slow])).toEqual(['keeps tenants apart in metrics.events by "tenant"'])
  })

  it('holds for every type that a tenant can have', async () => {
    const of = (type: 'text' | 'uuid' | 'int4' | 'int8', column: ReturnType<typeof t.text>) =>
      table(`app.by_${type}`, {
        columns: { Owner: column, id: t.int4() },
        tenant: 'Owner',
        primaryKey: ['Owner', 'id'],
      })
    const tables = [
      of('text', t.text()),
      of('uuid', t.uuid() as never),
      of('int4', t.int4() as never),
      of('int8', t.int8() as never),
    ]
    await migrate(test.db, [events, slow, ...tables])
    expect(await sentences([events, slow, ...tables])).toEqual([])
    const values = {
      text: ['x', 'y'],
      uuid: [`${'0'.repeat(8)}-0000-0000-0000-00000000000a`, `${'0'.repeat(8)}-0000-0000-0000-00000000000b`],
      int4: ['1', '2'],
      int8: ['9007199254740993', '9007199254740992'],
    }
    for (const [type, [first, second]] of Object.entries(values)) {
      await run(`insert into app.by_${type} values ('${first}', 1), ('${second}', 2)`)
      expect(await asReader(first!, `select id from app.by_${type}`), type).toEqual([[1]])
      expect(await asReader('', `select id from app.by_${type}`), type).toEqual([])
    }
    await expect(asReader('x', 'select * from app.by_int4')).rejects.toThrow('invalid input syntax')
    // a readable cell needs the policy in exactly this form
    for (const type of Object.keys(values))
      expect(
        await asReader('1', `select tidemark.readable_cells('app.by_${type}'::regclass, 'Owner')`),
      ).toEqual([['tenant']])
  })

  it('follows a plain table that changes its tenant column, or loses it', async () => {
    const both = { a: t.text(), b: t.text() }
    const by = (tenant?: 'a' | 'b') => table('app.moving', { columns: both, ...(tenant ? { tenant } : {}) })
    await migrate(test.db, [by('a')])
    await run(`insert into app.moving values ('one', 'two')`)
    expect(await asReader('one', 'select count(*) from app.moving')).toEqual([[1n]])
    expect(await sentences([by('b')])).toContain('keeps tenants apart in app.moving by "b"')
    expect(await asReader('one', 'select count(*) from app.moving')).toEqual([[0n]])
    expect(await asReader('two', 'select count(*) from app.moving')).toEqual([[1n]])
    expect(await sentences([by()])).toContain('lets whoever may read app.moving see the rows of every tenant')
    expect(await asReader('', 'select count(*) from app.moving')).toEqual([[1n]])
    expect(await sentences([by()])).toEqual([])
    // what others do with row security there is theirs
    await migrate(test.db, [by('a')])
    await run('create policy more on app.moving using (false)')
    await migrate(test.db, [by()])
    expect(
      await ask(`select c.relrowsecurity, array(select polname::text from pg_policy where polrelid = c.oid)
        from pg_class as c where c.oid = 'app.moving'::regclass`),
    ).toEqual([[true, ['more']]])
  })

  it('is there before anybody is let into a table that is declared for the first time', async () => {
    await run(
      `create table app.found (tenant text not null, id int not null); insert into app.found values ('a', 1), ('b', 2)`,
    )
    const found = table('app.found', { columns: { tenant: t.text(), id: t.int4() }, tenant: 'tenant' })
    const { steps } = await migrate(test.db, [found])
    expect(steps.map(({ kind }) => kind).slice(0, 3)).toEqual(['tenant', 'grant', 'catalog'])
    expect(await asReader('a', 'select id from app.found')).toEqual([[1]])
    expect(await sentences([found])).toEqual([])
  })

  it('is there from the first moment on when a table with rows becomes a hypertable', async () => {
    const kept = table('app.history', { columns, tenant: 'tenant' })
    await migrate(test.db, [kept])
    await run(`
      insert into app.history values ('2026-02-01', 'a', 1), ('2026-02-02', 'b', 2);
      create table app.raw (time timestamptz not null, tenant text not null, value int4 not null);
      insert into app.raw values ('2026-02-01', 'a', 1), ('2026-02-02', 'b', 2)`)
    const converted = ['app.history', 'app.raw'].map((name) =>
      hypertable(name, { columns, time: 'time', tenant: 'tenant', chunk: '1 day' }),
    )
    // before, whoever reads what is declared may not read what nothing keeps apart
    const dry = await migrate(test.db, converted, { dryRun: true })
    expect(dry.steps.map(({ kind }) => kind)).toEqual(['convert', 'convert'])
    await migrate(test.db, converted, { convert: true })
    for (const name of ['app.history', 'app.raw']) {
      expect(await asReader('a', `select value from ${name}`), name).toEqual([[1]])
      expect(
        await ask(`select bool_and(c.relrowsecurity and c.relforcerowsecurity) from pg_class as c
          where c.oid in (select inhrelid from pg_inherits where inhparent = '${name}'::regclass)`),
      ).toEqual([[true]])
    }
    expect((await migrate(test.db, converted)).steps).toEqual([])
    await expect(asReader('a', 'select * from app.raw_before_tidemark')).rejects.toThrow('permission denied')
  })
})

describe('what migrate does not own', () => {
  it('is not opened: a table of somebody else is told of instead', async () => {
    const strange = table('app.strange', { columns: { id: t.int4() } })
    await migrate(test.db, [strange])
    const owner = `owner_${test.name}`
    await run(
      `create role ${owner} superuser; revoke select on app.strange from tidemark_reader; alter table app.strange owner to ${owner}`,
    )
    const app = `app_${test.name}`
    await run(`
      create role ${app} login bypassrls; grant tidemark_tenant to ${app};
      grant all on schema app, metrics, tidemark to ${app};
      grant select on all tables in schema tidemark to ${app}`)
    try {
      const found = await test.db.transaction({ mode: 'read committed' }, async (connection) => {
        await connection.execute(`set local role ${app}`)
        return checkTenants({ connection, definitions: [events, strange] } as never)
      })
      expect([found].flat().map(({ message }) => message)).toContain(
        'tidemark_reader may not read app.strange, which is declared or read by a declared view',
      )
    } finally {
      await run(
        `drop owned by ${app}; drop role ${app}; alter table app.strange owner to postgres; drop role ${owner}`,
      )
    }
  })
})

describe('doctor', () => {
  const allIsWell = 'ok row security keeps tenants apart in one table'
  const look = async (definitions: readonly StoredDefinition[] = [events]) =>
    [
      await test.db.withConnection((connection) =>
        checkTenants({
          connection,
          definitions,
          aggregates: [hourly],
          db: test.db,
          clock: systemClock,
          lake: null as never,
        }),
      ),
    ]
      .flat()
      // logins of the whole server, and what the tests before have left
      .filter(({ message }) => !message.startsWith('these logins') && !message.includes('strange'))
      .map(({ level, message }) => `${level} ${message}`)

  it('has nothing to say where all is well, or nothing has a tenant', async () => {
    expect(await look()).toEqual([allIsWell])
    expect(await look([table('app.none', { columns: { id: t.int4() } })])).toEqual([
      'ok no declared table has a tenant',
    ])
  })

  it.each([
    [
      'alter table metrics.events disable row level security',
      'alter table metrics.events enable row level security',
      'fail metrics.events: row security is off in metrics.events',
    ],
    [
      'alter table tidemark_chunks.events_1 no force row level security',
      'alter table tidemark_chunks.events_1 force row level security',
      'fail metrics.events: row security does not hold for the owner in tidemark_chunks.events_1',
    ],
    [
      'drop policy tidemark_login on metrics.events',
      'create policy tidemark_login on metrics.events as restrictive using ((select tidemark.is_own_tenant()))',
      'fail metrics.events: the policies of tenants are missing or altered in metrics.events',
    ],
    [
      'create policy more on metrics.events using (value > 3)',
      'drop policy more on metrics.events',
      'warn metrics.events: policy "more" lets everybody also see or write rows where (value > 3)',
    ],
    [
      `grant select on tidemark_chunks.events_2 to tidemark_reader`,
      'revoke select on tidemark_chunks.events_2 from tidemark_reader',
      'warn tidemark_reader has SELECT on tidemark_chunks.events_2, a partition: nobody needs that',
    ],
    [
      `grant truncate on metrics.events to tidemark_reader`,
      'revoke truncate on metrics.events from tidemark_reader',
      'warn tidemark_reader has TRUNCATE on metrics.events, which row security says nothing of',
    ],
    [
      'create view app.open as select * from app.slow; create view app.opener as select * from metrics.events; grant select on app.opener to public',
      'drop view app.opener, app.open',
      'warn app.opener shows public rows of every tenant: it reads as postgres',
    ],
    [
      'create materialized view app.filled as select * from app.slow; grant select on app.filled to tidemark_reader',
      'drop materialized view app.filled',
      'warn app.filled shows tidemark_reader rows of every tenant: it was filled as postgres',
    ],
    [
      'create publication everything for table metrics.events',
      'drop publication everything',
      'note publication "everything" sends rows of every tenant of metrics.events to its subscribers',
    ],
    [
      `insert into tidemark.tenant_login values ('was_renamed', 'a')`,
      `delete from tidemark.tenant_login`,
      'warn login "was_renamed" is bound to a tenant, and is not there: was it renamed?',
    ],
    [
      'alter role tidemark_reader login',
      'alter role tidemark_reader nologin',
      'warn tidemark_reader may log in, and is meant to be granted to logins only',
    ],
    [
      'alter table tidemark_aggregates.stats_hourly_1 disable row level security',
      'alter table tidemark_aggregates.stats_hourly_1 enable row level security',
      'fail stats.hourly: row security of its cells (tidemark_aggregates.stats_hourly_1) is off, not forced, or has other policies',
    ],
  ])('tells: %s', async (wrong, right, told) => {
    await run(wrong)
    const found = await look()
    await run(right)
    expect(found).toEqual(told.startsWith('note') ? [allIsWell, told] : [told])
    expect(await look()).toEqual([allIsWell])
  })

  it('migrate puts back cells and views that were opened', async () => {
    await run(`
      alter table tidemark_aggregates.stats_hourly_1 disable row level security;
      drop policy tidemark_readers on tidemark_aggregates.stats_hourly_1;
      alter view stats.hourly set (security_invoker = false);
      alter view app.slow set (security_invoker = false)`)
    expect((await migrateAggregates(test.db, [hourly])).steps.map(({ sentence }) => sentence)).toEqual([
      'restores who may read the cells of stats.hourly',
      'replaces the view stats.hourly',
    ])
    expect(await sentences([events, slow])).toEqual(['replaces the view app.slow'])
    expect((await migrateAggregates(test.db, [hourly])).steps).toEqual([])
    expect(await sentences([events, slow])).toEqual([])
    expect(await look()).toEqual([allIsWell])
  })
})
