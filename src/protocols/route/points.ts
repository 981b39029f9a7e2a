import { type LineRoute, type ProtocolConfig, protocolSources, type Route } from '../../schema/index.ts'
import type { Point } from '../contract.ts'
import type { Sample } from '../prometheus/index.ts'
import {
  jsonObject,
  jsonOf,
  type NamedColumns,
  namedColumns,
  type RestColumn,
  restColumn,
  sourceColumns,
  takenColumns,
} from './columns.ts'
import { type Routed, type RoutedRow, RowCollector } from './contract.ts'
import { seriesText } from './series.ts'

export interface RouteLimits {
  readonly maxProblems?: number
}

/**
 * From points of line protocol to rows, by `ingest.lineProtocol` of the configuration. Made once.
 *
 * @example
 * const route = createLineRouter(config.ingest.lineProtocol)
 * const { tables, problems } = route(decodeLineProtocol(body, { receivedAt }).points)
 */
export function createLineRouter(
  config: NonNullable<ProtocolConfig['lineProtocol']>,
  limits: RouteLimits = {},
): (points: readonly Point[]) => Routed {
  const byMeasurement = new Map<string, NamedTable>()
  for (const route of config.into) {
    const table = namedTable(route)
    const { into, measurement } = route
    for (const name of measurement === null ? [into.table, into.name] : [measurement])
      byMeasurement.set(name, table)
  }
  const catchAll = config.catchAll === null ? null : catchAllOf(config.catchAll)
  const known = config.into.map((route: LineRoute) => route.measurement ?? route.into.table)
  return (points) => {
    const out = new RowCollector(limits.maxProblems)
    for (const point of points) {
      const table = byMeasurement.get(point.measurement)
      if (table !== undefined) addNamed(out, table, point)
      else if (catchAll !== null) out.add(catchAll.into, catchAll.rowOf(point), point.index)
      else
        out.refuse(
          point.index,
          null,
          point.measurement,
          'unknown',
          `no table takes the measurement ${JSON.stringify(point.measurement)} (known: ${known.join(', ')}); declare one, or a catchAll`,
        )
    }
    return out.result()
  }
}

/**
 * From samples of Prometheus to rows, by `ingest.prometheus`. Stale markers are left out where there is no column `stale`.
 *
 * @example
 * const { tables, problems, skipped } = createPrometheusRouter(config.ingest.prometheus)(decodeRemoteWrite(body).points)
 */
export function createPrometheusRouter(
  route: Route,
  limits: RouteLimits = {},
): (samples: readonly Sample[]) => Routed {
  const sources = protocolSources.prometheus
  const columns = sourceColumns(route, sources)
  const named = namedColumns(route, takenColumns(route, sources))
  const keepsStale = columns.has('stale')
  // Where all labels are kept together, a column of its own is one more place for a label, not the only one.
  const keepsLabels = columns.has('labels')
  const table: NamedTable = { route, named, rest: restColumn(route), ignoresUnknown: keepsLabels }
  return (samples) => {
    const out = new RowCollector(limits.maxProblems)
    for (const sample of samples) {
      if (sample.isStale && !keepsStale) {
        out.skipped++
        continue
      }
      const row = startRow(table, sample)
      const { tagKeys, tagValues } = sample
      if (!fillNamed(out, table, sample.index, row, tagKeys, tagValues, 'label')) continue
      columns.set(row, 'metric', sample.measurement)
      columns.set(row, 'value', sample.fieldValues[0])
      columns.set(row, 'stale', sample.isStale)
      if (keepsLabels) columns.set(row, 'labels', jsonObject(tagKeys, tagValues))
      if (columns.has('series')) columns.set(row, 'series', seriesOf(sample))
      out.add(route.into, row, sample.index)
    }
    return out.result()
  }
}

/** A table whose columns take tags and fields by their names. */
interface NamedTable {
  readonly route: Route
  readonly named: NamedColumns
  readonly rest: RestColumn | null
  readonly ignoresUnknown: boolean
}

function namedTable(route: Route): NamedTable {
  const rest = restColumn(route)
  const taken = new Set([route.into.time])
  if (rest !== null) taken.add(rest.name)
  return { route, named: namedColumns(route, taken), rest, ignoresUnknown: false }
}

function addNamed(out: RowCollector, table: NamedTable, point: Point): void {
  const { into } = table.route
  const row = startRow(table, point)
  if (!fillNamed(out, table, point.index, row, point.tagKeys, point.tagValues, 'tag')) return
  if (!fillNamed(out, table, point.index, row, point.fieldKeys, point.fieldValues, 'field')) return
  out.add(into, row, point.index)
}

function startRow({ route, rest }: NamedTable, point: Point): RoutedRow {
  const row: RoutedRow = { [route.into.time]: point.time }
  if (rest?.isRequired) row[rest.name] = {}
  return row
}

/** False when the point is refused. */
function fillNamed(
  out: RowCollector,
  table: NamedTable,
  index: number,
  row: RoutedRow,
  keys: readonly string[],
  values: readonly unknown[],
  what: 'tag' | 'field' | 'label',
): boolean {
  const { into } = table.route
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i]!
    const target = table.named.of(key)
    if (target !== undefined) {
      if (Object.hasOwn(row, target.column)) {
        const message = `${what} ${JSON.stringify(key)} goes to column "${target.column}" of ${into.name}, which has a value already`
        out.refuse(index, key, values[i], 'duplicate', message)
        return false
      }
      row[target.column] = target.convert(values[i])
    } else if (table.rest !== null) {
      const rest = (row[table.rest.name] ?? {}) as Record<string, unknown>
      row[table.rest.name] = rest
      if (Object.hasOwn(rest, key)) {
        const message = `${what} ${JSON.stringify(key)} is there twice, as a tag and as a field`
        out.refuse(index, key, values[i], 'duplicate', message)
        return false
      }
      setOwn(rest, key, jsonOf(values[i]))
    } else if (!table.ignoresUnknown) {
      const message = `${into.name} has no column for ${what} ${JSON.stringify(key)}; add the column, or a column rest: t.jsonb().nullable()`
      out.refuse(index, key, values[i], 'unknown', message)
      return false
    }
  }
  return true
}

/** A name may be `__proto__`. */
function setOwn(target: object, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true })
}

function catchAllOf(route: Route): { readonly into: Route['into']; rowOf(point: Point): RoutedRow } {
  const columns = sourceColumns(route, protocolSources.catchAll)
  const { tenant } = route.into
  return {
    into: route.into,
    rowOf(point) {
      const row: RoutedRow = { [route.into.time]: point.time }
      columns.set(row, 'measurement', point.measurement)
      // whose it is; without it, whoever sends it
      const tag = tenant === null ? -1 : point.tagKeys.indexOf(tenant)
      if (tag >= 0) row[tenant as string] = point.tagValues[tag]
      if (columns.has('tags')) columns.set(row, 'tags', jsonObject(point.tagKeys, point.tagValues))
      columns.set(row, 'fields', jsonObject(point.fieldKeys, point.fieldValues))
      if (columns.has('series')) columns.set(row, 'series', seriesOf(point))
      return row
    },
  }
}

function seriesOf(point: Point): string {
  return seriesText(
    point.measurement,
    point.tagKeys.map((key, i) => [key, point.tagValues[i]]),
  )
}
