import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  createLineRouter,
  createLogsRouter,
  createMetricsRouter,
  createPrometheusRouter,
  createSpansRouter,
  decodeLineProtocol,
  decodeOtlpLogs,
  decodeOtlpMetrics,
  decodeOtlpTraces,
  type Routed,
  type Sample,
  seriesText,
} from '../../src/protocols/index.ts'
import {
  createRowCodec,
  defineConfig,
  hypertable,
  metricsTable,
  type ProtocolOptions,
  samplesTable,
  t,
} from '../../src/schema/index.ts'

const cpu = hypertable('metrics.cpu', {
  columns: {
    time: t.timestamptz(),
    host: t.text(),
    rack: t.int4().nullable(),
    usage: t.float8().nullable(),
    cores: t.int8().nullable(),
    up: t.bool().nullable(),
    rest: t.jsonb().nullable(),
  },
  time: 'time',
})
const mem = hypertable('metrics.mem', {
  columns: { time: t.timestamptz(), host: t.text(), used: t.float8().nullable() },
  time: 'time',
})
const metrics = metricsTable('metrics.everything')
const samples = samplesTable('metrics.samples')
const llmRequests = hypertable('metrics.llm_requests', {
  columns: {
    time: t.timestamptz(),
    provider: t.text().nullable(),
    model: t.text().nullable(),
    user_id: t.text().nullable(),
    status: t.text(),
    latency_ms: t.float8().nullable(),
    prompt_tokens: t.int4().nullable(),
    completion_tokens: t.int4().nullable(),
    temperature: t.float8().nullable(),
    service: t.text().nullable(),
    properties: t.jsonb().nullable(),
  },
  time: 'time',
})
const spans = hypertable('otel.spans', {
  columns: {
    time: t.timestamptz(),
    trace_id: t.text(),
    span_id: t.text(),
    name: t.text(),
    duration: t.float8().nullable(),
    status: t.text(),
    rest: t.jsonb(),
  },
  time: 'time',
})
const otelMetrics = hypertable('otel.metrics', {
  columns: {
    time: t.timestamptz(),
    metric: t.text(),
    value: t.float8().nullable(),
    region: t.text().nullable(),
    series: t.text(),
    buckets: t.jsonb().nullable(),
  },
  time: 'time',
})
const otelLogs = hypertable('otel.logs', {
  columns: {
    time: t.timestamptz(),
    level: t.text().nullable(),
    message: t.text().nullable(),
    attributes: t.jsonb(),
  },
  time: 'time',
})
const datasets = [cpu, mem, metrics, samples, llmRequests, spans, otelMetrics, otelLogs]

function configure(ingest: ProtocolOptions) {
  return defineConfig({ datasets, ingest }).ingest
}

/** Every row is one that its table takes. */
function checked(routed: Routed): Routed {
  for (const { into, rows, indexes } of routed.tables) {
    const codec = createRowCodec(into)
    expect(indexes).toHaveLength(rows.length)
    for (const row of rows) expect(codec.problems(row)).toEqual([])
  }
  return routed
}

const lines = (text: string) =>
  decodeLineProtocol(Buffer.from(text), { receivedAt: 5n, precision: 'us' }).points

describe('tables of protocols with a tenant', () => {
  const owned = metricsTable('metrics.owned', { tenant: 'team', chunk: '1 day' })
  const ownedSamples = samplesTable('metrics.owned_samples', { tenant: 'team' })
  const config = defineConfig({
    datasets: [owned, ownedSamples],
    ingest: { lineProtocol: { catchAll: owned }, prometheus: ownedSamples },
  }).ingest

  it('declare it as any hypertable, first of the indexes too', () => {
    for (const { tenant, columns, indexes } of [owned, ownedSamples]) {
      expect(tenant).toBe('team')
      expect(columns['team']).toMatchObject({ type: 'text', nullable: false })
      expect(Object.keys(columns).slice(0, 2)).toEqual(['time', 'team'])
      const firsts = indexes.map((index) => index.columns[0]!.column)
      expect(firsts.filter((name) => name !== 'team')).toEqual(['time'])
    }
    expect(metrics.tenant).toBeNull()
    expect(() => metricsTable('metrics.wrong', { tenant: 'series' })).toThrow(
      /tenant: "series" is another column/,
    )
  })

  it('have whose a point is from the tag or label of that name, which stays among the others', () => {
    const [table] = createLineRouter(config.lineProtocol!)(
      lines('cpu,team=acme,host=a x=1 1\ncpu x=2 1'),
    ).tables
    expect(table!.rows).toMatchObject([{ team: 'acme', tags: { team: 'acme', host: 'a' } }, { tags: {} }])
    expect(table!.rows[1]).not.toHaveProperty('team')
  })
})

describe('points of line protocol', () => {
  const { lineProtocol } = configure({ lineProtocol: { into: [cpu, mem], catchAll: metrics } })
  const route = createLineRouter(lineProtocol!)

  it('go to the table of their measurement, tags and fields to the columns of their names', () => {
    const { tables, problems } = checked(
      route(lines('cpu,host=a,rack=7 usage=5i,cores=9007199254740993i,up=true 1\nmetrics.mem,host=b used=2')),
    )
    expect(problems).toEqual([])
    expect(tables).toEqual([
      {
        into: cpu,
        indexes: [0],
        rows: [{ time: 1n, host: 'a', rack: 7, usage: 5, cores: 9007199254740993n, up: true }],
      },
      { into: mem, indexes: [1], rows: [{ time: 5n, host: 'b', used: 2 }] },
    ])
  })

  it('keep what has no column in rest, and are refused where there is none', () => {
    const { tables, problems } = checked(
      route(
        lines(
          'cpu,host=a,__proto__=x usage=1,big=9007199254740993i\nmem,host=b used=1,free=2\nmem,host=b used=1',
        ),
      ),
    )
    const rest = tables[0]!.rows[0]!['rest'] as object
    expect(Object.entries(rest)).toEqual([
      ['__proto__', 'x'],
      ['big', '9007199254740993'],
    ])
    expect(problems).toMatchObject([{ index: 1, field: 'free', value: '2', reason: 'unknown' }])
    expect(problems[0]!.message).toBe(
      'metrics.mem has no column for field "free"; add the column, or a column rest: t.jsonb().nullable()',
    )
    expect(tables[1]!.indexes).toEqual([2])
  })

  it('refuse a tag and a field for one column', () => {
    for (const line of ['mem,host=a host="b"', 'cpu,host=a,x=1 x=2'])
      expect(route(lines(line)).problems).toMatchObject([{ reason: 'duplicate' }])
  })

  it('of other measurements go to the catch-all, with one text for one series', () => {
    const { tables } = checked(route(lines('disk,path=/,host=a free=1.5,ok=t,n=18446744073709551615u 3')))
    expect(tables).toEqual([
      {
        into: metrics,
        indexes: [0],
        rows: [
          {
            time: 3n,
            measurement: 'disk',
            series: 'disk{host="a",path="/"}',
            tags: { path: '/', host: 'a' },
            fields: { free: 1.5, ok: true, n: '18446744073709551615' },
          },
        ],
      },
    ])
  })

  it('are refused without a catch-all', () => {
    const only = createLineRouter(
      configure({ lineProtocol: { into: [{ into: cpu, measurement: 'load' }] } }).lineProtocol!,
    )
    const { tables, problems } = only(lines('cpu,host=a usage=1\nload,host=a usage=1'))
    expect(problems).toMatchObject([{ index: 0, value: 'cpu', reason: 'unknown' }])
    expect(problems[0]!.message).toContain('known: load')
    expect(tables[0]!.indexes).toEqual([1])
  })

  it('go to the columns that the declaration says', () => {
    const config = configure({
      lineProtocol: { into: [{ into: cpu, columns: { hostname: 'host', usage_user: 'usage' } }] },
    })
    const { tables } = checked(createLineRouter(config.lineProtocol!)(lines('cpu,hostname=a usage_user=1')))
    expect(tables[0]!.rows).toEqual([{ time: 5n, host: 'a', usage: 1 }])
  })
})

it('a series has one text whatever the order of its tags, and two series have two', () => {
  const word = fc.string({
    unit: fc.constantFrom('a', 'b', '"', '=', ',', '{', '}', '\\', ' '),
    maxLength: 4,
  })
  const tags = fc.uniqueArray(fc.tuple(word, word), { maxLength: 4, selector: ([key]) => key })
  const texts = new Map<string, string>()
  fc.assert(
    fc.property(word, tags, (name, pairs) => {
      const text = seriesText(name, pairs)
      expect(seriesText(name, [...pairs].reverse())).toBe(text)
      const key = JSON.stringify([name, [...pairs].sort(([a], [b]) => (a < b ? -1 : 1))])
      expect(texts.get(text) ?? key).toBe(key)
      texts.set(text, key)
    }),
    { numRuns: 2000 },
  )
})

describe('samples of Prometheus', () => {
  const sample = (index: number, isStale: boolean): Sample => ({
    index,
    measurement: 'up',
    tagKeys: ['instance', 'job'],
    tagValues: ['a:1', 'x'],
    fieldKeys: ['value'],
    fieldValues: [isStale ? Number.NaN : 1],
    time: 9n,
    isStale,
  })

  it('go to one table with their labels, stale markers are left out', () => {
    const route = createPrometheusRouter(configure({ prometheus: samples }).prometheus!)
    const { tables, skipped } = checked(route([sample(0, false), sample(1, true)]))
    expect(skipped).toBe(1)
    expect(tables[0]!.rows).toEqual([
      {
        time: 9n,
        metric: 'up',
        series: 'up{instance="a:1",job="x"}',
        labels: { instance: 'a:1', job: 'x' },
        value: 1,
      },
    ])
  })

  it('keep stale markers where a column says so, and labels in columns of their own', () => {
    const wide = hypertable('m.wide', {
      columns: {
        at: t.timestamptz(),
        name: t.text(),
        job: t.text(),
        value: t.float8(),
        is_stale: t.bool(),
        rest: t.jsonb(),
      },
      time: 'at',
    })
    const config = defineConfig({ datasets: [wide], ingest: { prometheus: wide } })
    const { tables } = checked(createPrometheusRouter(config.ingest.prometheus!)([sample(0, true)]))
    expect(tables[0]!.rows).toEqual([
      { at: 9n, name: 'up', job: 'x', value: Number.NaN, is_stale: true, rest: { instance: 'a:1' } },
    ])
  })
})

describe('OpenTelemetry', () => {
  const nanos = '1767225600000000000'
  const attributes = (values: Record<string, object>) =>
    Object.entries(values).map(([key, value]) => ({ key, value }))
  const resource = { attributes: attributes({ 'service.name': { stringValue: 'shop' } }) }
  const json = { encoding: 'json' } as const
  const span = (name: string, values: Record<string, object>) => ({
    name,
    traceId: 'ab'.repeat(16),
    spanId: 'cd'.repeat(8),
    startTimeUnixNano: nanos,
    endTimeUnixNano: '1767225600250000000',
    attributes: attributes(values),
  })
  const traces = Buffer.from(
    JSON.stringify({
      resourceSpans: [
        {
          resource,
          scopeSpans: [
            {
              spans: [
                span('chat', {
                  'gen_ai.provider.name': { stringValue: 'openai' },
                  'gen_ai.request.model': { stringValue: 'gpt' },
                  'gen_ai.request.temperature': { doubleValue: 0.2 },
                  'gen_ai.usage.input_tokens': { intValue: '12' },
                }),
                span('GET /', { 'http.route': { stringValue: '/' } }),
              ],
            },
          ],
        },
      ],
    }),
  )

  it('puts calls to models into the table that is declared for them', () => {
    const { otlp } = configure({
      otlp: { genAi: { into: llmRequests, columns: { 'gen_ai.request.temperature': 'temperature' } } },
    })
    const { tables, skipped } = checked(createSpansRouter(otlp)(decodeOtlpTraces(traces, json).points))
    expect(skipped).toBe(1)
    expect(tables).toHaveLength(1)
    expect(tables[0]!.rows).toEqual([
      {
        time: 1767225600000000n,
        provider: 'openai',
        model: 'gpt',
        status: 'ok',
        latency_ms: 250,
        prompt_tokens: 12,
        temperature: 0.2,
        service: 'shop',
        properties: {
          'gen_ai.provider.name': 'openai',
          'gen_ai.request.model': 'gpt',
          'gen_ai.request.temperature': 0.2,
          'gen_ai.usage.input_tokens': 12,
        },
      },
    ])
  })

  it('puts every span into the table of spans, and calls into both', () => {
    const { otlp } = configure({ otlp: { spans, genAi: llmRequests } })
    const { tables, skipped } = checked(createSpansRouter(otlp)(decodeOtlpTraces(traces, json).points))
    expect(skipped).toBe(0)
    expect(tables.map(({ into, indexes }) => [into.name, indexes])).toEqual([
      ['otel.spans', [0, 1]],
      ['metrics.llm_requests', [0]],
    ])
    expect(tables[0]!.rows[1]).toMatchObject({
      name: 'GET /',
      duration: 250,
      rest: { 'service.name': 'shop', 'http.route': '/' },
    })
  })

  it('refuses a point of a metric whose attribute has no column: it would be another series', () => {
    const point = (value: number, values: Record<string, object>) => ({
      timeUnixNano: nanos,
      asDouble: value,
      attributes: attributes(values),
    })
    const dataPoints = [
      point(1, { region: { stringValue: 'eu' } }),
      point(2, { region: { stringValue: 'eu' }, zone: { intValue: 3 } }),
    ]
    const body = {
      resourceMetrics: [{ resource, scopeMetrics: [{ metrics: [{ name: 'm', gauge: { dataPoints } }] }] }],
    }
    const { points } = decodeOtlpMetrics(Buffer.from(JSON.stringify(body)), json)
    const { tables, problems } = checked(
      createMetricsRouter(configure({ otlp: { metrics: otelMetrics } }).otlp.metrics!)(points),
    )
    expect(problems).toMatchObject([{ index: 1, field: 'zone', value: '3', reason: 'unknown' }])
    expect(tables[0]!.rows).toEqual([
      {
        time: 1767225600000000n,
        metric: 'm',
        value: 1,
        region: 'eu',
        series: 'm{region="eu",service.name="shop"}',
      },
    ])
  })

  it('puts the body of a log into a text or a jsonb', () => {
    const record = {
      timeUnixNano: nanos,
      severityText: 'WARN',
      body: { kvlistValue: { values: attributes({ a: { intValue: 1 } }) } },
    }
    const body = Buffer.from(JSON.stringify({ resourceLogs: [{ scopeLogs: [{ logRecords: [record] }] }] }))
    const { points } = decodeOtlpLogs(body, { ...json, receivedAt: 0n })
    const { tables } = checked(createLogsRouter(configure({ otlp: { logs: otelLogs } }).otlp.logs!)(points))
    expect(tables[0]!.rows).toEqual([
      { time: 1767225600000000n, level: 'WARN', message: '{"a":1}', attributes: {} },
    ])
  })
})

describe('a declaration that cannot work is refused with its path', () => {
  const plain = (columns: object) =>
    hypertable('m.x', { columns: { time: t.timestamptz(), ...columns }, time: 'time' })
  it.each<[string, ProtocolOptions | ((table: never) => ProtocolOptions), object, RegExp]>([
    [
      'no column for the value',
      (x) => ({ prometheus: x }),
      { metric: t.text() },
      /m\.x has no column for value; add value: float8/,
    ],
    [
      'a wrong type',
      (x) => ({ prometheus: x }),
      { metric: t.text(), value: t.text() },
      /config\.ingest\.prometheus: column "value" of m\.x is text; value goes to float8 or float4/,
    ],
    [
      'a column that not every point fills',
      (x) => ({ otlp: { metrics: x } }),
      { metric: t.text(), value: t.float8() },
      /must be nullable or have a default: not every point has value/,
    ],
    [
      'a column that nothing fills',
      (x) => ({ lineProtocol: { catchAll: x } }),
      { measurement: t.text(), tags: t.jsonb(), fields: t.jsonb(), site: t.text() },
      /nothing fills column "site" of m\.x/,
    ],
    [
      'a column that is not there',
      (x) => ({ lineProtocol: { into: [{ into: x, columns: { hostname: 'hots' } }] } }),
      { host: t.text() },
      /into\[0\]\.columns\.hostname: "hots" is not a column of m\.x; did you mean "host"\?/,
    ],
    [
      'a column for two',
      (x) => ({ lineProtocol: { into: [{ into: x, columns: { a: 'host', b: 'host' } }] } }),
      { host: t.text() },
      /"host" takes "a" already/,
    ],
    [
      'the time column',
      (x) => ({ lineProtocol: { into: [{ into: x, columns: { ts: 'time' } }] } }),
      {},
      /"time" is the time column/,
    ],
    [
      'two tables of one measurement',
      (x) => ({ lineProtocol: { into: [x, x] } }),
      {},
      /takes the measurement "x", as into\[0\] does/,
    ],
    [
      'nothing',
      { lineProtocol: {} },
      {},
      /config\.ingest\.lineProtocol: takes nothing; give into, or catchAll/,
    ],
    ['another table', { prometheus: samples }, {}, /metrics\.samples is not in the list of datasets/],
    [
      'an unknown option',
      { otlp: { trace: samples } } as never,
      {},
      /config\.ingest\.otlp\.trace: unknown option/,
    ],
  ])('%s', (_, ingest, columns, message) => {
    const x = plain(columns)
    const declared = typeof ingest === 'function' ? ingest(x as never) : ingest
    expect(() => defineConfig({ datasets: [x], ingest: declared })).toThrow(message)
  })
})
