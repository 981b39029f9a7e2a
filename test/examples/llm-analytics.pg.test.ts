import { existsSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { askAggregates, refreshAggregates } from '../../examples/llm-analytics/aggregates.ts'
import { askHub, freezeHub } from '../../examples/llm-analytics/freeze.ts'
import { type LoadReport, loadHub, realLogs } from '../../examples/llm-analytics/load.ts'
import config, {
  costTracking,
  errorLogs,
  hourlyRequestStats,
  llmRequests,
  metadata,
  modelPerformance,
  systemEvents,
  tokenUsage,
} from '../../examples/llm-analytics/tidemark.config.ts'
import { count as counted, percentile, uniques } from '../../src/index.ts'
import { raw } from '../../src/util/sql.ts'
import { isLane, sharedDataAbsent } from '../helpers/shared-data.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { askBoards } from './ask-boards.ts'

let engine: TestEngine<typeof config>

const one = async (text: string): Promise<unknown> => (await engine.test.db.query(raw(text))).rows[0]?.[0]
const count = (table: string): Promise<unknown> => one(`select count(*)::int4 from ${table}`)

describe('the LLM analytics hub', () => {
  let first: LoadReport
  beforeAll(async () => {
    engine = await createTestEngine(config)
    first = await loadHub(engine.tm, '/there/are/no/logs/')
  })
  afterAll(() => engine.close())

  it('has the tables, indexes, views and policies of its schema', async () => {
    const { test } = engine
    const policies = await test.db.query(
      raw(`select schema_name || '.' || table_name, definition ->> 'chunk', definition #>> '{freeze,after}',
          definition ->> 'retain'
        from tidemark.hypertable order by 1`),
    )
    expect(policies.rows).toEqual([
      ['analytics.model_performance', '7 days', null, null],
      ['events.error_logs', '1 day', '14 days', '180 days'],
      ['events.system_events', '1 day', '7 days', '90 days'],
      ['metrics.cost_tracking', '1 day', '30 days', '730 days'],
      ['metrics.llm_requests', '1 day', '7 days', '365 days'],
      ['metrics.token_usage', '1 day', '7 days', '365 days'],
    ])
    const { rows } = await test.db.query(
      raw(`select string_agg(distinct a.attname, ',' order by a.attname)
        from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
        where i.indrelid = 'metrics.llm_requests'::regclass`),
    )
    expect(rows[0]?.[0]).toBe('model,provider,status,time,user_id')
    expect(await one(`select relkind::text from pg_class where oid = 'analytics.metadata'::regclass`)).toBe(
      'r',
    )
    for (const view of ['recent_requests', 'top_models_by_usage'])
      expect(await one(`select relkind::text from pg_class where oid = 'analytics.${view}'::regclass`)).toBe(
        'v',
      )
  })

  it('answers on generated requests, says that they are, and loads again to the same rows', async () => {
    const { tm, test } = engine
    for (const load of [1, 2]) {
      const report = load === 1 ? first : await loadHub(tm, '/there/are/no/logs/')
      expect(report).toEqual({ source: 'generated', requests: 30_000, deadLetters: {} })
      expect(await count(tokenUsage.name)).toBe(60_000)
      expect(await count(costTracking.name)).toBe(30_000)
      expect(await count(errorLogs.name)).toBe(await count(`${llmRequests.name} where status <> 'ok'`))
      expect(await count(systemEvents.name)).toBe(load)
    }
    expect((await tm.query(metadata, {})).rows).toMatchObject([
      { key: 'source', value: { source: 'generated' } },
    ])
    expect(await count('analytics.recent_requests')).toBeGreaterThan(0)
    expect(await count('analytics.top_models_by_usage')).toBe(4)
    const { rows } = await tm.query(llmRequests, {
      by: ['model'],
      select: { requests: { fn: 'count' }, tokens: { fn: 'sum', column: 'completion_tokens' } },
      order: ['-requests'],
    })
    const naive = await test.db.query(
      raw(`select model, count(*)::int4, sum(completion_tokens)::int8
        from metrics.llm_requests group by model order by 2 desc`),
    )
    expect(rows.map((r) => [r.model, r.requests, BigInt(r.tokens ?? 0)])).toEqual(
      naive.rows.map(([model, requests, tokens]) => [model, requests, BigInt(tokens as bigint)]),
    )
  })

  it('keeps its three aggregates, whose answers are those of the rows, also in SQL', {
    timeout: 180_000,
  }, async () => {
    const { tm, test } = engine
    await refreshAggregates(tm)
    const { latency, costs, errors } = await askAggregates(tm)
    expect(latency.plan.parts.map(({ source }) => source)).toContain(hourlyRequestStats.name)

    const raws = await tm.query(llmRequests, {
      bucket: '1 month',
      by: ['model'],
      select: {
        requests: counted(),
        p50: percentile('latency_ms', 0.5),
        p95: percentile('latency_ms', 0.95),
        p99: percentile('latency_ms', 0.99),
        users: uniques('user_id'),
      },
      order: ['bucket', '-requests', 'model'],
      limit: 12,
    })
    expect(latency.rows).toEqual(raws.rows)
    expect(
      latency.rows.every(
        ({ p50, p95, p99, users }) => p50 && p95 && p99 && p50 < p95 && p95 < p99 && users > 1,
      ),
    ).toBe(true)
    const dear = await test.db.query(
      raw(`select sum(cost_usd)::text, count(*)::int4 from metrics.cost_tracking
        group by tidemark.time_bucket('1 day', time) order by sum(cost_usd) desc limit 7`),
    )
    expect(costs.rows.map(({ cost, requests }) => [cost, requests])).toEqual(dear.rows)
    expect(errors.rows.reduce((sum, row) => sum + row.errors, 0)).toBe(await count(errorLogs.name))

    const inSql = await tm.sql(`select sum(requests)::int4 as requests from aggregates.hourly_request_stats`)
    expect(inSql.rows).toEqual([{ requests: 30_000 }])
    const every = await test.db.query(
      raw(`select definition #>> '{refresh,every}' from tidemark.aggregate_version order by id`),
    )
    expect(every.rows.flat().sort()).toEqual(['1 day', '1 hour', '15 minutes'])
  })

  it('shows each panel of its board', async () => {
    const rows = await askBoards(engine.tm, 'llm-analytics')
    expect(Object.entries(rows).filter(([, count]) => count === 0)).toEqual([])
  })

  it('freezes what is old, says what that saves, and answers the same', async () => {
    const { tm } = engine
    const before = await askHub(tm)
    expect(await freezeHub(tm)).toMatch(
      /^metrics.llm_requests: 1\d,\d{3} rows of \d chunks, .* with indexes -> .*, [\d.]+ : 1$/,
    )
    const after = await askHub(tm)
    expect(after.models.rows).toEqual(before.models.rows)
    expect(after.costs.rows).toEqual(before.costs.rows)
    expect(new Set(after.models.plan.parts.map(({ source }) => source))).toEqual(new Set(['cold', 'hot']))
    expect((await tm.verify()).problems).toEqual([])
  }, 60_000)
})

// what differs from generated ones hangs on the files, not on the version of PostgreSQL
if (isLane('last'))
  describe('the LLM analytics hub, of real logs', () => {
    beforeAll(async () => {
      engine = await createTestEngine(config)
    })
    afterAll(() => engine.close())

    it('holds every real request or its dead letter', { timeout: 120_000 }, async ({ skip }) => {
      skip(!existsSync(realLogs), sharedDataAbsent)
      const report = await loadHub(engine.tm)
      // 28,185 requests of Azure and 5,563 of aider, 22 of them to a model called "None"
      expect(report).toEqual({
        source: 'real logs',
        requests: 28_185 + 5_563 - 22,
        deadLetters: { null: 22 },
      })
      const { rows } = await engine.test.db.query(
        raw(`select column_name, value, count(*)::int4 from tidemark.dead_letter group by 1, 2`),
      )
      expect(rows).toEqual([['model', 'None', 22]])
      expect(await count(`${llmRequests.name} where model = 'azure-code'`)).toBe(8_819)
      expect(await count(`${llmRequests.name} where model = 'azure-conv'`)).toBe(19_366)
      expect(await count(`${llmRequests.name} where provider = 'aider' and cost_usd is not null`)).toBe(
        await count(costTracking.name),
      )
      expect(await count(tokenUsage.name)).toBe(2 * report.requests)
      expect(await one(`select sum(samples)::int4 from ${modelPerformance.name}`)).toBe(report.requests)
    })
  })
