import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const points = hypertable('public.points', {
  columns: { time: t.timestamptz(), n: t.int8() },
  time: 'time',
  chunk: '1 day',
})
const config = defineConfig({ datasets: [points], limits: { maxRows: 1_000, maxAnswerBytes: 1_048_576 } })

let engine: TestEngine<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config)
})
afterAll(() => engine.close())

const limitOf = (answer: Promise<unknown>) =>
  answer.then(
    () => null,
    (error: { code: string; message: string }) => `${error.code}: ${error.message}`,
  )

describe('the answer of tm.sql', () => {
  it('has both of two outputs with one name, and tells columns without a row', async () => {
    const { columns, rows } = await engine.tm.sql('select 1 as n, 2 as n, 3 as n_2, 4 as n')
    expect(columns).toEqual(['n', 'n_3', 'n_2', 'n_4'])
    expect(rows).toEqual([{ n: 1, n_3: 2, n_2: 3, n_4: 4 }])
    expect((await engine.tm.sql('select time, n from points where false')).columns).toEqual(['time', 'n'])
    expect(await engine.tm.sql('set local work_mem = 1024')).toMatchObject({ columns: [], rows: [] })
  })

  it('keeps the forms of answers', async () => {
    const { rows } = await engine.tm.sql(
      `select timestamptz '2026-01-01 01:00+01' as time, 7::int8 as n, 1.50 as price, date '2026-01-02' as day,
         '{"a": 1}'::jsonb as doc, array['x', null] as list, $1::text as given`,
      ['it'],
    )
    expect(rows).toEqual([
      {
        time: '2026-01-01T00:00:00Z',
        n: 7n,
        price: '1.50',
        day: '2026-01-02',
        doc: { a: 1 },
        list: ['x', null],
        given: 'it',
      },
    ])
  })

  it('has at most limits.maxRows rows, or as many as the call allows; what is refused has changed nothing', async () => {
    const { tm, test } = engine
    expect((await tm.sql('select generate_series(1, 1000) as n')).rows).toHaveLength(1_000)
    expect(await limitOf(tm.sql('select generate_series(1, 1001) as n'))).toMatch(
      /^TM_LIMIT: .*rows of the statement.*over the limit of 1000; .*limit.*maxRows/,
    )
    const more = await tm.sql('select generate_series(1, 5000) as n', [], { maxRows: 5_000 })
    expect(more.rows).toHaveLength(5_000)
    expect(await limitOf(tm.sql('select 1 as n union all select 2', [], { maxRows: 1 }))).toMatch(/^TM_LIMIT/)
    await expect(tm.sql('select 1', [], { maxRows: 0 })).rejects.toMatchObject({ code: 'TM_QUERY' })

    const insert = `insert into points select timestamptz '2026-01-01Z' + i * interval '1 second', i
      from generate_series(1, 2000) as i returning n`
    expect(await limitOf(tm.sql(insert))).toMatch(/^TM_LIMIT/)
    const left = () => test.db.query(raw('select count(*) from points')).then(({ rows }) => rows[0]![0])
    await expect.poll(left).toBe(0n)
  })

  it('has at most limits.maxAnswerBytes, and holds no more of what comes', async () => {
    const { tm } = engine
    const wide = `select repeat('x', 100000) as x, i from generate_series(1, 900) as i`
    expect(await limitOf(tm.sql(wide))).toMatch(/^TM_LIMIT: .*size of the rows.*limits\.maxAnswerBytes/)
    // the connections that were given up are made anew
    for (let i = 0; i < 6; i += 1) expect(await limitOf(tm.sql(wide))).toMatch(/^TM_LIMIT/)
    expect((await tm.sql('select 1 as n')).rows).toEqual([{ n: 1 }])
  })

  it('is one statement; errors have their codes; a signal ends it', async () => {
    const { tm } = engine
    await expect(tm.sql('select 1; select 2')).rejects.toMatchObject({ code: 'TM_DATABASE' })
    await expect(tm.sql('select * from nowhere')).rejects.toMatchObject({
      code: 'TM_DATABASE',
      params: { sqlstate: '42P01' },
    })
    const stop = new AbortController()
    const asked = tm.sql('select pg_sleep(60)', [], { signal: stop.signal })
    setTimeout(() => stop.abort(), 300)
    await expect(asked).rejects.toMatchObject({ code: 'TM_CANCELLED' })
    // the server has heard of it, too
    const sleepers = () =>
      engine.test.db
        .query(
          raw(`select count(*) from pg_stat_activity where datname = current_database() and state = 'active'
            and query = 'select pg_sleep(60)'`),
        )
        .then(({ rows }) => rows[0]![0])
    await expect.poll(sleepers).toBe(0n)
    await expect(tm.sql('select pg_sleep(60)', [], { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'TM_TIMEOUT',
    })
  })

  it('a connection that the server ends, idle or not, is no end of the process', async () => {
    const { tm, test } = engine
    const sleeping = [
      sql`select pg_sleep(60)`.execute(tm.kysely()),
      tm
        .kysely()
        .transaction()
        .execute((transaction) => sql`select pg_sleep(60)`.execute(transaction)),
      tm.sql('select pg_sleep(60)'),
    ]
    const ended = Promise.allSettled(sleeping)
    const others = `datname = current_database() and application_name <> 'tidemark'`
    const count = (what: string) => async () =>
      (await test.db.query(raw(`select count(${what}) from pg_stat_activity where ${others}`))).rows[0]![0]
    await expect.poll(count(`*) filter (where query = 'select pg_sleep(60)'`)).toBe(3n)
    await count('pg_terminate_backend(pid)')()
    expect((await ended).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    // and those that nobody uses
    await expect.poll(() => limitOf(tm.sql('select 1'))).toBeNull()
    await count('pg_terminate_backend(pid)')()
    await expect.poll(() => limitOf(tm.sql('select 1'))).toBeNull()
  })
})
