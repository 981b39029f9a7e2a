import { randomBytes } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { count, percentile, sum } from '../../src/query/index.ts'
import { defineConfig, hypertable, t, table, view } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), tenant: t.text(), model: t.text(), value: t.int4() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
  orderBy: ['model', 'time'],
  primaryKey: ['tenant', 'model', 'time'],
})
const notes = table('app.notes', {
  columns: { tenant: t.text(), id: t.int4(), text: t.text() },
  tenant: 'tenant',
  primaryKey: ['tenant', 'id'],
})
const models = table('app.models', { columns: { name: t.text(), maker: t.text() }, primaryKey: ['name'] })
const hourly = continuousAggregate('stats.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: { n: count(), total: sum('value'), p50: percentile('value', 0.5) },
})
const named = view(
  'app.named',
  'select r.time, r.tenant, r.model, r.value, m.maker from metrics.requests as r left join app.models as m on m.name = r.model',
)
const config = defineConfig({
  datasets: [requests, notes, models, hourly],
  views: [named],
  lake: { dir: 'lake', threads: 1 },
})
const clock = fixedClock(parseInstant('2026-03-10T12:00:00Z'))

/** What B's rows hold and A's do not. */
const marker = 'MARKER-of-b'
const rowsOf = (tenant: string, day: string, n = 30) =>
  Array.from({ length: n }, (_, i) => ({
    time: `2026-03-${day}T${String(i % 24).padStart(2, '0')}:00:${String(i).padStart(2, '0')}Z`,
    tenant,
    model: tenant === 'b' ? `${marker}-${i % 3}` : `model-${i % 3}`,
    value: tenant === 'b' ? 777_000 + i : i,
  }))

/** Roles are of the whole server. */
const suffix = randomBytes(6).toString('hex')
const reader = `reader_${suffix}`
const writer = `writer_${suffix}`
const bound = `bound_${suffix}`

let engine: TestEngine<typeof config>
let logins: Readonly<Record<'reader' | 'writer' | 'bound', Database>>
const admin = (text: string) => engine.test.db.query(raw(text)).then(({ rows }) => rows)

beforeAll(async () => {
  engine = await createTestEngine(config, { clock })
  const { tm, test } = engine
  await tm.insertUnknown('app.models', [{ name: 'model-0', maker: 'somebody' }])
  for (const tenant of ['a', 'b']) {
    await tm.insertUnknown('metrics.requests', [...rowsOf(tenant, '01'), ...rowsOf(tenant, '02')])
    await tm.insertUnknown('app.notes', [{ tenant, id: 1, text: tenant === 'b' ? marker : 'of a' }])
  }
  await tm.refresh('stats.hourly')
  // later than the refresh: the view computes these from rows
  for (const tenant of ['a', 'b']) await tm.insertUnknown('metrics.requests', rowsOf(tenant, '03', 5))
  await test.db.execute(`
    create role ${reader} login;
    create role ${writer} login;
    create role ${bound} login;
    grant tidemark_reader to ${reader}, ${writer}, ${bound};
    grant insert, update, delete on metrics.requests, app.notes to ${writer};
    select tidemark.bind_login('${bound}', 'a')`)
  const connect = (role: string): Database => {
    const url = new URL(test.connectionString)
    url.username = role
    return createDatabase({ connectionString: url.href, max: 1 })
  }
  logins = { reader: connect(reader), writer: connect(writer), bound: connect(bound) }
})
afterAll(async () => {
  await Promise.all(Object.values(logins).map((db) => db.close()))
  await engine.test.db.execute(
    `drop owned by ${reader}, ${writer}, ${bound}; drop role ${reader}, ${writer}, ${bound}`,
  )
  await engine.close()
})

/** In one transaction with a tenant set in it; null: none is set. */
function as(db: Database, tenant: string | null, text: string): Promise<readonly (readonly unknown[])[]> {
  return db.transaction({ mode: 'read committed' }, async (connection) => {
    if (tenant !== null)
      await connection.query(sql`select set_config('tidemark.tenant', ${tenant}::text, true)`)
    return (await connection.query(raw(text))).rows
  })
}

const relations = ['metrics.requests', 'app.notes', 'app.named', 'stats.hourly']
const rowsAsText = (name: string) => `select x::text from ${name} as x`

/** Partitions, also those that were made since. */
async function partitions(): Promise<string[]> {
  const rows = await admin(
    `select inhrelid::regclass::text from pg_inherits where inhparent = 'metrics.requests'::regclass order by 1`,
  )
  return rows.map(([name]) => name as string)
}

async function assertProtected(): Promise<void> {
  const open = await admin(`
    select c.oid::regclass::text
    from pg_class as c
    where c.oid in (select inhrelid from pg_inherits where inhparent = 'metrics.requests'::regclass)
      and not (
        c.relrowsecurity and c.relforcerowsecurity
        and (
          select array_agg(p.polname::text order by p.polname) from pg_policy as p where p.polrelid = c.oid
        ) = array['tidemark_login', 'tidemark_tenant']
        and not exists (select from aclexplode(c.relacl) as g where g.grantee <> c.relowner)
      )`)
  expect(open).toEqual([])
}

describe('a login with tidemark_reader', () => {
  it.each(relations)('sees in %s what is its tenant’s and nothing of another', async (name) => {
    const all = (await admin(rowsAsText(name))).flat()
    const own = (await as(logins.reader, 'a', rowsAsText(name))).flat()
    const others = all.filter((row) => String(row).includes(marker))
    expect(others.length).toBeGreaterThan(0)
    expect(own.length).toBeGreaterThan(0)
    expect([...own].sort()).toEqual(all.filter((row) => !others.includes(row)).sort())
    expect(own.join('\n')).not.toContain(marker)
    expect((await as(logins.reader, 'b', rowsAsText(name))).flat().sort()).toEqual([...others].sort())
  })

  it('sees nothing without a tenant, with an empty one, and after RESET', async () => {
    for (const name of relations) {
      for (const tenant of [null, '', 'nobody'])
        expect(await as(logins.reader, tenant, rowsAsText(name)), `${name} ${tenant}`).toEqual([])
      await logins.reader.withConnection(async (connection) => {
        await connection.execute(`set tidemark.tenant = 'a'`)
        expect((await connection.query(raw(rowsAsText(name)))).rows.length).toBeGreaterThan(0)
        await connection.execute('reset tidemark.tenant')
        expect((await connection.query(raw(rowsAsText(name)))).rows).toEqual([])
        await connection.execute(`begin; set local tidemark.tenant = 'a'; commit`)
        expect((await connection.query(raw(rowsAsText(name)))).rows).toEqual([])
      })
    }
  })

  it('reads tables that belong to no tenant', async () => {
    expect(await as(logins.reader, null, 'select * from app.models')).toEqual([['model-0', 'somebody']])
  })

  it('is told by no condition of its own what others have', async () => {
    // a function that is not leakproof is asked about rows that the policy has let through, and no others
    await admin(`
      create function public.peek_${suffix}(value text) returns boolean language plpgsql cost 0.0001 as
      $$ begin if value like '${marker}%' then raise exception 'saw %', value; end if; return true; end $$`)
    for (const name of ['metrics.requests', 'app.named', 'stats.hourly'])
      await as(logins.reader, 'a', `select count(*) from ${name} where public.peek_${suffix}(model)`)
    await expect(
      as(logins.reader, 'b', `select count(*) from stats.hourly where public.peek_${suffix}(model)`),
    ).rejects.toThrow('saw MARKER')
  })

  it('may not write, not read partitions, nor what Tidemark keeps of others', async () => {
    await expect(
      as(logins.reader, 'a', `delete from metrics.requests where time < '2026-03-02'`),
    ).rejects.toThrow('permission denied for table requests')
    const names = await partitions()
    expect(names.length).toBeGreaterThanOrEqual(4)
    for (const name of names)
      await expect(as(logins.reader, 'a', `select * from ${name}`)).rejects.toThrow(
        'permission denied for schema tidemark_chunks',
      )
    for (const name of [
      'change_log',
      'dead_letter',
      'ingest_batch',
      'lake_file',
      'tenant_login',
      'schema_change',
    ])
      await expect(as(logins.reader, 'a', `select * from tidemark.${name}`)).rejects.toThrow(
        `permission denied for table ${name}`,
      )
    await expect(as(logins.reader, 'a', `select tidemark.bind_login('x', 'a')`)).rejects.toThrow(
      'permission denied for function bind_login',
    )
    await expect(as(logins.reader, 'a', 'set local role tidemark_tenant')).rejects.toThrow(
      'permission denied',
    )
  })

  it('sees its own rows alone in a partition that somebody has granted to it', async () => {
    const name = (await partitions()).find((one) => /_c\d+$/.test(one)) as string
    await admin(`grant usage on schema tidemark_chunks to ${reader}`)
    await admin(`grant select on ${name} to ${reader}`)
    const text = (await as(logins.reader, 'a', rowsAsText(name))).flat().join('\n')
    expect(text).toContain('model-')
    expect(text).not.toContain(marker)
    expect(await as(logins.reader, null, rowsAsText(name))).toEqual([])
    await engine.test.db.execute(
      `revoke all on ${name} from ${reader}; revoke usage on schema tidemark_chunks from ${reader}`,
    )
  })
})

describe('a login that may write', () => {
  it('writes rows of its tenant, and they are logged', async () => {
    const log = `select count(*) from tidemark.change_log where tenant = 'a' and source = 'statement'`
    const [[before] = []] = await admin(log)
    await as(logins.writer, 'a', `insert into metrics.requests values ('2026-03-03T10:00Z', 'a', 'new', 1)`)
    await as(
      logins.writer,
      'a',
      `update metrics.requests set value = 2 where model = 'new' and time = '2026-03-03T10:00Z'`,
    )
    await as(
      logins.writer,
      'a',
      `insert into metrics.requests values ('2026-03-03T10:00Z', 'a', 'new', 3)
       on conflict (tenant, model, time) do update set value = excluded.value`,
    )
    const [[after] = []] = await admin(log)
    expect(after as bigint).toBeGreaterThanOrEqual((before as bigint) + 3n)
    expect(await admin(`select value from metrics.requests where model = 'new'`)).toEqual([[3]])
    await as(logins.writer, 'a', `insert into app.notes values ('a', 9, 'new')`)
    await as(logins.writer, 'a', `update app.notes set text = 'newer' where id = 9`)
    expect(await as(logins.writer, 'a', 'delete from app.notes where id = 9 returning text')).toEqual([
      ['newer'],
    ])
    await as(logins.writer, 'a', `delete from metrics.requests where model = 'new'`)
    expect(await admin(`select value from metrics.requests where model = 'new'`)).toEqual([])
  })

  it('writes no row of another, and none without a tenant', async () => {
    const refused = 'new row violates row-level security policy for table "requests"'
    const insert = `insert into metrics.requests values ('2026-03-03T11:00Z', 'b', 'strange', 1)`
    await expect(as(logins.writer, 'a', insert)).rejects.toThrow(refused)
    await expect(as(logins.writer, null, insert)).rejects.toThrow(refused)
    await expect(as(logins.writer, '', insert)).rejects.toThrow(refused)
    await expect(as(logins.writer, 'a', `update metrics.requests set tenant = 'b'`)).rejects.toThrow(refused)
    await expect(as(logins.writer, 'a', `insert into app.notes values ('b', 2, 'mine?')`)).rejects.toThrow(
      'row-level security policy for table "notes"',
    )
    const before = await admin(`select * from metrics.requests where tenant = 'b' order by 1, 3`)
    await as(logins.writer, 'a', `update metrics.requests set value = value + 1000 where tenant = 'b'`)
    await as(logins.writer, 'a', `delete from metrics.requests where tenant = 'b'`)
    expect(await admin(`select * from metrics.requests where tenant = 'b' order by 1, 3`)).toEqual(before)
    await expect(as(logins.writer, 'a', 'truncate metrics.requests')).rejects.toThrow('permission denied')
  })
})

describe('a login that belongs to a tenant', () => {
  it('starts with it, and sees and writes nothing under any other name', async () => {
    const own = (await as(logins.reader, 'a', rowsAsText('metrics.requests'))).length
    expect((await as(logins.bound, null, rowsAsText('metrics.requests'))).length).toBe(own)
    for (const name of relations) {
      expect((await as(logins.bound, 'a', rowsAsText(name))).length, name).toBeGreaterThan(0)
      for (const tenant of ['b', ''])
        expect(await as(logins.bound, tenant, rowsAsText(name)), name).toEqual([])
    }
    const cells = 'select count(*) from tidemark_aggregates.stats_hourly_1'
    expect(await as(logins.bound, 'b', cells)).toEqual([[0n]])
    expect(await as(logins.bound, 'a', cells)).toEqual(await as(logins.reader, 'a', cells))
    await admin(`grant insert on metrics.requests to ${bound}`)
    await expect(
      as(logins.bound, 'b', `insert into metrics.requests values ('2026-03-03T11:00Z', 'b', 'strange', 1)`),
    ).rejects.toThrow('row-level security policy')
    await admin(`revoke insert on metrics.requests from ${bound}`)
  })

  it('may be given back its freedom; nobody who passes by row security can be bound', async () => {
    await admin(`select tidemark.unbind_login('${bound}')`)
    expect((await as(logins.bound, 'b', rowsAsText('metrics.requests'))).length).toBeGreaterThan(0)
    await admin(`select tidemark.bind_login('${bound}', 'a')`)
    expect(await as(logins.bound, 'b', rowsAsText('metrics.requests'))).toEqual([])
    await expect(admin(`select tidemark.bind_login('postgres', 'a')`)).rejects.toThrow('is a superuser')
    await expect(admin(`select tidemark.bind_login('nobody_${suffix}', 'a')`)).rejects.toThrow(
      'there is no role',
    )
  })
})

describe('partitions that come later', () => {
  it.each([
    ['rows of a batch', () => engine.tm.insertUnknown('metrics.requests', rowsOf('b', '05', 1))],
    [
      'many rows, with which the chunk is loaded',
      () =>
        engine.tm.insertUnknown(
          'metrics.requests',
          Array.from({ length: 20_000 }, (_, i) => ({
            time: parseInstant('2026-03-06T00:00:00Z') + BigInt(i) * 1_000_000n,
            tenant: i % 2 ? 'b' : 'a',
            model: i % 2 ? `${marker}-load` : 'load',
            value: i,
          })),
        ),
    ],
    [
      'a file',
      async () => {
        const file = join(engine.root, 'requests.csv')
        await writeFile(file, `time,tenant,model,value\n2026-03-07T00:00:00Z,b,${marker}-file,1\n`)
        await engine.tm.import('metrics.requests', file)
      },
    ],
    [
      'SQL beside every chunk, which the worker drains',
      async () => {
        await admin(`insert into metrics.requests values ('2026-02-20T00:00Z', 'b', '${marker}-outside', 1)`)
        const worker = engine.tm.createWorker()
        await worker.runOnce({ force: true })
      },
    ],
    [
      'a chunk that was frozen and thawed',
      async () => {
        const range = { from: '2026-03-01', to: '2026-03-02' }
        await engine.tm.freeze('metrics.requests', range)
        await engine.tm.thaw('metrics.requests', range)
      },
    ],
  ])('%s: keep tenants apart, too', async (_, make) => {
    await make()
    await assertProtected()
    expect((await as(logins.reader, 'a', rowsAsText('metrics.requests'))).flat().join('\n')).not.toContain(
      marker,
    )
    for (const name of await partitions())
      await expect(as(logins.reader, 'b', `select * from ${name}`)).rejects.toThrow('permission denied')
    expect((await engine.tm.migrate()).steps).toEqual([])
  })
})

describe('what the engine asks as tidemark_tenant', () => {
  const range = { from: '2026-03-01', to: '2026-03-08' }
  const queries: Readonly<Record<string, readonly [dataset: string, query: object]>> = {
    rows: ['metrics.requests', { ...range, limit: 10_000 }],
    'rows in pages': ['metrics.requests', { ...range, columns: ['time', 'model'], limit: 7 }],
    'the last of each': ['metrics.requests', { latestBy: ['model'], columns: ['model', 'value'] }],
    hours: ['metrics.requests', { ...range, bucket: '1 hour', by: ['model'], select: { n: count() } }],
    'what cells answer': [
      'stats.hourly',
      { ...range, bucket: '1 day', select: { n: count(), total: sum('value') } },
    ],
    sketches: ['metrics.requests', { ...range, select: { p: percentile('value', 0.9) } }],
    'a plain table': ['app.notes', {}],
  }
  const scope = { kind: 'one', tenant: 'a' } as const

  async function assertSame(): Promise<void> {
    for (const [what, [name, query]] of Object.entries(queries)) {
      const mine = await engine.tm.queryUnknown(name, query, { scope })
      const where = { ...(query as { where?: object }).where, tenant: 'a' }
      const expected = await engine.tm.queryUnknown(name, { ...query, where })
      expect(mine.rows.length, what).toBeGreaterThan(0)
      expect(mine.rows, what).toEqual(expected.rows)
      expect(inspect(mine, { depth: 20, maxArrayLength: null }), what).not.toContain(marker)
    }
  }

  it('is answered from rows, cells and files as it is for everybody', async () => {
    await assertSame()
    await engine.tm.refresh('stats.hourly')
    await assertSame()
    await engine.tm.freeze('metrics.requests', { from: '2026-03-01', to: '2026-03-03' })
    await assertSame()
    // what is kept in memory by now
    await assertSame()
  })
})
