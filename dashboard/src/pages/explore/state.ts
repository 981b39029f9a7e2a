import type { PanelChart } from '../../chart/panel.ts'
import type { Shown } from '../../chart/shown.ts'
import { type Aggregate, type Fn, functions, plainAggregate } from './aggregates.ts'
import { type Filter, type Operator, operators } from './filters.ts'

/** Everything that Explore shows, and its address. What the address says is read as what somebody else wrote. Pure. */

export const fills = ['none', 'zero', 'previous', 'linear'] as const
export type Fill = (typeof fills)[number]

export const charts: readonly PanelChart[] = ['line', 'bar', 'stacked', 'heatmap', 'table', 'number']

export interface ExploreState {
  /** Null: nothing is chosen yet. */
  readonly dataset: string | null
  /** ISO 8601, `-1 day`, or null: from the beginning. */
  readonly from: string | null
  /** Null: up to now. */
  readonly to: string | null
  /** Null: by the width of the chart. */
  readonly bucket: string | null
  readonly by: readonly string[]
  readonly where: readonly Filter[]
  readonly select: readonly Aggregate[]
  readonly chart: PanelChart
  readonly fill: Fill
  /** `previous`, or how much earlier: `1 week`. */
  readonly compare: string | null
  readonly isLive: boolean
  readonly shown: Shown
  readonly unit: string | null
  /** Parts of a query that the form has no place for, as they were written: `having`, `order`, `limit`, … */
  readonly more: Readonly<Record<string, unknown>> | null
  /** The board that it was opened from, and its panel; where it goes back to. */
  readonly board: string | null
  readonly panel: string | null
  readonly title: string | null
}

export const emptyState: ExploreState = {
  dataset: null,
  from: '-1 day',
  to: null,
  bucket: null,
  by: [],
  where: [],
  select: [],
  chart: 'line',
  fill: 'none',
  compare: null,
  isLive: false,
  shown: { kind: 'all', keys: [] },
  unit: null,
  more: null,
  board: null,
  panel: null,
  title: null,
}

/** What `more` may hold. */
const moreKeys = [
  'having',
  'order',
  'limit',
  'where',
  'zone',
  'select',
  'columns',
  'direction',
  'latestBy',
] as const

function filterJson({ column, op, values }: Filter): unknown {
  return [column, op, ...values]
}

function aggregateJson(aggregate: Aggregate): Record<string, unknown> {
  const { fn, column, name, where } = aggregate
  return {
    fn,
    ...(column === null ? {} : { column }),
    ...(name === null ? {} : { name }),
    ...(fn === 'percentile' ? { q: aggregate.q } : {}),
    ...(fn === 'percentiles' ? { qs: aggregate.qs } : {}),
    ...(fn === 'topK' ? { k: aggregate.k } : {}),
    ...(fn === 'histogram' ? { borders: aggregate.borders } : {}),
    ...(aggregate.series === null ? {} : { series: aggregate.series }),
    ...(aggregate.method === 'locf' ? {} : { method: aggregate.method }),
    ...(where.length === 0 ? {} : { where: where.map(filterJson) }),
  }
}

/**
 * The state as an address. What is as ever is left out, so that addresses stay short.
 *
 * @example toSearch({ ...emptyState, dataset: 'metrics.cpu' }).toString() // 'dataset=metrics.cpu&from=-1+day'
 */
export function toSearch(state: ExploreState): URLSearchParams {
  const search = new URLSearchParams()
  if (state.dataset !== null) search.set('dataset', state.dataset)
  search.set('from', state.from ?? 'beginning')
  if (state.to !== null) search.set('to', state.to)
  if (state.bucket !== null) search.set('bucket', state.bucket)
  for (const name of state.by) search.append('by', name)
  for (const aggregate of state.select) search.append('select', JSON.stringify(aggregateJson(aggregate)))
  for (const filter of state.where) search.append('where', JSON.stringify(filterJson(filter)))
  if (state.chart !== 'line') search.set('chart', state.chart)
  if (state.fill !== 'none') search.set('fill', state.fill)
  if (state.compare !== null) search.set('compare', state.compare)
  if (state.isLive) search.set('live', '1')
  if (state.shown.kind !== 'all') for (const key of state.shown.keys) search.append(state.shown.kind, key)
  if (state.unit !== null) search.set('unit', state.unit)
  if (state.more !== null) search.set('more', JSON.stringify(state.more))
  if (state.board !== null) search.set('board', state.board)
  if (state.panel !== null) search.set('panel', state.panel)
  if (state.title !== null) search.set('title', state.title)
  return search
}

function parsed(text: string | null): unknown {
  if (text === null) return undefined
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function readFilter(value: unknown): Filter | null {
  if (!Array.isArray(value)) return null
  const [column, op, ...values] = value as unknown[]
  if (typeof column !== 'string' || !operators.includes(op as Operator)) return null
  return { column, op: op as Operator, values: values.map(String) }
}

function numbersOf(value: unknown): readonly number[] | null {
  return Array.isArray(value) && value.every((one) => typeof one === 'number' && Number.isFinite(one))
    ? (value as number[])
    : null
}

function textsOf(value: unknown): readonly string[] | null {
  return Array.isArray(value) && value.every((one) => typeof one === 'string') ? (value as string[]) : null
}

export function readAggregate(value: unknown): Aggregate | null {
  if (!isRecord(value) || !functions.includes(value['fn'] as Fn)) return null
  const { column, name, q, k } = value
  const filters = Array.isArray(value['where']) ? value['where'].map(readFilter) : []
  return {
    fn: value['fn'] as Fn,
    column: typeof column === 'string' ? column : null,
    name: typeof name === 'string' ? name : null,
    q: typeof q === 'number' ? q : plainAggregate.q,
    qs: numbersOf(value['qs']) ?? plainAggregate.qs,
    k: typeof k === 'number' ? k : plainAggregate.k,
    borders: numbersOf(value['borders']) ?? [],
    series: textsOf(value['series']),
    method: value['method'] === 'linear' ? 'linear' : 'locf',
    where: filters.filter((filter) => filter !== null),
  }
}

function readMore(value: unknown): ExploreState['more'] {
  if (!isRecord(value)) return null
  const known = Object.entries(value).filter(([key]) => (moreKeys as readonly string[]).includes(key))
  return known.length === 0 ? null : Object.fromEntries(known)
}

function oneOf<T extends string>(all: readonly T[], text: string | null, otherwise: T): T {
  return all.find((one) => one === text) ?? otherwise
}

/** An address as a state; what it says that Explore does not know is left out. */
export function fromSearch(search: URLSearchParams): ExploreState {
  const from = search.get('from')
  const only = search.getAll('only')
  const without = search.getAll('without')
  return {
    dataset: search.get('dataset'),
    from: from === 'beginning' ? null : (from ?? emptyState.from),
    to: search.get('to'),
    bucket: search.get('bucket'),
    by: search.getAll('by'),
    where: search
      .getAll('where')
      .map((text) => readFilter(parsed(text)))
      .filter((filter) => filter !== null),
    select: search
      .getAll('select')
      .map((text) => readAggregate(parsed(text)))
      .filter((aggregate) => aggregate !== null),
    chart: oneOf(charts, search.get('chart'), 'line'),
    fill: oneOf(fills, search.get('fill'), 'none'),
    compare: search.get('compare'),
    isLive: search.get('live') === '1',
    shown:
      only.length > 0
        ? { kind: 'only', keys: only }
        : without.length > 0
          ? { kind: 'without', keys: without }
          : { kind: 'all', keys: [] },
    unit: search.get('unit'),
    more: readMore(parsed(search.get('more'))),
    board: search.get('board'),
    panel: search.get('panel'),
    title: search.get('title'),
  }
}
