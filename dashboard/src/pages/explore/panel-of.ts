import type { DatasetInfo } from 'tidemark/client'
import type { PanelContent, PanelQuery } from '../../chart/panel.ts'
import {
  type Aggregate,
  aggregateText,
  type NamedAggregate,
  nameAll,
  plainAggregate,
  toCall,
} from './aggregates.ts'
import { fromWhere, toWhere } from './filters.ts'
import { type ExploreState, emptyState, readAggregate } from './state.ts'

/** What Explore shows as a panel of a board, and the other way round. Pure. */

const noBucket = 'none'

const fillOf = { none: undefined, zero: { constant: 0 }, previous: 'previous', linear: 'linear' } as const

/** The aggregates that are asked, each with its name in the answer. */
export function namedAggregates(state: ExploreState): readonly NamedAggregate[] {
  return nameAll(state.select, state.by)
}

/** A heading for what is shown: `p95 of latencyMs by model`. */
export function titleOf(state: ExploreState): string {
  if (state.title !== null && state.title !== '') return state.title
  const what = namedAggregates(state).map(({ aggregate }) => aggregateText(aggregate))
  const text = what.length === 0 ? (state.dataset ?? '') : what.slice(0, 3).join(', ')
  const first = text.slice(0, 1).toUpperCase() + text.slice(1)
  return state.by.length === 0 ? first : `${first} by ${state.by.join(', ')}`
}

/** A state as what is asked and drawn. */
export function toPanel(state: ExploreState, info: DatasetInfo): PanelContent {
  const { by, more, fill, chart } = state
  const named = namedAggregates(state)
  const where = both(toWhere(info, state.where), more?.['where'])
  const isTimed =
    info.time !== null && state.bucket !== noBucket && !(chart === 'number' && state.bucket === null)
  const filled = isTimed ? fillOf[fill] : undefined
  const { where: _, select: written, ...rest } = more ?? {}
  const select = {
    ...(written as Readonly<Record<string, unknown>> | undefined),
    ...Object.fromEntries(named.map(({ name, aggregate }) => [name, toCall(info, aggregate)])),
  }
  const isRows = Object.keys(select).length === 0 && ('columns' in rest || 'latestBy' in rest)
  if (isRows)
    return {
      title: titleOf(state),
      chart: 'table',
      query: {
        dataset: info.name,
        ...(where === undefined ? {} : { where }),
        ...(rest as Partial<PanelQuery>),
      },
    }
  return {
    title: titleOf(state),
    chart:
      info.time === null && (chart === 'line' || chart === 'stacked' || chart === 'heatmap') ? 'bar' : chart,
    query: {
      dataset: info.name,
      bucket: isTimed ? (state.bucket ?? 'auto') : null,
      ...(by.length === 0 ? {} : { by }),
      ...(where === undefined ? {} : { where }),
      // without it a continuous aggregate gives all that it keeps
      ...(Object.keys(select).length === 0 && info.kind === 'aggregate' ? {} : { select }),
      ...(filled === undefined ? {} : { fill: filled }),
      ...(rest as Partial<PanelQuery>),
    },
    ...(state.compare === null ? {} : { compare: state.compare }),
    ...(state.unit === null ? {} : { unit: state.unit }),
  }
}

function both(
  typed: Readonly<Record<string, unknown>> | undefined,
  written: unknown,
): Readonly<Record<string, unknown>> | undefined {
  if (typeof written !== 'object' || written === null) return typed
  const other = written as Readonly<Record<string, unknown>>
  return typed === undefined ? other : { $and: [typed, other] }
}

/** The state that shows a panel. What the form has no place for is kept as it is written. */
export function fromPanel(
  panel: PanelContent,
  range: { readonly from: string; readonly to?: string | null | undefined },
): ExploreState {
  const { query } = panel
  const filters = query.where === undefined ? [] : fromWhere(query.where)
  const more: Record<string, unknown> = {
    ...(query.having === undefined ? {} : { having: query.having }),
    ...(query.order === undefined ? {} : { order: query.order }),
    ...(query.limit === undefined ? {} : { limit: query.limit }),
    ...(query.zone === undefined ? {} : { zone: query.zone }),
    ...(filters === null ? { where: query.where } : {}),
    ...(query.columns === undefined ? {} : { columns: query.columns }),
    ...(query.direction === undefined ? {} : { direction: query.direction }),
    ...(query.latestBy === undefined ? {} : { latestBy: query.latestBy }),
  }
  const select = Object.entries(query.select ?? {}).map(
    ([name, call]) => [name, call, aggregateOf(name, call)] as const,
  )
  const unread = select.filter(([, , aggregate]) => aggregate === null)
  if (unread.length > 0) more['select'] = Object.fromEntries(unread.map(([name, call]) => [name, call]))
  const { fill } = query
  return {
    ...emptyState,
    dataset: query.dataset,
    from: range.from,
    to: range.to ?? null,
    bucket: query.bucket === 'auto' ? null : (query.bucket ?? (panel.chart === 'number' ? null : noBucket)),
    by: query.by ?? [],
    where: filters ?? [],
    select: select.flatMap(([, , aggregate]) => (aggregate === null ? [] : [aggregate])),
    chart: panel.chart,
    fill:
      typeof fill === 'object' && fill.constant === 0
        ? 'zero'
        : fill === 'previous' || fill === 'linear'
          ? fill
          : 'none',
    compare: panel.compare ?? null,
    unit: panel.unit ?? null,
    more: Object.keys(more).length === 0 ? null : more,
    title: panel.title,
  }
}

/** The name is kept: a board's readers know it. Null: it says more than the form can show. */
function aggregateOf(name: string, call: unknown): Aggregate | null {
  if (typeof call === 'string')
    return { ...plainAggregate, fn: 'output', column: call, name: call === name ? null : name }
  if (typeof call !== 'object' || call === null) return null
  const { where, ...rest } = call as Record<string, unknown>
  const read = readAggregate({ ...rest, name })
  const filters = where === undefined ? [] : fromWhere(where as Record<string, unknown>)
  if (read === null || filters === null) return null
  const aggregate = { ...read, where: filters }
  const [own] = nameAll([{ ...aggregate, name: null }])
  return own?.name === name ? { ...aggregate, name: null } : aggregate
}
