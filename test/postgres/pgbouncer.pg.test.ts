import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { migrate } from '../../src/migrate/index.ts'
import { createDatabase, type Database } from '../../src/postgres/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { repeated, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { type PgBouncer, pgBouncer, startPgBouncer } from '../helpers/pgbouncer.ts'

describe('behind PgBouncer in transaction mode', () => {
  let test: TestDatabase
  let bouncer: PgBouncer
  let url: string
  let db: Database
  const reader = `reader_${randomBytes(6).toString('hex')}`

  beforeAll(async () => {
    if (!pgBouncer) return
    test = await createTestDatabase()
    bouncer = await startPgBouncer(test.connectionString, 2, [reader])
    url = bouncer.connectionString
    db = createDatabase({ connectionString: url, max: 8 })
  })
  afterAll(async () => {
    if (!pgBouncer) return
    await db.close()
    await bouncer.stop()
    await test.db.execute(`drop owned by ${reader}; drop role ${reader}`)
    await test.drop()
  })

  beforeEach(({ skip }) => skip(!pgBouncer, 'pgbouncer is not installed'))

  it('statements with parameters of many clients do not collide', async () => {
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, n) => db.query(sql`select ${n}::int4, ${[String(n), null]}::text[]`)),
    )
    expect(answers.map(({ rows }) => rows[0])).toEqual(
      Array.from({ length: 200 }, (_, n) => [n, [String(n), null]]),
    )
  })

  it('settings of a transaction do not leak to the next client', async () => {
    await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        const show = sql`select current_setting('lock_timeout')`
        if (n % 2 === 0) {
          const { rows } = await db.transaction({ lockTimeoutMs: 123, statementTimeoutMs: 4567 }, (tx) =>
            tx.query(show),
          )
          expect(rows).toEqual([['123ms']])
        } else expect((await db.query(show)).rows).toEqual([['0']])
      }),
    )
  })

  it('nothing is prepared on a server that belongs to many', async () => {
    const options = { opening: sql`select pg_current_snapshot()`, statementTimeoutMs: 10_000 }
    await Promise.all(
      Array.from({ length: 60 }, async (_, n) => {
        const one = repeated(sql`select ${n}::int4 as n`)
        expect((await db.reading(options, (reading) => reading.query(one))).rows).toEqual([[n]])
      }),
    )
    const left = await Promise.all(
      Array.from({ length: 8 }, () => db.query(sql`select count(*) from pg_prepared_statements`)),
    )
    expect(left.map(({ rows }) => rows)).toEqual(Array(8).fill([[0n]]))
  })

  it('a transaction stays on its server and rolls back as a whole', async () => {
    await db.execute('create table kept (n int4 primary key)')
    const failing = db.transaction({}, async (tx) => {
      await tx.query(sql`insert into kept values (1)`)
      await Promise.all(Array.from({ length: 5 }, () => db.query(sql`select pg_sleep(0.01)`)))
      await tx.query(sql`insert into kept values (1)`)
    })
    await expect(failing).rejects.toMatchObject({ code: 'TM_DUPLICATE_KEY' })
    expect((await db.query(sql`select count(*) from kept`)).rows).toEqual([[0n]])
  })

  it('readings of many clients keep to their snapshot, their settings and their cursors', async () => {
    await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        const opening = sql`select pg_current_snapshot(), set_config('tidemark.tenant', ${String(n)}::text, true)`
        await db.reading({ opening, statementTimeoutMs: 10_000 + n }, async (reading) => {
          const cursor = reading.cursor(sql`
            select i, ${n}::int4, current_setting('tidemark.tenant'), current_setting('statement_timeout'),
              pg_current_snapshot()
            from generate_series(1, 5) i`)
          const [{ rows: one }, { rows: two }] = [await cursor.next(2), await cursor.next(9)]
          const snapshot = (await reading.open()).rows[0]![0]
          const settings = [n, String(n), n === 0 ? '10s' : `${10_000 + n}ms`, snapshot]
          expect([...one, ...two]).toEqual([1, 2, 3, 4, 5].map((i) => [i, ...settings]))
        })
      }),
    )
    expect(
      (await db.query(sql`select current_setting('tidemark.tenant', true)`)).rows[0]![0] || null,
    ).toBeNull()
  })

  it('neither the tenant of a transaction nor its role is the next client’s', async () => {
    const columns = { time: t.timestamptz(), tenant: t.text(), value: t.int4() }
    const requests = hypertable('metrics.requests', {
      columns,
      time: 'time',
      tenant: 'tenant',
      chunk: '1 day',
    })
    await migrate(test.db, [requests])
    await test.db.execute(`
      create role ${reader} login;
      grant tidemark_reader to ${reader};
      insert into metrics.requests
      select '2026-01-01'::timestamptz + i * interval '1 hour', 'tenant ' || i % 3, i from generate_series(1, 60) as i`)
    const through = new URL(url)
    through.pathname = `/as_${reader}`
    const application = createDatabase({ connectionString: through.href, max: 8 })
    const seen = sql`select tenant, count(*) from metrics.requests group by tenant`
    try {
      await Promise.all(
        Array.from({ length: 60 }, async (_, n) => {
          if (n % 5 === 0) {
            expect((await application.query(seen)).rows).toEqual([])
            return
          }
          const { rows } = await application.transaction({}, async (tx) => {
            await tx.execute(`set local tidemark.tenant = 'tenant ${n % 4}'`)
            await tx.query(sql`select pg_sleep(0.005)`)
            return tx.query(seen)
          })
          expect(rows).toEqual(n % 4 === 3 ? [] : [[`tenant ${n % 4}`, 20n]])
        }),
      )
    } finally {
      await application.close()
    }
    // as the engine asks on behalf of a tenant, on connections that belong to everybody
    await Promise.all(
      Array.from({ length: 40 }, async (_, n) => {
        const tenant = `tenant ${n % 3}`
        const opening = sql`
          select set_config('tidemark.tenant', ${tenant}::text, true), set_config('role', 'tidemark_tenant', true)`
        if (n % 2 === 0) {
          const options = { opening, statementTimeoutMs: 10_000 }
          expect((await db.reading(options, (reading) => reading.query(seen))).rows).toEqual([[tenant, 20n]])
          return
        }
        const { rows } = await db.query(
          sql`select current_user = session_user, nullif(current_setting('tidemark.tenant', true), '')`,
        )
        expect(rows).toEqual([[true, null]])
      }),
    )
  })

  it('COPY goes in and out', async () => {
    await db.transaction({}, async (tx) => {
      await tx.execute('create table copied (n int8)')
      const lines = Array.from({ length: 10_000 }, (_, n) => `${n}\n`).join('')
      expect(await tx.copyFrom(sql`copy copied from stdin`, [Buffer.from(lines)])).toBe(10_000)
      const parts: Uint8Array[] = []
      for await (const part of tx.copyTo(sql`copy (select n from copied order by n) to stdout`))
        parts.push(part)
      expect(Buffer.concat(parts).toString()).toBe(lines)
    })
  })

  it('a signal stops the statement in the server', async () => {
    const abort = new AbortController()
    setTimeout(() => abort.abort(), 100)
    const call = db.query(sql`select pg_sleep(60), 'through the bouncer'`, { signal: abort.signal })
    await expect(call).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    const running = sql`
      select count(*) from pg_stat_activity
      where state = 'active' and query like '%through the bouncer%' and pid <> pg_backend_pid()`
    for (let tries = 0; (await test.db.query(running)).rows[0]![0] !== 0n; tries += 1) {
      if (tries > 200) throw new Error('it runs on')
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
  })
})
