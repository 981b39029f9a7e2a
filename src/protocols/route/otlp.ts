import { type ProtocolConfig, type ProtocolSource, protocolSources, type Route } from '../../schema/index.ts'
import { type Attributes, genAiCallOf, type LogRecord, type MetricPoint, type Span } from '../otlp/index.ts'
import { namedColumns, restColumn, type SourceColumns, sourceColumns, takenColumns } from './columns.ts'
import { type Routed, type RoutedRow, RowCollector } from './contract.ts'
import type { RouteLimits } from './points.ts'
import { seriesText } from './series.ts'

type OtlpRoutes = ProtocolConfig['otlp']

/** From data points of metrics to rows, by `ingest.otlp.metrics`. */
export function createMetricsRouter(
  route: Route,
  limits: RouteLimits = {},
): (points: readonly MetricPoint[]) => Routed {
  const table = otlpTable(route, protocolSources.metrics)
  const { columns } = table
  return (points) => {
    const out = new RowCollector(limits.maxProblems)
    for (const point of points) {
      const row = table.rowOf(point)
      // The attributes tell one series from another: none may be lost.
      const lost = Object.keys(point.attributes).find((name) => !table.keeps(name))
      if (lost !== undefined) {
        const message = `${route.into.name} has no column for attribute ${JSON.stringify(lost)}; add the column, attributes: t.jsonb(), or rest: t.jsonb()`
        out.refuse(point.index, lost, JSON.stringify(point.attributes[lost]), 'unknown', message)
        continue
      }
      columns.set(row, 'metric', point.name)
      columns.set(row, 'kind', point.kind)
      columns.set(row, 'description', point.description)
      columns.set(row, 'unit', point.unit)
      columns.set(row, 'start', point.start)
      columns.set(row, 'temporality', point.temporality)
      columns.set(row, 'monotonic', point.isMonotonic)
      columns.set(row, 'value', point.value)
      columns.set(row, 'count', point.count)
      columns.set(row, 'sum', point.sum)
      columns.set(row, 'min', point.min)
      columns.set(row, 'max', point.max)
      columns.set(row, 'buckets', point.buckets)
      if (columns.has('series'))
        columns.set(
          row,
          'series',
          seriesText(point.name, Object.entries({ ...point.resource, ...point.attributes })),
        )
      out.add(route.into, row, point.index)
    }
    return out.result()
  }
}

/** From log records to rows, by `ingest.otlp.logs`. Attributes that no column takes are left out. */
export function createLogsRouter(
  route: Route,
  limits: RouteLimits = {},
): (records: readonly LogRecord[]) => Routed {
  const table = otlpTable(route, protocolSources.logs)
  const { columns } = table
  return (records) => {
    const out = new RowCollector(limits.maxProblems)
    for (const record of records) {
      const row = table.rowOf(record)
      columns.set(row, 'observed', record.observed)
      columns.set(row, 'severity', record.severityNumber)
      columns.set(row, 'severityText', record.severityText)
      columns.set(row, 'body', record.body)
      columns.set(row, 'traceId', record.traceId)
      columns.set(row, 'spanId', record.spanId)
      columns.set(row, 'event', record.eventName)
      out.add(route.into, row, record.index)
    }
    return out.result()
  }
}

/**
 * From spans to rows, by `ingest.otlp.spans` (every span) and `ingest.otlp.genAi` (those that are calls to models); a span may
 * go to both. Attributes that no column takes are left out.
 */
export function createSpansRouter(
  routes: Pick<OtlpRoutes, 'spans' | 'genAi'>,
  limits: RouteLimits = {},
): (spans: readonly Span[]) => Routed {
  const all = routes.spans === null ? null : otlpTable(routes.spans, protocolSources.spans)
  const calls = routes.genAi === null ? null : otlpTable(routes.genAi, protocolSources.genAi)
  return (spans) => {
    const out = new RowCollector(limits.maxProblems)
    for (const span of spans) {
      if (all !== null) {
        const row = spanRow(all, span)
        all.columns.set(row, 'name', span.name)
        all.columns.set(row, 'kind', span.kind)
        all.columns.set(row, 'durationMs', span.durationMs)
        all.columns.set(row, 'status', span.status)
        all.columns.set(row, 'statusMessage', span.statusMessage)
        out.add(all.route.into, row, span.index)
      }
      const call = calls === null ? null : genAiCallOf(span)
      if (calls !== null && call !== null) {
        const row = spanRow(calls, span)
        const { columns } = calls
        columns.set(row, 'operation', call.operation)
        columns.set(row, 'provider', call.provider)
        columns.set(row, 'model', call.model)
        columns.set(row, 'requestModel', call.requestModel)
        columns.set(row, 'responseModel', call.responseModel)
        columns.set(row, 'inputTokens', call.inputTokens)
        columns.set(row, 'outputTokens', call.outputTokens)
        columns.set(row, 'latencyMs', call.latencyMs)
        columns.set(row, 'status', call.status)
        columns.set(row, 'error', call.error)
        columns.set(row, 'userId', call.userId)
        columns.set(row, 'conversationId', call.conversationId)
        columns.set(row, 'responseId', call.responseId)
        columns.set(row, 'finishReasons', call.finishReasons)
        columns.set(row, 'name', span.name)
        out.add(calls.route.into, row, span.index)
      }
      if (all === null && call === null) out.skipped++
    }
    return out.result()
  }
}

function spanRow(table: OtlpTable, span: Span): RoutedRow {
  const row = table.rowOf(span)
  const { columns } = table
  columns.set(row, 'traceId', span.traceId)
  columns.set(row, 'spanId', span.spanId)
  columns.set(row, 'parentSpanId', span.parentSpanId)
  columns.set(row, 'end', span.end)
  columns.set(row, 'events', span.events)
  columns.set(row, 'links', span.links)
  return row
}

interface OtlpItem {
  readonly time: bigint
  readonly attributes: Attributes
  readonly resource: Attributes
  readonly scope: string | null
}

interface OtlpTable {
  readonly route: Route
  readonly columns: SourceColumns
  /** Whether some column takes an attribute of that name. */
  keeps(attribute: string): boolean
  /** A row with the time, the attributes, and where they come from. */
  rowOf(item: OtlpItem): RoutedRow
}

function otlpTable(route: Route, sources: readonly ProtocolSource[]): OtlpTable {
  const { into } = route
  const columns = sourceColumns(route, sources)
  const named = namedColumns(route, takenColumns(route, sources))
  const rest = restColumn(route)
  const keepsAll = columns.has('attributes') || rest !== null
  return {
    route,
    columns,
    keeps: (attribute) => keepsAll || named.of(attribute) !== undefined,
    rowOf({ time, attributes, resource, scope }) {
      const row: RoutedRow = { [into.time]: time }
      const unclaimed: [string, unknown][] = []
      // those of the item go before those of its resource
      for (const [name, value] of Object.entries({ ...resource, ...attributes })) {
        const target = named.of(name)
        if (target === undefined) unclaimed.push([name, value])
        else if (value !== null && !Object.hasOwn(row, target.column))
          row[target.column] = target.convert(value)
      }
      if (rest !== null && (rest.isRequired || unclaimed.length > 0))
        row[rest.name] = Object.fromEntries(unclaimed)
      columns.set(row, 'attributes', attributes)
      columns.set(row, 'resource', resource)
      columns.set(
        row,
        'service',
        typeof resource['service.name'] === 'string' ? resource['service.name'] : null,
      )
      columns.set(row, 'scope', scope)
      return row
    },
  }
}
