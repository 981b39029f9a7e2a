import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { OTLPLogExporter as LogsJson } from '@opentelemetry/exporter-logs-otlp-http'
import { OTLPLogExporter as LogsProtobuf } from '@opentelemetry/exporter-logs-otlp-proto'
import {
  AggregationTemporalityPreference,
  OTLPMetricExporter as MetricsJson,
} from '@opentelemetry/exporter-metrics-otlp-http'
import { OTLPMetricExporter as MetricsProtobuf } from '@opentelemetry/exporter-metrics-otlp-proto'
import { OTLPTraceExporter as TracesJson } from '@opentelemetry/exporter-trace-otlp-http'
import { OTLPTraceExporter as TracesProtobuf } from '@opentelemetry/exporter-trace-otlp-proto'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { LoggerProvider, SimpleLogRecordProcessor } from '@opentelemetry/sdk-logs'
import { AggregationType, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics'
import { BasicTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import {
  decodeOtlpLogs,
  decodeOtlpMetrics,
  decodeOtlpTraces,
  encodeOtlpResponse,
  genAiCallOf,
  type OtlpEncoding,
} from '../../src/protocols/index.ts'

const resource = resourceFromAttributes({ 'service.name': 'shop', 'host.cores': 4 })
const types = { json: 'application/json', protobuf: 'application/x-protobuf' }

let server: Server
let url: string
let bodies: Buffer[] = []
let contentTypes: (string | undefined)[] = []
/** What the next request is answered with. */
let answer: Buffer

beforeAll(async () => {
  server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      bodies.push(Buffer.concat(chunks))
      contentTypes.push(request.headers['content-type'])
      response.writeHead(200, { 'content-type': request.headers['content-type'] }).end(answer)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
})
afterAll(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})
beforeEach(() => {
  bodies = []
  contentTypes = []
  answer = Buffer.alloc(0)
})

describe.each<[OtlpEncoding]>([['json'], ['protobuf']])('OpenTelemetry’s exporters in %s', (encoding) => {
  it('send metrics of every kind that are read as they were recorded', async () => {
    const options = { url, temporalityPreference: AggregationTemporalityPreference.DELTA }
    const exporter = encoding === 'json' ? new MetricsJson(options) : new MetricsProtobuf(options)
    const provider = new MeterProvider({
      resource,
      readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3_600_000 })],
      views: [
        {
          instrumentName: 'sizes',
          aggregation: {
            type: AggregationType.EXPONENTIAL_HISTOGRAM,
            options: { maxSize: 20, recordMinMax: true },
          },
        },
        {
          instrumentName: 'latency',
          aggregation: { type: AggregationType.EXPLICIT_BUCKET_HISTOGRAM, options: { boundaries: [1, 10] } },
        },
      ],
    })
    const before = Date.now()
    const meter = provider.getMeter('checkout', '1.2.3')
    meter
      .createCounter('orders', { unit: '{order}', description: 'how many' })
      .add(3, { region: 'eu', ok: true })
    meter.createUpDownCounter('queue').add(-2.5)
    meter.createGauge('temperature').record(21.5, { room: 'ü' })
    const latency = meter.createHistogram('latency', { unit: 'ms' })
    for (const value of [0.5, 5, 50, 60]) latency.record(value)
    const sizes = meter.createHistogram('sizes')
    for (const value of [0, 1, 2, 1000]) sizes.record(value)
    await provider.forceFlush()
    await provider.shutdown()

    expect(contentTypes[0]).toBe(types[encoding])
    const { points, problems } = decodeOtlpMetrics(bodies[0]!, { encoding })
    expect(problems).toEqual([])
    const byName = Object.fromEntries(points.map((point) => [point.name, point]))
    expect(byName['orders']).toMatchObject({
      kind: 'sum',
      value: 3,
      isMonotonic: true,
      temporality: 'delta',
      unit: '{order}',
      description: 'how many',
      attributes: { region: 'eu', ok: true },
      resource: { 'service.name': 'shop', 'host.cores': 4 },
      scope: 'checkout',
      scopeVersion: '1.2.3',
      count: null,
      buckets: null,
    })
    const millis = Number(byName['orders']!.time) / 1000
    expect(millis).toBeGreaterThanOrEqual(before - 1)
    expect(millis).toBeLessThanOrEqual(Date.now() + 1)
    expect(byName['queue']).toMatchObject({
      kind: 'sum',
      value: -2.5,
      isMonotonic: false,
      temporality: 'cumulative',
    })
    expect(byName['temperature']).toMatchObject({
      kind: 'gauge',
      value: 21.5,
      temporality: null,
      isMonotonic: null,
      attributes: { room: 'ü' },
    })
    expect(byName['latency']).toMatchObject({
      kind: 'histogram',
      count: 4,
      sum: 115.5,
      min: 0.5,
      max: 60,
      value: null,
      buckets: { bounds: [1, 10], counts: [1, 1, 2] },
    })
    const exponential = byName['sizes']!
    expect(exponential).toMatchObject({
      kind: 'exponential_histogram',
      count: 4,
      sum: 1003,
      min: 0,
      max: 1000,
    })
    const { zeroCount, positive } = exponential.buckets as {
      zeroCount: number
      positive: { counts: number[] }
    }
    expect(zeroCount + positive.counts.reduce((a, b) => a + b, 0)).toBe(4)
  })

  it('send logs whose bodies, ids and times are read', async () => {
    const exporter = encoding === 'json' ? new LogsJson({ url }) : new LogsProtobuf({ url })
    const provider = new LoggerProvider({
      resource,
      processors: [new SimpleLogRecordProcessor({ exporter })],
    })
    provider.getLogger('app').emit({
      severityNumber: 17,
      severityText: 'ERROR',
      body: { text: 'failed', codes: [1, 2.5, null], bytes: new Uint8Array([1, 2, 255]) },
      attributes: { user: 'u1', big: 9007199254740991 },
      timestamp: [1_767_225_600, 123_456_789],
    })
    await provider.forceFlush()
    await provider.shutdown()
    const { points, problems } = decodeOtlpLogs(bodies[0]!, { encoding, receivedAt: 0n })
    expect(problems).toEqual([])
    expect(points).toMatchObject([
      {
        time: 1_767_225_600_123_456n,
        severityNumber: 17,
        severityText: 'ERROR',
        body: { text: 'failed', codes: [1, 2.5, null], bytes: 'AQL/' },
        attributes: { user: 'u1', big: 9007199254740991 },
        resource: { 'service.name': 'shop' },
        scope: 'app',
        traceId: null,
      },
    ])
  })

  it('send spans, of which those of models are calls', async () => {
    const exporter = encoding === 'json' ? new TracesJson({ url }) : new TracesProtobuf({ url })
    const provider = new BasicTracerProvider({
      resource,
      spanProcessors: [new SimpleSpanProcessor(exporter)],
    })
    const tracer = provider.getTracer('llm')
    const start: [number, number] = [1_767_225_600, 1_500]
    const span = tracer.startSpan('chat gpt-4o', {
      kind: 2,
      startTime: start,
      attributes: {
        'gen_ai.operation.name': 'chat',
        'gen_ai.provider.name': 'openai',
        'gen_ai.request.model': 'gpt-4o',
        'gen_ai.response.model': 'gpt-4o-2024-08-06',
        'gen_ai.usage.input_tokens': 120,
        'gen_ai.usage.output_tokens': 30,
        'gen_ai.response.finish_reasons': ['stop'],
        'user.id': 'u7',
      },
    })
    span.addEvent('first token', { n: 1 }, [1_767_225_600, 500_000_000])
    span.setStatus({ code: 2, message: 'cut off' })
    span.end([1_767_225_601, 251_500])
    tracer.startSpan('plain', { startTime: start }).end([1_767_225_600, 1_500])
    await provider.forceFlush()
    await provider.shutdown()
    const spans = bodies.flatMap((body) => decodeOtlpTraces(body, { encoding }).points)
    expect(spans.map((s) => s.name)).toEqual(['chat gpt-4o', 'plain'])
    const { spanId, traceId } = span.spanContext()
    expect(spans[0]).toMatchObject({
      kind: 'client',
      spanId,
      traceId,
      parentSpanId: null,
      time: 1_767_225_600_000_001n,
      durationMs: 1000.25,
      status: 'error',
      statusMessage: 'cut off',
      events: [{ time: '2026-01-01T00:00:00.5Z', name: 'first token', attributes: { n: 1 } }],
    })
    expect(spans[1]).toMatchObject({ kind: 'internal', status: 'unset', durationMs: 0 })
    expect(genAiCallOf(spans[0]!)).toMatchObject({
      operation: 'chat',
      provider: 'openai',
      model: 'gpt-4o-2024-08-06',
      requestModel: 'gpt-4o',
      inputTokens: 120,
      outputTokens: 30,
      latencyMs: 1000.25,
      status: 'error',
      error: 'cut off',
      userId: 'u7',
      finishReasons: ['stop'],
    })
    expect(genAiCallOf(spans[1]!)).toBeNull()
  })

  it('take our answers as success', async () => {
    for (const [rejected, message] of [
      [0, null],
      [300, 'no column takes it'],
    ] as const) {
      answer = encodeOtlpResponse('traces', encoding, rejected, message)
      const exporter = encoding === 'json' ? new TracesJson({ url }) : new TracesProtobuf({ url })
      const result = await new Promise<{ code: number }>((resolve) => exporter.export([], resolve))
      expect(result.code).toBe(0)
      await exporter.shutdown()
    }
    expect(bodies).toHaveLength(2)
  })
})
