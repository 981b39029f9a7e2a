import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { migrate, migrateCatalog } from '../../src/migrate/index.ts'
import { accountForServer } from '../../src/postgres/embedded/account.ts'
import { prepareBinaries } from '../../src/postgres/embedded/binaries.ts'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { hypertable, t, table } from '../../src/schema/index.ts'
import { isTidemarkError, type TidemarkError } from '../../src/util/errors.ts'
import { raw } from '../../src/util/sql.ts'
import { startTestServer, type TestServer } from '../helpers/test-server.ts'

const columns = { time: t.timestamptz(), tenant: t.text(), value: t.int4() }
const mine = hypertable('metrics.mine', { columns, time: 'time', tenant: 'tenant', chunk: '1 day' })
const shared = hypertable('metrics.shared', { columns, time: 'time', chunk: '1 day' })
const list = table('metrics.list', { columns: { id: t.int4() }, primaryKey: ['id'] })

/** Of its own: roles are of the whole server, and here there must be none before. */
let server: TestServer | null = null
let admin: Database
const open: Database[] = []

function connect(database: string, user = 'postgres'): Database {
  const url = new URL(server!.connectionString)
  url.pathname = `/${database}`
  url.username = user
  const db = createDatabase({ connectionString: url.href, max: 2 })
  open.push(db)
  return db
}

async function rejection(promise: Promise<unknown>): Promise<TidemarkError> {
  const error = await promise.then(
    () => null,
    (e: unknown) => e,
  )
  if (!isTidemarkError(error)) throw new Error(`not refused as expected: ${String(error)}`)
  return error
}

const rolesThere = async () =>
  (
    await admin.query(raw(`select rolname::text from pg_roles where rolname like 'tidemark%' order by 1`))
  ).rows.flat()

beforeAll(async () => {
  const { lane } = inject('postgres')
  const bin =
    lane === 'pg15' ? '/usr/lib/postgresql/15/bin' : (await prepareBinaries(await accountForServer())).bin
  server = await startTestServer(`${lane}-roles`, bin)
  admin = connect('postgres')
})
afterAll(async () => {
  await Promise.all(open.map((db) => db.close()))
  await server?.stop()
})

describe('the roles of tenants', () => {
  it('need an administrator only where a table declares a tenant and the role may not make them', async () => {
    await admin.execute('create role plain login')
    await admin.execute('create database plain owner plain')
    const db = connect('plain', 'plain')
    expect((await migrate(db, [shared, list])).steps.length).toBeGreaterThan(0)
    expect(await rolesThere()).toEqual([])
    expect((await migrate(db, [shared, list])).steps).toEqual([])

    const first = await rejection(migrate(db, [shared, list, mine]))
    expect(first.code).toBe('TM_MIGRATION')
    expect(first.message).toMatch(/metrics\.mine declare.*as a superuser run: alter role "plain" bypassrls$/)
    expect((await rejection(migrate(db, [mine], { dryRun: true }))).message).toBe(first.message)
    await admin.execute('alter role plain bypassrls')

    const second = await rejection(migrate(db, [shared, list, mine]))
    expect(second.code).toBe('TM_MIGRATION')
    const statements = second.message.split('as a superuser run, in this database: ')[1]!.split('; ')
    expect(statements.slice(0, 2)).toEqual([
      'create role tidemark_reader nologin',
      'create role tidemark_tenant nologin',
    ])
    const dry = await migrate(db, [shared, list, mine], { dryRun: true })
    expect(dry.steps[0]).toMatchObject({ kind: 'roles', statements })

    const superuser = connect('plain')
    for (const statement of statements) await superuser.execute(statement)
    await migrate(db, [shared, list, mine])
    expect((await migrate(db, [shared, list, mine])).steps).toEqual([])
    // what the engine does at the beginning of a query
    await db.transaction({ mode: 'repeatable read' }, async (connection) => {
      const set = `select set_config('role', 'tidemark_tenant', true), set_config('tidemark.tenant', 'a', true)`
      await connection.query(raw(set))
      expect((await connection.query(raw('select count(*) from metrics.mine'))).rows).toEqual([[0n]])
      expect((await connection.query(raw('select count(*) from tidemark.hypertable'))).rows).toEqual([[2n]])
    })
    expect((await db.query(raw('select current_user::text'))).rows).toEqual([['plain']])

    await superuser.execute(
      'drop owned by tidemark_reader, tidemark_tenant; drop role tidemark_tenant, tidemark_reader',
    )
  })

  it('are made by a role that may make roles, on either side of PostgreSQL 16', async () => {
    await admin.execute('create role maker login createrole bypassrls')
    await admin.execute('create database made owner maker')
    const db = connect('made', 'maker')
    await migrate(db, [mine])
    expect(await rolesThere()).toEqual(['tidemark_reader', 'tidemark_tenant'])
    expect((await db.query(raw('select * from tidemark.missing_tenant_rights()'))).rows).toEqual([])
    await db.transaction({}, async (connection) => {
      await connection.execute('set local role tidemark_tenant')
      expect((await connection.query(raw('select current_user::text'))).rows).toEqual([['tidemark_tenant']])
    })
    const superuser = connect('made')
    await superuser.execute(
      'drop owned by tidemark_reader, tidemark_tenant; drop role tidemark_tenant, tidemark_reader',
    )
    // as in a dump that was restored on another server: migrate makes them, and grants again
    const { steps } = await migrate(db, [mine])
    expect(steps.map(({ kind }) => kind)).toEqual(['roles', 'grant', 'grant'])
    expect((await migrate(db, [mine])).steps).toEqual([])
    await superuser.execute(
      'drop owned by tidemark_reader, tidemark_tenant; drop role tidemark_tenant, tidemark_reader',
    )
  })

  it('are made once when many databases migrate at the same time', async () => {
    const names = Array.from({ length: 5 }, (_, i) => `many_${i}`)
    for (const name of names) await admin.execute(`create database ${name}`)
    const all = names.map((name) => connect(name))
    const catalogs = await Promise.all(all.map((db) => migrateCatalog(db)))
    for (const { applied } of catalogs) expect(applied).toContain('000017_tenants')
    await Promise.all(all.map((db) => migrate(db, [mine, list])))
    expect(await rolesThere()).toEqual(['tidemark_reader', 'tidemark_tenant'])
    for (const db of all) {
      expect((await db.query(raw('select * from tidemark.missing_tenant_rights()'))).rows).toEqual([])
      expect((await migrate(db, [mine, list], { dryRun: true })).steps).toEqual([])
    }
  })

  it('get back what somebody took from them, and never more than reading takes', async () => {
    const db = connect('many_0')
    await db.execute(`
      alter role tidemark_tenant bypassrls;
      revoke tidemark_reader from tidemark_tenant;
      revoke select on tidemark.chunk from tidemark_tenant;
      revoke usage on schema metrics from tidemark_reader;
      revoke select on metrics.mine from tidemark_reader`)
    const { steps } = await migrate(db, [mine, list])
    expect(steps.map(({ sentence, statements }) => [sentence, statements])).toEqual([
      [
        'gives the roles of tenants what they lack',
        [
          'alter role tidemark_tenant nosuperuser nobypassrls',
          'grant tidemark_reader to tidemark_tenant',
          'grant select on tidemark.chunk to tidemark_tenant',
        ],
      ],
      [
        'lets tidemark_reader into the schema metrics',
        ['grant usage on schema "metrics" to tidemark_reader'],
      ],
      ['lets tidemark_reader read metrics.mine', ['grant select on "metrics"."mine" to tidemark_reader']],
    ])
    expect((await migrate(db, [mine, list])).steps).toEqual([])
    const rights = (role: string) =>
      db
        .query(
          raw(`
            select n.nspname || '.' || c.relname || ' ' || a.privilege_type
            from pg_class as c
            join pg_namespace as n on n.oid = c.relnamespace
            cross join lateral aclexplode(c.relacl) as a
            where a.grantee = '${role}'::regrole
            order by 1`),
        )
        .then(({ rows }) => rows.flat())
    expect(await rights('tidemark_tenant')).toEqual(
      ['aggregate', 'aggregate_version', 'chunk', 'hypertable', 'lake_deletion', 'lake_file'].map(
        (name) => `tidemark.${name} SELECT`,
      ),
    )
    expect(await rights('tidemark_reader')).toEqual(['metrics.list SELECT', 'metrics.mine SELECT'])
  })
})
