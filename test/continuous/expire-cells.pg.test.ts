import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { expireCells } from '../../src/continuous/index.ts'
import { continuousAggregate, count, defineConfig, hypertable, sum, t } from '../../src/index.ts'
import type { Database } from '../../src/postgres/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { raw, sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('public.requests', {
  columns: { time: t.timestamptz(), model: t.text(), ms: t.int8() },
  time: 'time',
  chunk: '1 day',
  indexes: [{ columns: ['time'] }],
  retain: '10 days',
})
const hourly = continuousAggregate('public.hourly', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: { n: count(), total: sum('ms') },
  refresh: { every: '1 minute' },
  retain: '2 days',
})
const kept = continuousAggregate('public.kept', {
  from: requests,
  bucket: '1 hour',
  by: ['model'],
  select: { n: count(), total: sum('ms') },
  refresh: { every: '1 minute' },
  retain: '20 days',
})
const clock = fixedClock(0n)
const models = 5

describe('old cells go away in several transactions', () => {
  let engine: TestEngine
  beforeEach(async () => {
    clock.set(parseInstant('2026-01-02T12:30:00Z'))
    engine = await createTestEngine(defineConfig({ datasets: [requests, hourly, kept] }), { clock })
    await engine.tm.insertUnknown(
      'requests',
      Array.from({ length: 48 * models * 2 }, (_, i) => ({
        time: parseInstant('2026-01-01T00:00:00Z') + BigInt(Math.floor(i / models / 2)) * 3_600_000_000n,
        model: `m${i % models}`,
        ms: i,
      })),
    )
    await engine.tm.refresh('hourly')
    await engine.tm.refresh('kept')
  })
  afterEach(() => engine.close())

  /** Calls `look` after each transaction, as somebody on another connection would. */
  const lookingBetween = (look: () => Promise<void>): Database => ({
    ...engine.test.db,
    query: (...args) => engine.test.db.query(...args),
    transaction: async (...args) => {
      const done = await engine.test.db.transaction(...(args as Parameters<Database['transaction']>))
      await look()
      return done as never
    },
  })
  const cellsOf = async (relation: 'hourly_1' | 'kept_1') =>
    (await engine.test.db.query(raw(`select count(*) from tidemark_aggregates.${relation}`))).rows[0]![0]
  const select = { n: { fn: 'count' }, total: { fn: 'sum', column: 'ms' } }
  const ofModels = { bucket: '1 hour', by: ['model'], select, order: ['bucket', 'model'] }
  const fromRows = async () =>
    (
      await engine.tm.queryUnknown('requests', {
        ...ofModels,
        // no aggregate keeps it, so that rows are read
        select: { ...select, rows: { fn: 'countDistinct', column: 'ms' } },
      })
    ).rows.map(({ rows: _, ...row }) => row)

  it('in between every answer is what the rows give', async () => {
    clock.set(parseInstant('2026-01-04T06:00:00Z'))
    const expected = await fromRows()
    const left: unknown[] = []
    const db = lookingBetween(async () => {
      left.push(await cellsOf('hourly_1'))
      expect((await engine.tm.queryUnknown('requests', ofModels)).rows).toEqual(expected)
      expect((await engine.tm.queryUnknown('hourly', {})).rows).toEqual(expected)
      const { rows } = await engine.test.db.query(
        sql`select sum(n)::int8, sum(total)::int8 from public.hourly`,
      )
      expect(rows).toEqual([[480n, BigInt((480 * 479) / 2)]])
    })
    // 30 hours are past; each transaction takes two whole buckets of the ten cells that twelve allow
    expect(await expireCells({ db, clock }, hourly, null, 12)).toBe(30 * models)
    expect(left).toHaveLength(15)
    expect(left).toEqual(Array.from({ length: 15 }, (_, i) => BigInt(48 * models - (i + 1) * 2 * models)))
    expect(await expireCells({ db, clock }, hourly, null, 12)).toBe(0)
  })

  it('a bucket with more cells than a transaction should drop goes as a whole, also where its rows are gone', async () => {
    clock.set(parseInstant('2026-01-12T12:30:00Z'))
    expect(await engine.tm.expire('requests')).toMatchObject({ chunks: 1, held: [] })
    clock.set(parseInstant('2026-01-21T06:00:00Z'))
    const seen: number[] = []
    const db = lookingBetween(async () => {
      const { rows } = await engine.tm.queryUnknown('kept', { to: '2026-01-02T00:00:00Z' })
      expect(rows.length % models).toBe(0)
      seen.push(rows.length / models)
    })
    expect(await expireCells({ db, clock }, kept, null, models - 2)).toBe(6 * models)
    expect(seen).toEqual([23, 22, 21, 20, 19, 18])
  })

  it('stopped in between, the next run goes on', async () => {
    clock.set(parseInstant('2026-01-04T06:00:00Z'))
    const stop = new AbortController()
    let transactions = 0
    const db = lookingBetween(async () => {
      if (++transactions === 2) stop.abort()
    })
    await expect(expireCells({ db, clock }, hourly, stop.signal, models)).rejects.toMatchObject({
      code: 'TM_CANCELLED',
    })
    expect(await cellsOf('hourly_1')).toBe(BigInt(46 * models))
    expect(await expireCells({ db: engine.test.db, clock }, hourly)).toBe(28 * models)
    expect((await engine.tm.queryUnknown('hourly', {})).rows).toEqual(await fromRows())
  })
})
