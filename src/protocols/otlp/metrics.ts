import type { JsonValue } from '../../schema/index.ts'
import { type Instant, isTimeOfRow } from '../../time/index.ts'
import type { Decoded } from '../contract.ts'
import {
  type Attributes,
  attributesOf,
  exactNumber,
  instantOrNull,
  jsonInteger,
  jsonNumber,
  type Origin,
  textOrNull,
} from './attributes.ts'
import { decodeSignal, ItemFault, list, type OtlpOptions } from './decode.ts'
import type { Read } from './message.ts'
import { metricsRequest } from './messages.ts'

export type MetricKind = 'gauge' | 'sum' | 'histogram' | 'exponential_histogram' | 'summary'

/** One data point of a metric. */
export interface MetricPoint extends Origin {
  readonly index: number
  readonly name: string
  readonly description: string | null
  readonly unit: string | null
  readonly kind: MetricKind
  readonly attributes: Attributes
  readonly time: Instant
  readonly start: Instant | null
  /** Null for gauges and summaries. */
  readonly temporality: 'delta' | 'cumulative' | null
  /** Of sums: whether it only grows. */
  readonly isMonotonic: boolean | null
  /** Of gauges and sums. */
  readonly value: number | bigint | null
  /** Of histograms and summaries, as the next three. */
  readonly count: number | bigint | null
  readonly sum: number | null
  readonly min: number | null
  readonly max: number | null
  /**
   * Histogram: `{ bounds, counts }`, one count more than bounds. Exponential: `{ scale, zeroCount, zeroThreshold, positive,
   * negative }`, each side `{ offset, counts }`. Summary: `{ quantiles: [{ quantile, value }] }`.
   */
  readonly buckets: JsonValue
}

/**
 * The data points of an ExportMetricsServiceRequest.
 *
 * @example
 * const { points, problems } = decodeOtlpMetrics(body, { encoding: 'protobuf' })
 * @throws TidemarkError TM_BODY, TM_LIMIT
 */
export function decodeOtlpMetrics(body: Uint8Array, options: OtlpOptions): Decoded<MetricPoint> {
  const signal = {
    request: metricsRequest,
    resources: 'resourceMetrics',
    scopes: 'scopeMetrics',
    items: 'metrics',
  }
  return decodeSignal<MetricPoint>(body, options, signal, (metric, origin, add) => {
    for (const { kind, field } of kinds) {
      const data = metric[field] as Read | undefined
      for (const point of list(data, 'dataPoints'))
        add((index) => readPoint(index, metric, kind, data!, point, origin))
    }
  })
}

const kinds: readonly { readonly kind: MetricKind; readonly field: string }[] = [
  { kind: 'gauge', field: 'gauge' },
  { kind: 'sum', field: 'sum' },
  { kind: 'histogram', field: 'histogram' },
  { kind: 'exponential_histogram', field: 'exponentialHistogram' },
  { kind: 'summary', field: 'summary' },
]

const noRecordedValue = 1

function readPoint(
  index: number,
  metric: Read,
  kind: MetricKind,
  data: Read,
  point: Read,
  origin: Origin,
): MetricPoint {
  const name = textOrNull(metric['name'])
  if (name === null) throw new ItemFault('name', null, 'null', 'the metric has no name')
  if (((point['flags'] as number | undefined) ?? 0) & noRecordedValue)
    throw new ItemFault(
      'flags',
      name,
      'unsupported',
      `${name}: the point says that it has no value; such points are not kept`,
    )
  const time = timeOf(point['timeUnixNano'], name)
  const isNumber = kind === 'gauge' || kind === 'sum'
  const value = isNumber ? numberOf(point) : null
  if (isNumber && value === null)
    throw new ItemFault('value', null, 'null', `${name}: the point has no value`)
  const hasTemporality = kind !== 'gauge' && kind !== 'summary'
  const temporality = hasTemporality
    ? temporalities[(data['aggregationTemporality'] as number | undefined) ?? 0]
    : null
  if (temporality === undefined)
    throw new ItemFault(
      'aggregationTemporality',
      String(data['aggregationTemporality'] ?? 0),
      'null',
      `${name}: it does not say whether its numbers are delta (1) or cumulative (2)`,
    )
  return {
    index,
    ...origin,
    name,
    description: textOrNull(metric['description']),
    unit: textOrNull(metric['unit']),
    kind,
    attributes: attributesOf(point['attributes']),
    time,
    start: instantOrNull(point['startTimeUnixNano']),
    temporality,
    isMonotonic: kind === 'sum' ? data['isMonotonic'] === true : null,
    value,
    count: isNumber ? null : exactNumber((point['count'] as bigint | undefined) ?? 0n),
    sum: isNumber ? null : ((point['sum'] as number | undefined) ?? null),
    min: (point['min'] as number | undefined) ?? null,
    max: (point['max'] as number | undefined) ?? null,
    buckets: bucketsOf(kind, point),
  }
}

/** AGGREGATION_TEMPORALITY_DELTA, _CUMULATIVE. */
const temporalities: Readonly<Record<number, 'delta' | 'cumulative'>> = { 1: 'delta', 2: 'cumulative' }

function numberOf(point: Read): number | bigint | null {
  if (point['asInt'] !== undefined) return exactNumber(point['asInt'] as bigint)
  return (point['asDouble'] as number | undefined) ?? null
}

function bucketsOf(kind: MetricKind, point: Read): JsonValue {
  switch (kind) {
    case 'histogram':
      return { bounds: numbers(point['explicitBounds']), counts: integers(point['bucketCounts']) }
    case 'exponential_histogram':
      return {
        scale: (point['scale'] as number | undefined) ?? 0,
        zeroCount: jsonInteger((point['zeroCount'] as bigint | undefined) ?? 0n),
        zeroThreshold: jsonNumber((point['zeroThreshold'] as number | undefined) ?? 0),
        positive: sideOf(point['positive'] as Read | undefined),
        negative: sideOf(point['negative'] as Read | undefined),
      }
    case 'summary':
      return {
        quantiles: list(point, 'quantileValues').map((entry) => ({
          quantile: jsonNumber((entry['quantile'] as number | undefined) ?? 0),
          value: jsonNumber((entry['value'] as number | undefined) ?? 0),
        })),
      }
    default:
      return null
  }
}

function sideOf(side: Read | undefined): JsonValue {
  return { offset: (side?.['offset'] as number | undefined) ?? 0, counts: integers(side?.['bucketCounts']) }
}

function numbers(values: unknown): JsonValue[] {
  return ((values as number[] | undefined) ?? []).map(jsonNumber)
}

function integers(values: unknown): JsonValue[] {
  return ((values as bigint[] | undefined) ?? []).map(jsonInteger)
}

/** A time that a row may have. */
export function timeOf(nanos: unknown, name: string): Instant {
  const time = instantOrNull(nanos)
  if (time === null) throw new ItemFault('timeUnixNano', null, 'null', `${name}: it has no time`)
  if (!isTimeOfRow(time))
    throw new ItemFault(
      'timeUnixNano',
      `${nanos}`,
      'range',
      `${name}: its time is outside of the times that rows can have`,
    )
  return time
}
