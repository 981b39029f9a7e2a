import protobuf from 'protobufjs'
import { describe, expect, it } from 'vitest'
import {
  decodeOtlpLogs,
  decodeOtlpMetrics,
  decodeOtlpTraces,
  encodeOtlpResponse,
  genAiCallOf,
} from '../../src/protocols/index.ts'

const nanos = '1767225600123456789'

function metricBody(metric: object): Buffer {
  return Buffer.from(JSON.stringify({ resourceMetrics: [{ scopeMetrics: [{ metrics: [metric] }] }] }))
}

function decodeMetric(metric: object) {
  return decodeOtlpMetrics(metricBody(metric), { encoding: 'json' })
}

describe('OTLP', () => {
  it('reads a summary, which no exporter of JavaScript sends', () => {
    const { points } = decodeMetric({
      name: 'rpc',
      summary: {
        dataPoints: [
          {
            timeUnixNano: nanos,
            count: '3',
            sum: 7.5,
            quantileValues: [{ quantile: 0.5, value: 2 }, { value: 'NaN' }],
          },
        ],
      },
    })
    expect(points).toMatchObject([
      {
        kind: 'summary',
        count: 3,
        sum: 7.5,
        temporality: null,
        buckets: {
          quantiles: [
            { quantile: 0.5, value: 2 },
            { quantile: 0, value: 'NaN' },
          ],
        },
      },
    ])
  })

  it('keeps 64-bit integers exact', () => {
    const point = (value: object) => ({
      name: 'm',
      gauge: { dataPoints: [{ timeUnixNano: nanos, ...value }] },
    })
    expect(decodeMetric(point({ asInt: '9223372036854775807' })).points[0]!.value).toBe(9223372036854775807n)
    expect(decodeMetric(point({ asInt: '-5' })).points[0]!.value).toBe(-5)
    expect(decodeMetric(point({ asDouble: 'Infinity' })).points[0]!.value).toBe(Number.POSITIVE_INFINITY)
    const big = decodeMetric({
      ...point({ asInt: 1, attributes: [{ key: 'n', value: { intValue: '9223372036854775807' } }] }),
    })
    expect(big.points[0]!.attributes).toEqual({ n: '9223372036854775807' })
  })

  it.each([
    ['name', 'null', { gauge: { dataPoints: [{ timeUnixNano: nanos, asInt: 1 }] } }],
    ['timeUnixNano', 'null', { name: 'm', gauge: { dataPoints: [{ asInt: 1 }] } }],
    ['value', 'null', { name: 'm', gauge: { dataPoints: [{ timeUnixNano: nanos }] } }],
    ['flags', 'unsupported', { name: 'm', gauge: { dataPoints: [{ timeUnixNano: nanos, flags: 1 }] } }],
    [
      'aggregationTemporality',
      'null',
      { name: 'm', sum: { dataPoints: [{ timeUnixNano: nanos, asInt: 1 }] } },
    ],
  ])('refuses a point for its %s, and takes those beside it', (field, reason, metric) => {
    const good = { name: 'good', gauge: { dataPoints: [{ timeUnixNano: nanos, asInt: 1 }] } }
    const body = { resourceMetrics: [{ scopeMetrics: [{ metrics: [metric, good] }] }] }
    const { points, problems } = decodeOtlpMetrics(Buffer.from(JSON.stringify(body)), { encoding: 'json' })
    expect(problems).toMatchObject([{ index: 0, field, reason }])
    expect(points).toMatchObject([{ index: 1, name: 'good' }])
  })

  it('takes the time of observation, and then of receipt, for logs without a time', () => {
    const body = {
      resourceLogs: [
        { scopeLogs: [{ logRecords: [{ observedTimeUnixNano: nanos }, { body: { stringValue: 'x' } }] }] },
      ],
    }
    const { points } = decodeOtlpLogs(Buffer.from(JSON.stringify(body)), {
      encoding: 'json',
      receivedAt: 77n,
    })
    expect(points.map((p) => p.time)).toEqual([1767225600123456n, 77n])
  })

  it('refuses spans without ids, in either case of hexadecimal', () => {
    const span = { name: 's', startTimeUnixNano: nanos, spanId: 'EEE19B7EC3C1B174', traceId: 'A'.repeat(32) }
    const spans = [span, { ...span, traceId: '0'.repeat(32) }, { ...span, spanId: 'ab' }]
    const body = Buffer.from(JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans }] }] }))
    const { points, problems } = decodeOtlpTraces(body, { encoding: 'json' })
    expect(points.map((p) => [p.index, p.spanId, p.durationMs])).toEqual([[0, 'eee19b7ec3c1b174', null]])
    expect(problems.map((p) => [p.index, p.field, p.reason])).toEqual([
      [1, 'traceId', 'syntax'],
      [2, 'spanId', 'syntax'],
    ])
  })

  it('knows the older names of calls to models', () => {
    const attributes = Object.entries({
      'gen_ai.system': { stringValue: 'anthropic' },
      'gen_ai.request.model': { stringValue: 'claude' },
      'gen_ai.usage.prompt_tokens': { intValue: '10' },
      'gen_ai.usage.completion_tokens': { intValue: 2 },
      'error.type': { stringValue: 'timeout' },
    }).map(([key, value]) => ({ key, value }))
    const span = {
      name: 's',
      startTimeUnixNano: nanos,
      spanId: 'ab'.repeat(8),
      traceId: 'cd'.repeat(16),
      attributes,
    }
    const body = Buffer.from(JSON.stringify({ resourceSpans: [{ scopeSpans: [{ spans: [span] }] }] }))
    const call = genAiCallOf(decodeOtlpTraces(body, { encoding: 'json' }).points[0]!)
    expect(call).toMatchObject({
      provider: 'anthropic',
      model: 'claude',
      inputTokens: 10,
      outputTokens: 2,
      status: 'error',
      error: 'timeout',
      operation: null,
    })
  })

  it.each([
    ['{', /Unexpected|Expected/],
    ['[]', /the body is an array, not an object/],
    ['{"resourceMetrics":{}}', /resourceMetrics is an object, not a list/],
    [
      '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":5}]}]}]}',
      /metrics\[0\]\.name is 5, not a text/,
    ],
    [
      '{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"sum":{"aggregationTemporality":"DELTA"}}]}]}]}',
      /not a whole number \(enums are numbers in OTLP\)/,
    ],
  ])('refuses the body %s as a whole', (body, message) => {
    expect(() => decodeOtlpMetrics(Buffer.from(body), { encoding: 'json' })).toThrow(message)
  })

  it('refuses broken protobuf, deep nesting and too much of everything', () => {
    for (const bytes of [[0x0a, 5, 1], [0x0b], [0xff], [0x0a, 2, 0x12, 9]])
      expect(() => decodeOtlpMetrics(Buffer.from(bytes), { encoding: 'protobuf' })).toThrow(/no OTLP request/)
    let value: object = { stringValue: 'deep' }
    for (let i = 0; i < 100; i++) value = { arrayValue: { values: [value] } }
    const point = { timeUnixNano: nanos, asInt: 1, attributes: [{ key: 'a', value }] }
    expect(() => decodeMetric({ name: 'm', gauge: { dataPoints: [point] } })).toThrow(/nest deeper/)
    // a request of empty messages
    const empty = Buffer.alloc(3000)
    for (let i = 0; i < 3000; i += 2) empty[i] = 0x0a
    expect(() => decodeOtlpMetrics(empty, { encoding: 'protobuf', maxMessages: 1000 })).toThrow(
      /over the limit of 1000/,
    )
    expect(decodeOtlpMetrics(empty, { encoding: 'protobuf' }).points).toEqual([])
  })

  it('bounds what each item has of its resource, which is in the body only once', () => {
    const attributes = Array.from({ length: 100 }, (_, i) => ({ key: `k${i}`, value: { stringValue: 'v' } }))
    const record = { timeUnixNano: nanos }
    const body = (scopes: number) =>
      Buffer.from(
        JSON.stringify({
          resourceLogs: [
            { resource: { attributes }, scopeLogs: Array(scopes).fill({ logRecords: [record, record] }) },
          ],
        }),
      )
    const options = { encoding: 'json', maxMessages: 1000, receivedAt: 0n } as const
    const { points } = decodeOtlpLogs(body(50), options)
    expect(points).toHaveLength(100)
    expect(new Set(points.map(({ resource }) => resource)).size).toBe(1)
    expect(() => decodeOtlpLogs(body(51), options)).toThrow(/over the limit of 10000/)
  })

  it('answers with partial_success as the schema has it', () => {
    const { root } = protobuf.parse(`syntax = "proto3";
      message Partial { int64 rejected_data_points = 1; string error_message = 2; }
      message Response { Partial partial_success = 1; }`)
    const response = root.lookupType('Response')
    const bytes = encodeOtlpResponse('metrics', 'protobuf', 100_000, 'zu groß')
    expect(response.toObject(response.decode(bytes), { longs: Number })).toEqual({
      partialSuccess: { rejectedDataPoints: 100_000, errorMessage: 'zu groß' },
    })
    expect(encodeOtlpResponse('metrics', 'protobuf', 0, null)).toHaveLength(0)
    expect(JSON.parse(encodeOtlpResponse('logs', 'json', 2, 'why').toString())).toEqual({
      partialSuccess: { rejectedLogRecords: '2', errorMessage: 'why' },
    })
    expect(encodeOtlpResponse('logs', 'json', 0, null).toString()).toBe('{}')
  })
})
