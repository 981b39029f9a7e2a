import { gzipSync } from 'node:zlib'
import { OTLPLogExporter as LogsJson } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPLogExporter as LogsProtobuf } from '@opentelemetry/exporter-logs-otlp-proto'
import { OTLPMetricExporter as MetricsJson } from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPMetricExporter as MetricsProtobuf } from '@opentelemetry/exporter-metrics-otlp-proto'
import { OTLPTraceExporter as TracesJson } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as TracesProtobuf } from '@opentelemetry/exporter-trace-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs'
import { MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createServer, listen } from '../../src/api/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const metrics = hypertable('otel.metrics', {
  columns: {
    time: t.timestamptz(),
    metric: t.text(),
    value: t.float8().nullable(),
    attributes: t.jsonb(),
    service: t.text().nullable(),
  },
  time: 'time',
})
const logs = hypertable('otel.logs', {
  columns: {
    time: t.timestamptz(),
    severity: t.int2().nullable(),
    body: t.text().nullable(),
    user: t.int4().nullable(),
  },
  time: 'time',
})
const calls = hypertable('metrics.llm_requests', {
  columns: {
    time: t.timestamptz(),
    provider: t.text().nullable(),
    model: t.text().nullable(),
    status: t.text(),
    latency_ms: t.float8().nullable(),
    prompt_tokens: t.int4().nullable(),
  },
  time: 'time',
})
const config = defineConfig({
  datasets: [metrics, logs, calls],
  ingest: { otlp: { metrics, logs, genAi: calls } },
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
beforeEach(async () => {
  await engine.test.db.execute(
    'delete from otel.metrics; delete from otel.logs; delete from metrics.llm_requests; delete from tidemark.dead_letter',
  )
})

const resource = resourceFromAttributes({ 'service.name': 'shop' })
const rowsOf = async (text: ReturnType<typeof sql>) => (await engine.test.db.query(text)).rows

describe.each([['json'], ['protobuf']] as const)('OpenTelemetry’s own exporters in %s', (encoding) => {
  const options = (path: string) => ({ url: `${base}${path}`, compression: 'gzip' as never })

  it('write metrics', async () => {
    const exporter =
      encoding === 'json'
        ? new MetricsJson(options('/v1/metrics'))
        : new MetricsProtobuf(options('/v1/metrics'))
    const provider = new MeterProvider({
      resource,
      readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })],
    })
    provider.getMeter('m').createCounter('orders').add(3, { region: 'eu' })
    await provider.forceFlush()
    await provider.shutdown()
    expect(
      await rowsOf(sql`select distinct metric, value, attributes->>'region', service from otel.metrics`),
    ).toEqual([['orders', 3, 'eu', 'shop']])
  })

  it('write logs; a record that does not fit is told as partial success and kept', async () => {
    const exporter =
      encoding === 'json' ? new LogsJson(options('/v1/logs')) : new LogsProtobuf(options('/v1/logs'))
    const provider = new LoggerProvider({
      resource,
      processors: [new SimpleLogRecordProcessor({ exporter })],
    })
    const logger = provider.getLogger('app')
    logger.emit({
      severityNumber: 17,
      body: 'failed',
      attributes: { user: 7 },
      timestamp: [1_767_225_600, 0],
    })
    logger.emit({
      severityNumber: 9,
      body: 'odd',
      attributes: { user: 'seven' },
      timestamp: [1_767_225_600, 0],
    })
    await provider.forceFlush()
    await provider.shutdown()
    expect(await rowsOf(sql`select severity, body, "user" from otel.logs`)).toEqual([[17, 'failed', 7]])
    expect(await rowsOf(sql`select dataset, file, column_name from tidemark.dead_letter`)).toEqual([
      ['otel.logs', 'otlp logs', 'user'],
    ])
  })

  it('write the spans that are calls to models, and no others', async () => {
    const exporter =
      encoding === 'json' ? new TracesJson(options('/v1/traces')) : new TracesProtobuf(options('/v1/traces'))
    const provider = new BasicTracerProvider({
      resource,
      spanProcessors: [new SimpleSpanProcessor(exporter)],
    })
    const tracer = provider.getTracer('llm')
    const startTime: [number, number] = [1_767_225_600, 0]
    const attributes = {
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'openai',
      'gen_ai.request.model': 'gpt-4o',
      'gen_ai.usage.input_tokens': 120,
    }
    tracer.startSpan('chat', { startTime, attributes }).end([1_767_225_601, 500_000])
    tracer.startSpan('plain', { startTime }).end([1_767_225_600, 1000])
    await provider.forceFlush()
    await provider.shutdown()
    expect(
      await rowsOf(sql`select provider, model, status, latency_ms, prompt_tokens from metrics.llm_requests`),
    ).toEqual([['openai', 'gpt-4o', 'ok', 1000.5, 120]])
  })
})

const logRequest = (...records: readonly object[]) => ({
  resourceLogs: [
    { scopeLogs: [{ logRecords: records.map((r) => ({ timeUnixNano: '1767225600000000000', ...r })) }] },
  ],
})
const post = (path: string, body: string | Buffer, headers: Record<string, string> = {}) =>
  fetch(`${base}${path}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', ...headers },
  })
const user = (value: object) => ({ attributes: [{ key: 'user', value }] })

describe('an export request', () => {
  it('is told what was refused: 200, by partialSuccess', async () => {
    const body = logRequest(user({ intValue: '1' }), user({ stringValue: 'x' }), {
      ...user({ intValue: '99999999999' }),
    })
    const answer = await post('/v1/logs', gzipSync(JSON.stringify(body)), { 'content-encoding': 'gzip' })
    expect([answer.status, answer.headers.get('content-type'), await answer.json()]).toMatchObject([
      200,
      expect.stringContaining('application/json'),
      { partialSuccess: { rejectedLogRecords: '2', errorMessage: expect.stringMatching(/./) } },
    ])
    expect(await rowsOf(sql`select count(*)::int4 from otel.logs`)).toEqual([[1]])
    expect(await rowsOf(sql`select count(*)::int4 from tidemark.dead_letter`)).toEqual([[2]])
  })

  it('that comes again, because its answer was lost, writes nothing', async () => {
    const body = JSON.stringify(logRequest({ body: { stringValue: 'once' } }))
    for (let i = 0; i < 2; i += 1) {
      const answer = await post('/v1/logs', body)
      expect([answer.status, await answer.json()]).toEqual([200, {}])
    }
    expect(await rowsOf(sql`select body from otel.logs`)).toEqual([['once']])
  })

  it.each([
    ['/v1/logs', '{', 'application/json', 400, /TM_BODY/],
    ['/v1/metrics', 'x', 'text/plain', 415, /TM_MEDIA_TYPE.*application\/x-protobuf/],
  ] as const)('to %s that is none is answered with a Status', async (path, body, type, status, message) => {
    const answer = await post(path, body, { 'content-type': type })
    expect([answer.status, await answer.json()]).toEqual([
      status,
      { message: expect.stringMatching(message) },
    ])
  })

  it('in protobuf that is none is answered with a Status in protobuf', async () => {
    const answer = await post('/v1/traces', Buffer.from([0xff, 1, 2]), {
      'content-type': 'application/x-protobuf',
    })
    const bytes = Buffer.from(await answer.arrayBuffer())
    expect([answer.status, bytes[0]]).toEqual([400, 0x12])
    expect(bytes.toString('utf8')).toContain('TM_BODY')
  })
})

it('a signal that is not declared says what to declare', async () => {
  const server = await createServer(engine.tm)
  const other = await createTestEngine(defineConfig({ datasets: [metrics], ingest: { otlp: { metrics } } }))
  const partial = await createServer(other.tm)
  try {
    for (const [path, option] of [
      ['/v1/logs', 'ingest.otlp.logs'],
      ['/v1/traces', 'ingest.otlp.spans or ingest.otlp.genAi'],
    ] as const) {
      const answer = await partial.inject({ method: 'POST', url: path, payload: '{}' })
      expect([answer.statusCode, answer.json().detail]).toEqual([
        404,
        expect.stringContaining(`declare ${option} in`),
      ])
    }
    await partial.ready()
    await server.ready()
    expect(Object.keys(partial.swagger().paths!)).toContain('/v1/metrics')
    expect(Object.keys(partial.swagger().paths!)).not.toContain('/v1/logs')
    expect(Object.keys(server.swagger().paths!)).toContain('/v1/logs')
  } finally {
    await server.close()
    await partial.close()
    await other.close()
  }
})
