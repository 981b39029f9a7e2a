import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import { count } from '../../src/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'

const cpu = hypertable('cpu', {
  columns: { time: t.timestamptz(), usage: t.float8() },
  time: 'time',
  chunk: '1 day',
})
const config = defineConfig({ datasets: [cpu] })
const rows = (n: number) =>
  Array.from({ length: n }, (_, i) => ({ time: new Date(Date.UTC(2026, 0, 1) + i * 60_000), usage: i }))

let test: TestDatabase
let tm: Tidemark<typeof config>
beforeAll(async () => {
  test = await createTestDatabase()
  tm = await createTidemark(config, { connectionString: test.connectionString })
})
afterAll(async () => {
  await tm.close()
  await test.drop()
})

const total = async () => (await tm.query(cpu, { select: { n: count() } })).rows[0]?.n

describe('a hypertable that was dropped by hand', () => {
  it('is made anew by migrate, and takes rows for the ranges of its dead chunks', async () => {
    await tm.migrate()
    await tm.insert(cpu, rows(3000))
    await test.db.execute('drop table cpu')
    await tm.migrate()
    expect(await total()).toBe(0)
    expect(await tm.insert(cpu, rows(3000))).toBe(3000)
    expect(await tm.insert(cpu, rows(10))).toBe(10)
    expect(await total()).toBe(3010)
    const { rows: left } = await test.db.query(sql`
      select count(*)::int4 from tidemark.change_log
      where hypertable_id not in (select id from tidemark.hypertable)`)
    expect(left).toEqual([[0]])
  })

  it('does not keep a plain table of its name from being converted', async () => {
    await test.db.execute(`
      drop table cpu;
      create table cpu (time timestamptz not null, usage float8 not null);
      insert into cpu select timestamptz '2026-02-01' + i * interval '1 minute', i from generate_series(1, 5000) i`)
    await tm.migrate({ convert: true })
    expect(await total()).toBe(5000)
    expect(await tm.insert(cpu, rows(2000))).toBe(2000)
    expect(await total()).toBe(7000)
  })
})
