import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer, listen } from '../../src/api/index.ts'
import { metricTable } from '../../src/observe/index.ts'
import { anyFreePort } from '../../src/postgres/embedded/port.ts'
import { allTenants, defineConfig, hypertable, type TenantScope, t } from '../../src/schema/index.ts'
import { type RunningPrometheus, startPrometheus } from '../helpers/prometheus.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), tenant: t.text(), latency_ms: t.float8() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
  freeze: { after: '7 days' },
  retain: '1 year',
})
const config = defineConfig({ datasets: [requests], server: { auth: { keys: true } } })

let engine: TestEngine<typeof config>
let app: FastifyInstance
let base: string
let operator: string
beforeAll(async () => {
  engine = await createTestEngine(config)
  app = await createServer(engine.tm)
  base = await listen(app, { host: '127.0.0.1', port: 0 })
  operator = await makeKey(allTenants)
})
afterAll(async () => {
  await app.close()
  await engine.close()
})

async function makeKey(tenant: TenantScope): Promise<string> {
  const wanted = { name: 'of the test', scopes: ['admin', 'ingest', 'query'], tenant } as const
  const { secret } = await engine.tm.access.keys.create(
    { ...wanted, datasets: null, expiresAt: null },
    { kind: 'cli', id: 'test', tenant: allTenants, datasets: null, requestId: null, address: null },
  )
  return secret
}

const get = (path: string, key: string | null) =>
  fetch(`${base}${path}`, { headers: key === null ? {} : { authorization: `Bearer ${key}` } })

it.each(['/metrics', '/api/v1/slow-queries'])(
  '%s is for those who run the place, not for one tenant',
  async (path) => {
    expect((await get(path, null)).status).toBe(401)
    const one = await get(path, await makeKey({ kind: 'one', tenant: 'acme' }))
    expect([one.status, await one.json()]).toMatchObject([403, { code: 'TM_FORBIDDEN' }])
    expect((await get(path, operator)).status).toBe(200)
    for (const open of ['/healthz', '/readyz']) expect((await get(open, null)).status).toBe(200)
  },
)

const program = '/usr/bin/prometheus'
const isInstalled = existsSync(program)
if (!isInstalled) console.log(`skipped: ${program} is absent (apt-get install prometheus)`)

describe.skipIf(!isInstalled)('a real Prometheus', () => {
  let folder: string
  let prometheus: RunningPrometheus
  let web: string
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tidemark-scrape-'))
    web = `127.0.0.1:${await anyFreePort()}`
    writeFileSync(join(folder, 'key'), operator)
    const config = JSON.stringify({
      global: { scrape_interval: '1s', evaluation_interval: '1s' },
      rule_files: [fileURLToPath(new URL('../../deploy/prometheus/alerts.yml', import.meta.url))],
      scrape_configs: [
        {
          job_name: 'tidemark',
          authorization: { credentials_file: join(folder, 'key') },
          static_configs: [{ targets: [base.replace('http://', '')] }],
        },
      ],
    })
    prometheus = startPrometheus(program, { folder, web, config })
  })
  afterAll(async () => {
    await prometheus.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  const ask = async (path: string): Promise<unknown> => {
    try {
      const answer = await fetch(`http://${web}/api/v1/${path}`)
      return ((await answer.json()) as { data: unknown }).data
    } catch {
      // it is not up yet
      return null
    }
  }
  const sampleOf = async (query: string): Promise<number | null> => {
    const data = (await ask(`query?${new URLSearchParams({ query })}`)) as {
      result: { value: [number, string] }[]
    } | null
    const [first] = data?.result ?? []
    return first === undefined ? null : Number(first.value[1])
  }

  it('scrapes with a key, has every metric, and evaluates rules and board', async () => {
    await engine.tm.ingest(requests, [{ time: new Date(), tenant: 'acme', latency_ms: 1 }])
    await engine.tm.createWorker().runOnce({ force: true })
    await expect.poll(() => sampleOf('tidemark_job_runs_total{job_name="freeze"}'), { interval: 250 }).toBe(1)
    expect(await sampleOf('up{job="tidemark"}')).toBe(1)
    expect(await sampleOf('tidemark_up')).toBe(1)
    expect(await sampleOf('sum(tidemark_ingest_rows_total{outcome="inserted"})')).toBe(1)
    const names = new Set((await ask('label/__name__/values')) as string[])
    const always = Object.values(metricTable)
      .flatMap((group) => Object.values(group))
      // what has happened, or is declared, here
      .filter(
        ({ name }) =>
          !/aggregate|question|redis|slow|alarms|compression|feed_lag|errors_total|_query_|queries/.test(
            name,
          ),
      )
      .map(({ name, type }) => (type === 'histogram' ? `${name}_bucket` : name))
    expect(always.filter((name) => !names.has(name))).toEqual([])
    const { groups } = (await ask('rules?type=alert')) as {
      groups: { rules: { name: string; health: string; state: string; lastError?: string }[] }[]
    }
    const rules = groups.flatMap(({ rules }) => rules)
    expect(rules.filter(({ health }) => health !== 'ok')).toEqual([])
    expect(rules.filter(({ state }) => state === 'firing')).toEqual([])
    const board = JSON.parse(
      readFileSync(new URL('../../deploy/grafana/tidemark.json', import.meta.url), 'utf8'),
    ) as { panels: { title: string; targets?: { expr: string }[] }[] }
    const shown = [
      'Chunks',
      'Rows',
      'Requests by status',
      'PostgreSQL reached',
      'Sync lag',
      'Connections to PostgreSQL',
    ]
    for (const { title, targets = [] } of board.panels) {
      const [first] = targets
      if (first === undefined || !shown.includes(title)) continue
      const query = first.expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$\w+/g, '.*')
      await expect.poll(() => sampleOf(query), { message: title, interval: 250 }).not.toBeNull()
    }
    expect(prometheus.log()).not.toMatch(/level=(error|warn)/)
  })
})
