import type { ColumnDefinition, ColumnType, HypertableDefinition } from './definition.ts'

/** Something that a protocol's points have, and the columns that can take it. */
export interface ProtocolSource {
  /** Its name; a column of that name takes it, whatever its case and underscores: `latencyMs` and `latency_ms` are one. */
  readonly name: string
  /** Other names that columns have for it. */
  readonly also: readonly string[]
  readonly types: readonly ColumnType[]
  /** False: there are points without it, so its column has to be nullable or have a default. */
  readonly isAlways: boolean
  /** No column takes it because of its name: only the declaration may say which. */
  readonly isOnlySaid?: boolean
}

function source(
  name: string,
  types: readonly ColumnType[],
  also: readonly string[] = [],
  isAlways = true,
): ProtocolSource {
  return Object.freeze({ name, also: Object.freeze(also), types: Object.freeze(types), isAlways })
}

const text: readonly ColumnType[] = ['text']
const json: readonly ColumnType[] = ['jsonb']
const instant: readonly ColumnType[] = ['timestamptz']
const float: readonly ColumnType[] = ['float8', 'float4']
const number: readonly ColumnType[] = ['float8', 'float4', 'numeric']
const whole: readonly ColumnType[] = ['int8', 'int4', 'float8', 'numeric']

const spanSources = [
  source('traceId', text),
  source('spanId', text),
  source('parentSpanId', text, ['parentId'], false),
  source('end', instant, ['endTime'], false),
  source('attributes', json, ['properties']),
  source('resource', json),
  source('service', text, ['serviceName'], false),
  source('scope', text, [], false),
  source('events', json),
  source('links', json),
  source('rest', json),
] as const

/**
 * What each protocol has for columns. The time goes to the hypertable's time column and is not listed. `rest` takes tags, fields,
 * labels and attributes that no column of their own takes.
 */
export const protocolSources = Object.freeze({
  /** Points of measurements that have no table of their own. */
  catchAll: Object.freeze([
    source('measurement', text, ['metric', 'name']),
    source('tags', json, ['labels']),
    source('fields', json, ['values']),
    source('series', text),
  ]),
  prometheus: Object.freeze([
    source('metric', text, ['name', 'measurement']),
    source('labels', json, ['tags']),
    source('series', text),
    source('value', float),
    source('stale', ['bool'], ['isStale']),
    source('rest', json),
  ]),
  metrics: Object.freeze([
    source('metric', text, ['name', 'measurement']),
    source('kind', text, ['type']),
    source('description', text, [], false),
    source('unit', text, [], false),
    source('start', instant, ['startTime'], false),
    source('temporality', text, [], false),
    source('monotonic', ['bool'], ['isMonotonic'], false),
    source('value', number, [], false),
    source('count', whole, [], false),
    source('sum', number, [], false),
    source('min', number, [], false),
    source('max', number, [], false),
    source('buckets', json, [], false),
    source('attributes', json, ['labels', 'tags']),
    source('series', text),
    source('resource', json),
    source('service', text, ['serviceName'], false),
    source('scope', text, [], false),
    source('rest', json),
  ]),
  logs: Object.freeze([
    source('observed', instant, ['observedTime'], false),
    source('severity', ['int2', 'int4', 'int8'], ['severityNumber'], false),
    source('severityText', text, ['level'], false),
    source('body', ['jsonb', 'text'], ['message'], false),
    source('attributes', json, ['properties']),
    source('traceId', text, [], false),
    source('spanId', text, [], false),
    source('event', text, ['eventName'], false),
    source('resource', json),
    source('service', text, ['serviceName'], false),
    source('scope', text, [], false),
    source('rest', json),
  ]),
  spans: Object.freeze([
    source('name', text),
    source('kind', text, ['spanKind']),
    source('durationMs', float, ['duration', 'latencyMs'], false),
    source('status', text),
    source('statusMessage', text, ['error'], false),
    ...spanSources,
  ]),
  /** Spans that are calls to models. */
  genAi: Object.freeze([
    source('operation', text, [], false),
    source('provider', text, [], false),
    source('model', text, [], false),
    source('requestModel', text, [], false),
    source('responseModel', text, [], false),
    source('inputTokens', whole, ['promptTokens'], false),
    source('outputTokens', whole, ['completionTokens'], false),
    source('latencyMs', float, ['durationMs', 'duration'], false),
    source('status', text),
    source('error', text, ['statusMessage'], false),
    source('userId', text, ['user'], false),
    source('conversationId', text, [], false),
    source('responseId', text, [], false),
    source('finishReasons', json, [], false),
    source('name', text, ['spanName']),
    ...spanSources,
  ]),
  /** Events of browsers, as the tracker and older ones send them. */
  analytics: Object.freeze([
    source('id', ['uuid', 'text'], ['eventId'], false),
    source('event', text, ['eventName', 'name']),
    source('category', text),
    source('userId', text, ['user'], false),
    source('anonymousId', ['text', 'uuid'], ['visitorId'], false),
    source('sessionId', ['text', 'uuid'], ['session'], false),
    source('pageUrl', text, ['url'], false),
    source('referrer', text, [], false),
    source('properties', json),
    source('device', json, ['deviceInfo'], false),
    source('received', instant, ['receivedAt']),
    source('userAgent', text, [], false),
    Object.freeze({ ...source('ip', text, [], false), isOnlySaid: true }),
  ]),
} satisfies Record<string, readonly ProtocolSource[]>)

export type ProtocolKind = keyof typeof protocolSources

/** Names that differ only in case and marks are the same. */
export function plainName(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
}

/**
 * Which column takes which source: by what the declaration says, else by name. The time column takes none.
 *
 * @param columns sources (or names of tags, fields, labels, attributes) by the column that was declared for them
 */
export function columnsOfSources(
  dataset: HypertableDefinition,
  sources: readonly ProtocolSource[],
  columns: Readonly<Record<string, string>>,
): Map<ProtocolSource, string> {
  const taken = new Set([dataset.time, ...Object.values(columns)])
  const byName = new Map(Object.keys(dataset.columns).map((column) => [plainName(column), column]))
  const found = new Map<ProtocolSource, string>()
  for (const entry of sources) {
    const said = Object.hasOwn(columns, entry.name) ? columns[entry.name] : undefined
    if (said !== undefined) found.set(entry, said)
  }
  // its own name goes before other names for it: `status` is the status, not another source's second name
  for (const namesOf of [(s: ProtocolSource) => [s.name], (s: ProtocolSource) => s.also]) {
    for (const entry of sources) {
      if (found.has(entry) || entry.isOnlySaid === true) continue
      const column = namesOf(entry)
        .map((name) => byName.get(plainName(name)))
        .find((name) => name !== undefined && !taken.has(name))
      if (column === undefined) continue
      found.set(entry, column)
      taken.add(column)
    }
  }
  return found
}

/** Whether a row without the column is taken. */
export function mayBeLeftOut(column: ColumnDefinition): boolean {
  return column.nullable || column.default !== null
}
