import { type Message, message } from './message.ts'

// opentelemetry-proto 1.x: common, resource, metrics, logs, trace

// AnyValue holds itself, so its table is closed behind it.
const anyValueFields = new Map()
const anyValueList: Message['fields'][number][] = []
const anyValue: Message = { byNumber: anyValueFields, fields: anyValueList }
const keyValue = message({ key: [1, 'string'], value: [2, anyValue] })
const anyValueRead = message({
  stringValue: [1, 'string'],
  boolValue: [2, 'bool'],
  intValue: [3, 'int64'],
  doubleValue: [4, 'double'],
  arrayValue: [5, message({ values: [1, [anyValue]] })],
  kvlistValue: [6, message({ values: [1, [keyValue]] })],
  bytesValue: [7, 'bytes'],
})
for (const field of anyValueRead.fields) {
  anyValueFields.set(field.number, field)
  anyValueList.push(field)
}

const resource = message({ attributes: [1, [keyValue]] })
const scope = message({ name: [1, 'string'], version: [2, 'string'], attributes: [3, [keyValue]] })

const numberPoint = message({
  startTimeUnixNano: [2, 'fixed64'],
  timeUnixNano: [3, 'fixed64'],
  asDouble: [4, 'double'],
  asInt: [6, 'sfixed64'],
  attributes: [7, [keyValue]],
  flags: [8, 'uint32'],
})
const histogramPoint = message({
  startTimeUnixNano: [2, 'fixed64'],
  timeUnixNano: [3, 'fixed64'],
  count: [4, 'fixed64'],
  sum: [5, 'double'],
  bucketCounts: [6, ['fixed64']],
  explicitBounds: [7, ['double']],
  attributes: [9, [keyValue]],
  flags: [10, 'uint32'],
  min: [11, 'double'],
  max: [12, 'double'],
})
/** Its counts are varints. */
const buckets = message({ offset: [1, 'sint32'], bucketCounts: [2, ['int64']] })
const exponentialPoint = message({
  attributes: [1, [keyValue]],
  startTimeUnixNano: [2, 'fixed64'],
  timeUnixNano: [3, 'fixed64'],
  count: [4, 'fixed64'],
  sum: [5, 'double'],
  scale: [6, 'sint32'],
  zeroCount: [7, 'fixed64'],
  positive: [8, buckets],
  negative: [9, buckets],
  flags: [10, 'uint32'],
  min: [12, 'double'],
  max: [13, 'double'],
  zeroThreshold: [14, 'double'],
})
const summaryPoint = message({
  startTimeUnixNano: [2, 'fixed64'],
  timeUnixNano: [3, 'fixed64'],
  count: [4, 'fixed64'],
  sum: [5, 'double'],
  quantileValues: [6, [message({ quantile: [1, 'double'], value: [2, 'double'] })]],
  attributes: [7, [keyValue]],
  flags: [8, 'uint32'],
})
const metric = message({
  name: [1, 'string'],
  description: [2, 'string'],
  unit: [3, 'string'],
  gauge: [5, message({ dataPoints: [1, [numberPoint]] })],
  sum: [
    7,
    message({
      dataPoints: [1, [numberPoint]],
      aggregationTemporality: [2, 'uint32'],
      isMonotonic: [3, 'bool'],
    }),
  ],
  histogram: [9, message({ dataPoints: [1, [histogramPoint]], aggregationTemporality: [2, 'uint32'] })],
  exponentialHistogram: [
    10,
    message({ dataPoints: [1, [exponentialPoint]], aggregationTemporality: [2, 'uint32'] }),
  ],
  summary: [11, message({ dataPoints: [1, [summaryPoint]] })],
})
export const metricsRequest = message({
  resourceMetrics: [
    1,
    [
      message({
        resource: [1, resource],
        scopeMetrics: [2, [message({ scope: [1, scope], metrics: [2, [metric]] })]],
      }),
    ],
  ],
})

const logRecord = message({
  timeUnixNano: [1, 'fixed64'],
  severityNumber: [2, 'uint32'],
  severityText: [3, 'string'],
  body: [5, anyValue],
  attributes: [6, [keyValue]],
  traceId: [9, 'id'],
  spanId: [10, 'id'],
  observedTimeUnixNano: [11, 'fixed64'],
  eventName: [12, 'string'],
})
export const logsRequest = message({
  resourceLogs: [
    1,
    [
      message({
        resource: [1, resource],
        scopeLogs: [2, [message({ scope: [1, scope], logRecords: [2, [logRecord]] })]],
      }),
    ],
  ],
})

const event = message({ timeUnixNano: [1, 'fixed64'], name: [2, 'string'], attributes: [3, [keyValue]] })
const link = message({ traceId: [1, 'id'], spanId: [2, 'id'], attributes: [4, [keyValue]] })
const span = message({
  traceId: [1, 'id'],
  spanId: [2, 'id'],
  parentSpanId: [4, 'id'],
  name: [5, 'string'],
  kind: [6, 'uint32'],
  startTimeUnixNano: [7, 'fixed64'],
  endTimeUnixNano: [8, 'fixed64'],
  attributes: [9, [keyValue]],
  events: [11, [event]],
  links: [13, [link]],
  status: [15, message({ message: [2, 'string'], code: [3, 'uint32'] })],
})
export const traceRequest = message({
  resourceSpans: [
    1,
    [
      message({
        resource: [1, resource],
        scopeSpans: [2, [message({ scope: [1, scope], spans: [2, [span]] })]],
      }),
    ],
  ],
})
