import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { metricTable } from '../../src/observe/index.ts'

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url))
const rules = path('deploy/prometheus/alerts.yml')
const text = readFileSync(rules, 'utf8')
const alerts = [...text.matchAll(/- alert: (\w+)/g)].map(([, name]) => name!)

const promtool = '/usr/bin/promtool'
const isInstalled = existsSync(promtool)
if (!isInstalled) console.log(`skipped: ${promtool} is absent (apt-get install prometheus)`)

/** By name: of what it fires, and what is near to that and is well. Values are promtool's: `0+6x60` grows by 6 a minute, 60 times. */
const cases: Readonly<
  Record<string, { readonly fires: Series | readonly Series[]; readonly quiet: Series; readonly at?: string }>
> = {
  TidemarkServerDown: {
    fires: { 'up{job="tidemark"}': '0x60' },
    quiet: { 'up{job="tidemark"}': '1 0 1x60', 'up{job="other"}': '0x60' },
  },
  TidemarkDatabaseDown: { fires: { tidemark_up: '0x60' }, quiet: { tidemark_up: '1 0 1x60' } },
  TidemarkErrors: {
    fires: requests({ 200: 60, 500: 1 }),
    // one in 200, and those that were told to come again
    quiet: requests({ 200: 600, 500: 3, 429: 60 }),
  },
  TidemarkQueriesSlow: { fires: queries(100, 80), quiet: queries(100, 95) },
  TidemarkPoolExhausted: {
    fires: { tidemark_pool_waiting_calls: '3x60' },
    // it comes to rest in between
    quiet: { tidemark_pool_waiting_calls: '9 9 9 0 9 9 9 0 9 9 9 0 9 9 9 0 9 9 9 0x60' },
  },
  TidemarkRedisDown: { fires: { tidemark_redis_up: '0x60' }, quiet: { tidemark_redis_up: '1x60' } },
  TidemarkFeedBehind: {
    fires: { tidemark_feed_lag_seconds: '90x60' },
    quiet: { tidemark_feed_lag_seconds: '2x60' },
  },
  TidemarkBackPressure: {
    fires: { ...requests({ 201: 6000, 503: 1 }, 'POST') },
    quiet: {
      ...requests({ 201: 60 }, 'POST'),
      tidemark_ingest_pending_bytes: '80x60',
      tidemark_ingest_pending_max_bytes: '100x60',
    },
  },
  TidemarkDeadLettersGrowing: { fires: rows(100, 5), quiet: rows(1000, 5) },
  TidemarkSpoolFilling: {
    fires: { tidemark_spool_bytes: '60x60', tidemark_spool_max_bytes: '100x60' },
    quiet: { tidemark_spool_bytes: '40x60', tidemark_spool_max_bytes: '100x60' },
  },
  TidemarkSpoolStalled: {
    fires: { tidemark_spool_stalled: '1x60' },
    quiet: { tidemark_spool_stalled: '0 1 1 0x60' },
  },
  TidemarkCommitsSlow: { fires: commits(100, 90), quiet: commits(100, 100) },
  TidemarkRefreshBehind: {
    fires: { 'tidemark_aggregate_lag_seconds{aggregate="a.b"}': '4000+60x60' },
    quiet: { 'tidemark_aggregate_lag_seconds{aggregate="a.b"}': '0+60x50 0x20' },
  },
  TidemarkRefreshFailing: {
    fires: { 'tidemark_aggregate_refresh_failures{aggregate="a.b"}': '3x60' },
    quiet: { 'tidemark_aggregate_refresh_failures{aggregate="a.b"}': '2x60' },
  },
  TidemarkFreezeBehind: {
    fires: { 'tidemark_freeze_lag_seconds{dataset="a.b"}': '22000+60x60' },
    quiet: { 'tidemark_freeze_lag_seconds{dataset="a.b"}': '900x60' },
  },
  TidemarkChunksFailing: {
    fires: { 'tidemark_failing_chunks{dataset="a.b"}': '1x80' },
    quiet: { 'tidemark_failing_chunks{dataset="a.b"}': '1x30 0x60' },
    at: '70m',
  },
  TidemarkRetentionWaiting: {
    fires: { 'tidemark_retention_lag_seconds{dataset="a.b"}': '90000+60x80' },
    quiet: { 'tidemark_retention_lag_seconds{dataset="a.b"}': '3600x80' },
    at: '70m',
  },
  TidemarkRowsOutsideChunks: {
    fires: { 'tidemark_default_partition_bytes{dataset="a.b"}': '8192x80' },
    quiet: { 'tidemark_default_partition_bytes{dataset="a.b"}': '8192x30 0x60' },
    at: '70m',
  },
  TidemarkLakeDiskFilling: {
    fires: { tidemark_lake_filesystem_free_bytes: '9x60', tidemark_lake_filesystem_size_bytes: '100x60' },
    // 0.01 a minute, of 80: it lasts for days
    quiet: {
      tidemark_lake_filesystem_free_bytes: '80-0.01x60',
      tidemark_lake_filesystem_size_bytes: '100x60',
    },
  },
  TidemarkReplicationSlotHoldsWal: {
    fires: { tidemark_replication_slot_retained_bytes: '20000000000x60' },
    quiet: { tidemark_replication_slot_retained_bytes: '1000000000x60' },
  },
  TidemarkOldTransaction: {
    fires: { tidemark_oldest_transaction_seconds: '4000+60x60' },
    quiet: { tidemark_oldest_transaction_seconds: '0+60x50 0x20' },
  },
  TidemarkChangeLogGrowing: {
    fires: { tidemark_change_log_bytes: '2000000000x80' },
    quiet: { tidemark_change_log_bytes: '200000000x80' },
    at: '70m',
  },
  TidemarkJobFailing: {
    fires: { 'tidemark_job_failures_in_a_row{job_name="freeze",dataset="a.b"}': '3x60' },
    quiet: { 'tidemark_job_failures_in_a_row{job_name="freeze",dataset="a.b"}': '1x60' },
  },
  TidemarkJobsNotRunning: {
    // promtool begins at 1970-01-01
    fires: [
      { 'tidemark_job_last_run_timestamp_seconds{job_name="freeze",dataset="a.b"}': '0x60' },
      // none ever has
      { tidemark_up: '1x60' },
    ],
    quiet: {
      'tidemark_job_last_run_timestamp_seconds{job_name="freeze",dataset="a.b"}': '0x60',
      'tidemark_job_last_run_timestamp_seconds{job_name="sweep",dataset=""}': '0+60x60',
    },
  },
  TidemarkAlarmOpen: {
    fires: { 'tidemark_alarms_open{kind="shadow"}': '1x60' },
    quiet: { 'tidemark_alarms_open{kind="shadow"}': '1x10 _x60' },
  },
  TidemarkAnswerWrong: {
    fires: { 'tidemark_shadow_checks_total{result="different"}': '0x30 1x30' },
    quiet: {
      'tidemark_shadow_checks_total{result="different"}': '1x60',
      'tidemark_shadow_checks_total{result="equal"}': '0+1x60',
    },
  },
}

type Series = Readonly<Record<string, string>>

function requests(perMinute: Readonly<Record<number, number>>, method = 'GET'): Series {
  const name = (status: string): string =>
    `tidemark_http_request_duration_seconds_count{method="${method}",route="/a",status="${status}"}`
  return Object.fromEntries(Object.entries(perMinute).map(([status, rate]) => [name(status), `0+${rate}x80`]))
}

function queries(all: number, quick: number): Series {
  const labels = 'kind="hypertable",tier="hot"'
  return {
    [`tidemark_query_duration_seconds_count{${labels}}`]: `0+${all}x80`,
    [`tidemark_query_duration_seconds_bucket{${labels},le="0.5"}`]: `0+${quick}x80`,
    [`tidemark_query_duration_seconds_bucket{${labels},le="+Inf"}`]: `0+${all}x80`,
  }
}

function commits(all: number, quick: number): Series {
  const name = 'tidemark_ingest_commit_duration_seconds_bucket{dataset="a.b",le='
  return {
    [`${name}"1"}`]: `0+${quick}x80`,
    [`${name}"5"}`]: `0+${all}x80`,
    [`${name}"+Inf"}`]: `0+${all}x80`,
  }
}

function rows(inserted: number, rejected: number): Series {
  const name = 'tidemark_ingest_rows_total{dataset="a.b",outcome='
  return { [`${name}"inserted"}`]: `0+${inserted}x80`, [`${name}"rejected"}`]: `0+${rejected}x80` }
}

/** Fewer tests take less time: series of different metrics do not meet. */
function together(all: readonly Series[]): Series[] {
  const metrics = (series: Series): string[] => Object.keys(series).map((name) => name.split('{')[0]!)
  const groups: Record<string, string>[] = []
  for (const series of all) {
    const free = groups.find((group) => !metrics(series).some((metric) => metrics(group).includes(metric)))
    if (free) Object.assign(free, series)
    else groups.push({ ...series })
  }
  return groups
}

it('every alert has a case of what it fires for', () => {
  expect(Object.keys(cases)).toEqual(alerts)
})

it('every metric of the rules is one of the server', () => {
  const known = new Set(
    Object.values(metricTable)
      .flatMap((group) => Object.values(group))
      .flatMap(({ name, type }) => (type === 'histogram' ? [`${name}_bucket`, `${name}_count`] : [name])),
  )
  const used = new Set([...text.matchAll(/\btidemark_\w+/g)].map(([name]) => name))
  expect([...used].filter((name) => !known.has(name))).toEqual([])
  expect(used.size).toBeGreaterThan(20)
})

it('what to do about each alert stands in the guide', () => {
  const guide = readFileSync(path('docs/guide/operating.md'), 'utf8')
  expect(alerts.filter((name) => !guide.includes(`\`${name}\``))).toEqual([])
  expect(guide).toContain('\n## Alerts\n')
})

describe.skipIf(!isInstalled)('promtool', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'tidemark-alerts-'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  it('takes the rules', () => {
    const { status, stdout } = spawnSync(promtool, ['check', 'rules', rules], { encoding: 'utf8' })
    expect([status, stdout]).toEqual([0, expect.stringContaining(`${alerts.length} rules found`)])
  })

  it('has each alert fire for what it is for, alone, and for nothing near it', () => {
    const given = (series: Series, evalTimes: readonly string[], samples: readonly object[]) => ({
      interval: '1m',
      input_series: Object.entries(series).map(([series, values]) => ({ series, values })),
      promql_expr_test: evalTimes.map((eval_time) => ({
        expr: 'count by (alertname) (ALERTS{alertstate="firing"})',
        eval_time,
        exp_samples: samples,
      })),
    })
    const all = Object.entries(cases)
    const tests = [
      ...all.flatMap(([name, { fires, at = '45m' }]) =>
        [fires].flat().map((series) => given(series, [at], [{ labels: `{alertname="${name}"}`, value: 1 }])),
      ),
      ...together(all.map(([, { quiet }]) => quiet)).map((series) => given(series, ['45m', '70m'], [])),
    ]
    // JSON is YAML
    const file = join(folder, 'alerts.test.yml')
    writeFileSync(file, JSON.stringify({ rule_files: [rules], evaluation_interval: '1m', tests }))
    const { status, stdout, stderr } = spawnSync(promtool, ['test', 'rules', file], { encoding: 'utf8' })
    expect(`${stdout}${stderr}`).toMatch(/SUCCESS\s*$/)
    expect(status).toBe(0)
  })
})
