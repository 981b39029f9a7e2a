import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { refreshAggregate } from '../../src/continuous/index.ts'
import { createTidemark } from '../../src/engine.ts'
import { createHotTier } from '../../src/hot/index.ts'
import { continuousAggregate, count, defineConfig, hypertable, max, sum, t } from '../../src/index.ts'
import type { Connection, Database } from '../../src/postgres/index.ts'
import { queryLimits } from '../../src/query/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { printSql, raw } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('public.requests', {
  columns: { time: t.timestamptz(), client: t.text().nullable(), code: t.int4().nullable(), ms: t.int8() },
  time: 'time',
  chunk: '1 day',
})
const daily = (more: object) =>
  continuousAggregate('public.daily', {
    from: requests,
    bucket: '1 day',
    by: ['client', 'code'],
    select: { n: count(), total: sum('ms'), ...more },
    refresh: { every: '1 minute' },
  })
const clock = fixedClock(parseInstant('2026-01-05T12:30:00Z'))

describe('before a new version takes the place of the current one', () => {
  let engine: TestEngine
  beforeEach(async () => {
    engine = await createTestEngine(defineConfig({ datasets: [requests, daily({})] }), { clock })
  })
  afterEach(() => engine.close())

  const fill = async (keys: number) => {
    await engine.tm.insertUnknown('requests', [
      { time: '2026-01-01T00:00:00Z', client: null, code: 1, ms: 1 },
    ])
    await engine.test.db.execute(`
      insert into public.requests
      select timestamptz '2026-01-01 01:00Z' + (i % 2) * interval '1 day', nullif('c' || (i % ${keys}), 'c3'),
        case when i % 7 > 0 then i % 7 end, i
      from generate_series(0, ${keys * 2 - 1}) as i`)
    await engine.tm.refresh('daily')
  }
  /** And how many cells were read for it. */
  const swap = async () => {
    const next = daily({ most: max('ms') })
    await using tm = await createTidemark(defineConfig({ datasets: [requests, next] }), {
      connectionString: engine.test.connectionString,
      root: engine.root,
      clock,
    })
    await tm.migrate()
    let rows = 0
    const counting = (connection: Connection): Connection =>
      new Proxy(connection, {
        get(target, name) {
          const value = Reflect.get(target, name) as unknown
          if (name !== 'query') return typeof value === 'function' ? value.bind(target) : value
          return async (...args: Parameters<Connection['query']>) => {
            const answer = await target.query(...args)
            if (printSql(args[0]).text.includes('tidemark_aggregates')) rows += answer.rows.length
            return answer
          }
        },
      })
    const db = new Proxy(engine.test.db, {
      get(target, name) {
        const value = Reflect.get(target, name) as unknown
        if (name === 'transaction')
          return (options: never, use: (connection: Connection) => Promise<unknown>) =>
            target.transaction(options, (connection) => use(counting(connection)))
        return typeof value === 'function' ? value.bind(target) : value
      },
    }) as Database
    const context = { tiers: [createHotTier()], clock, limits: queryLimits() }
    const { aggregates } = defineConfig({ datasets: [requests, next] })
    const definition = aggregates[0]!
    const report = await refreshAggregate({ ...context, db }, definition)
    return { swap: report.swap!, rows }
  }

  it('some cells of both are compared, however many there are', async () => {
    await fill(6_000)
    const { swap: done, rows } = await swap()
    expect(done).toMatchObject({ kind: 'swapped', problem: null, compared: 2 })
    // of some 12,000 in each
    expect(rows).toBeGreaterThan(500)
    expect(rows).toBeLessThan(4_000)
  })

  it.each([
    [
      'is another',
      `update tidemark_aggregates.daily_1 set state_0_n = state_0_n + 1 where key_0 is null`,
      /"n" is/,
    ],
    [
      'is missing in the current one',
      `delete from tidemark_aggregates.daily_1 where key_0 = 'c5'`,
      /is only in the new one/,
    ],
    [
      'is missing in the new one',
      `insert into tidemark_aggregates.daily_1 (bucket, key_0, key_1) values ('2026-01-02Z', 'more', null)`,
      /is only in the current one/,
    ],
  ])('a cell of few that %s is found', async (_, change, problem) => {
    await fill(20)
    await engine.test.db.query(raw(change))
    const { swap: done } = await swap()
    expect(done).toMatchObject({ kind: 'different', problem: expect.stringMatching(problem) })
  })
})
