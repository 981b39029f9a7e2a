import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import protobuf from 'protobufjs'
import { compress } from 'snappyjs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createServer, listen } from '../../src/api/index.ts'
import { anyFreePort } from '../../src/postgres/embedded/port.ts'
import { defineConfig, samplesTable } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { type RunningPrometheus, startPrometheus } from '../helpers/prometheus.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const samples = samplesTable('metrics.samples')
const config = defineConfig({
  datasets: [samples],
  ingest: { prometheus: samples, maxPending: '1MB', maxWait: '100 milliseconds' },
})

let engine: TestEngine<typeof config>
let app: FastifyInstance
let base: string
beforeAll(async () => {
  engine = await createTestEngine(config)
  app = await createServer(engine.tm)
  base = await listen(app, { host: '127.0.0.1', port: 0 })
})
afterAll(async () => {
  await app.close()
  await engine.close()
})

const { root } = protobuf.parse(`
  syntax = "proto3";
  message WriteRequest { repeated TimeSeries timeseries = 1; }
  message TimeSeries { repeated Label labels = 1; repeated Sample samples = 2; }
  message Label { string name = 1; string value = 2; }
  message Sample { double value = 1; int64 timestamp = 2; }
`)
const writeRequest = root.lookupType('WriteRequest')

function bodyOf(...series: readonly (readonly [labels: Record<string, string>, value: number])[]): Buffer {
  const timeseries = series.map(([labels, value]) => ({
    labels: Object.entries(labels).map(([name, text]) => ({ name, value: text })),
    samples: [{ value, timestamp: 1_767_225_600_123 }],
  }))
  const message = writeRequest.encode(writeRequest.fromObject({ timeseries })).finish()
  return Buffer.from(compress(Buffer.from(message)))
}

const post = (body: Buffer, path = '/api/v1/prometheus/write', headers: Record<string, string> = {}) =>
  fetch(`${base}${path}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy', ...headers },
  })
const storedOf = async (metric: string) =>
  (
    await engine.test.db.query(sql`
    select series, value from metrics.samples where metric = ${metric}::text order by series`)
  ).rows

describe('remote write', () => {
  it('is taken at both paths, and written once when it comes again', async () => {
    const body = bodyOf([{ __name__: 'up', job: 'a' }, 1])
    for (const path of ['/api/v1/prometheus/write', '/api/v1/write', '/api/v1/prometheus/write']) {
      const answer = await post(body, path)
      expect([answer.status, await answer.text()]).toEqual([204, ''])
    }
    expect(await storedOf('up')).toEqual([['up{job="a"}', 1]])
  })

  it('with a bad sample: the others are stored, and 400 says not to send it again', async () => {
    const answer = await post(bodyOf([{ __name__: 'good' }, 2], [{ job: 'no name' }, 1]))
    expect([answer.status, await answer.text()]).toEqual([
      400,
      expect.stringMatching(/^1 of 2 samples were not taken .*has no name/),
    ])
    expect(await storedOf('good')).toEqual([['good', 2]])
    const { rows } = await engine.test.db.query(sql`select dataset, file, reason from tidemark.dead_letter`)
    expect(rows).toEqual([['metrics.samples', 'prometheus', 'null']])
  })

  it.each([
    [Buffer.from('nothing of the kind'), {}, 400, /^TM_BODY: .*snappy/],
    [bodyOf([{ __name__: 'x' }, 1]), { 'content-encoding': 'identity' }, 415, /^TM_MEDIA_TYPE: .*snappy/],
  ])('that is none is refused for good', async (body, headers, status, message) => {
    const answer = await post(body, undefined, headers as Record<string, string>)
    expect([answer.status, await answer.text()]).toEqual([status, expect.stringMatching(message)])
  })

  it('for which there is no room is to be sent again after some seconds', async () => {
    const blocker = await engine.test.connect()
    try {
      await blocker.execute('begin; lock table metrics.samples in access exclusive mode')
      const first = post(bodyOf([{ __name__: 'first' }, 1]))
      await expect.poll(() => engine.tm.ingestState.pendingRows).toBe(1)
      // what it would take as rows is more than all there is, so it has to have it for itself alone
      const body = bodyOf(
        ...Array.from({ length: 3000 }, () => [{ __name__: 'second', id: randomText(100) }, 1] as const),
      )
      const answer = await post(body)
      expect([answer.status, answer.headers.get('retry-after')]).toEqual([
        503,
        expect.stringMatching(/^\d+$/),
      ])
      expect(await answer.text()).toMatch(/^TM_OVERLOADED: /)
      await blocker.execute('rollback')
      expect((await first).status).toBe(204)
      expect((await post(body)).status).toBe(204)
    } finally {
      await blocker.close()
    }
  })
})

function randomText(length: number): string {
  return Array.from({ length }, () => Math.floor(Math.random() * 36).toString(36)).join('')
}

it('what is not declared says what to declare', async () => {
  const other = await createTestEngine(defineConfig({ datasets: [samples] }))
  const server = await createServer(other.tm)
  try {
    for (const url of ['/api/v1/write', '/api/v1/prometheus/write']) {
      const answer = await server.inject({ method: 'POST', url, payload: 'x' })
      expect([answer.statusCode, answer.json().detail]).toEqual([
        404,
        expect.stringContaining('declare ingest.prometheus'),
      ])
    }
  } finally {
    await server.close()
    await other.close()
  }
})

const program = '/usr/bin/prometheus'
const isInstalled = existsSync(program)
if (!isInstalled) console.log(`skipped: ${program} is absent (apt-get install prometheus)`)

/** Prometheus's own rate is extrapolated to the ends of its window: half an interval at each end, of twelve. */
const tolerance = 1 / 12

describe.skipIf(!isInstalled)('a real Prometheus', () => {
  let folder: string
  let target: Server
  let prometheus: RunningPrometheus
  let web: string
  const started = Date.now()

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tidemark-prometheus-'))
    target = createHttpServer((_request, response) => {
      // far from 0, below which Prometheus does not extrapolate
      const ms = 1e6 + Date.now() - started
      response.end(`# TYPE work_total counter\nwork_total{kind="a"} ${ms}\nwork_total{kind="b"} ${ms * 3}\n`)
    })
    await new Promise<void>((resolve) => target.listen(0, '127.0.0.1', resolve))
    const { port } = target.address() as AddressInfo
    web = `127.0.0.1:${await anyFreePort()}`
    const config = [
      'global: { scrape_interval: 500ms, scrape_timeout: 450ms }',
      'scrape_configs:',
      `  - { job_name: tidemark, static_configs: [{ targets: ['127.0.0.1:${port}'] }] }`,
      'remote_write:',
      `  - { url: '${base}/api/v1/prometheus/write', queue_config: { batch_send_deadline: 100ms, max_shards: 1 } }`,
    ].join('\n')
    prometheus = startPrometheus(program, { folder, web, config })
  })
  afterAll(async () => {
    await prometheus.stop()
    target.closeAllConnections()
    await new Promise((resolve) => target.close(resolve))
    rmSync(folder, { recursive: true, force: true })
  })

  const stored = async () =>
    (
      await engine.test.db.query(sql`
      select labels->>'kind', (extract(epoch from time) * 1000)::int8::text, value
      from metrics.samples
      where metric = 'work_total'
      order by labels->>'kind', time`)
    ).rows as [string, string, number][]
  const ask = async (query: string, time: number) => {
    const answer = await fetch(
      `http://${web}/api/v1/query?${new URLSearchParams({ query, time: String(time) })}`,
    )
    const { data } = (await answer.json()) as {
      data: { result: { metric: { kind: string }; value: [number, string]; values: [number, string][] }[] }
    }
    return data.result
  }

  it('writes every sample that it has itself, and both say the same rate', async () => {
    await expect
      .poll(async () => (await stored()).length, { timeout: 45_000, interval: 200 })
      .toBeGreaterThanOrEqual(2 * 14)
    expect(prometheus.log()).not.toContain('level=error')
    const rows = await stored()
    const last = Math.max(...rows.map(([, time]) => Number(time)))
    const to = (last + 1) / 1000
    const from = to - 6.5
    const within = rows.filter(([, time]) => Number(time) / 1000 > from && Number(time) <= last)

    const theirs = (await ask('work_total[6500ms]', to)).flatMap(({ metric, values }) =>
      values.map(([time, value]) => [metric.kind, String(Math.round(time * 1000)), Number(value)]),
    )
    expect(within).toEqual(theirs)

    const rates = await ask('rate(work_total[6500ms])', to)
    const answer = await engine.tm.queryUnknown('metrics.samples', {
      from: new Date(from * 1000).toISOString(),
      to: new Date(to * 1000).toISOString(),
      where: { metric: 'work_total' },
      bucket: null,
      by: ['series'],
      select: { rate: { fn: 'rate', column: 'value' } },
    })
    for (const [kind, expected] of [
      ['a', 1000],
      ['b', 3000],
    ] as const) {
      const theirRate = Number(rates.find(({ metric }) => metric.kind === kind)!.value[1])
      const ours = answer.rows.find((row) => String(row['series']).includes(`kind="${kind}"`))![
        'rate'
      ] as number
      expect(Math.abs(ours / theirRate - 1)).toBeLessThan(tolerance)
      expect(Math.abs(ours / expected - 1)).toBeLessThan(0.25)
    }
  })
})
