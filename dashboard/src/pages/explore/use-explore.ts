import { useQuery } from '@tanstack/react-query'
import { useCallback, useEffect, useMemo } from 'react'
import { useSearchParams } from 'react-router'
import type { DatasetInfo } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { bordersFor, type RangeText, roughMs, sensibleRange } from '../../chart/index.ts'
import { firstAggregates } from './aggregates.ts'
import { type ExploreState, fromSearch, toSearch } from './state.ts'

/** The state is the address; each change is a step in the browser's history, so that back and forward undo and redo. */
export function useExploreState(): {
  readonly state: ExploreState
  update(change: Partial<ExploreState>, options?: { readonly replace?: boolean }): void
} {
  const [search, setSearch] = useSearchParams()
  const state = useMemo(() => fromSearch(search), [search])
  const update = useCallback(
    (change: Partial<ExploreState>, { replace = false }: { readonly replace?: boolean } = {}) =>
      setSearch((now) => toSearch({ ...fromSearch(now), ...change }), { replace }),
    [setSearch],
  )
  return { state, update }
}

export interface Bounds {
  /** In ms; null: there are no rows. */
  readonly newest: number | null
  readonly oldest: number | null
}

/** When the first and the last row of a dataset are. */
export function useBounds(info: DatasetInfo | undefined): Bounds | undefined {
  const client = useClient()
  const { data } = useQuery({
    queryKey: ['bounds', info?.name],
    enabled: info?.time != null,
    staleTime: 60_000,
    queryFn: async ({ signal }) => {
      const { name, time, kind, aggregate } = info as DatasetInfo
      const column = time as string
      const ask = async (end: 'newest' | 'oldest'): Promise<number | null> => {
        const query =
          kind === 'aggregate'
            ? {
                select: { one: Object.keys(aggregate?.select ?? {})[0] },
                order: [end === 'newest' ? '-bucket' : 'bucket'],
                limit: 1,
              }
            : { columns: [column], direction: end === 'newest' ? 'desc' : 'asc', limit: 1 }
        const { rows } = await client.query(name, query as never, { signal })
        const value = (rows[0] as Record<string, unknown> | undefined)?.[column]
        const ms = typeof value === 'string' ? Date.parse(value) : Number.NaN
        return Number.isFinite(ms) ? ms : null
      }
      const [newest, oldest] = await Promise.all([ask('newest'), ask('oldest')])
      return { newest, oldest }
    },
  })
  return data
}

/** What is looked at first: a hypertable, else an aggregate, else a table. */
export function firstDataset(all: readonly DatasetInfo[]): DatasetInfo | undefined {
  return (
    all.find(({ kind }) => kind === 'hypertable') ?? all.find(({ kind }) => kind === 'aggregate') ?? all[0]
  )
}

/** Whether the range may hold rows; a chart of nothing is no first sight. */
export function hasRows({ from, to }: RangeText, bounds: Bounds | undefined): boolean {
  if (bounds?.newest == null) return true
  const now = Date.now()
  const begin = from === null ? Number.NEGATIVE_INFINITY : roughMs(from, now)
  const end = to === null ? now : roughMs(to, now)
  return begin !== null && end !== null && begin <= bounds.newest && end > (bounds.oldest ?? bounds.newest)
}

/** The first question to a dataset, where its rows are. */
export function firstLook(info: DatasetInfo, bounds: Bounds | undefined): Partial<ExploreState> {
  const range: RangeText =
    info.time === null || bounds === undefined
      ? { from: '-1 day', to: null }
      : sensibleRange(bounds.newest, bounds.oldest, Date.now())
  return {
    dataset: info.name,
    select: firstAggregates(info),
    ...range,
    ...(info.time === null ? { chart: 'number' as const } : {}),
  }
}

/** Borders of a histogram that has none yet, by how its values lie in the range. */
export function useBorders(
  state: ExploreState,
  info: DatasetInfo | undefined,
  update: (change: Partial<ExploreState>, options?: { readonly replace?: boolean }) => void,
): { readonly isLooking: boolean; readonly error: unknown } {
  const client = useClient()
  const at = state.select.findIndex(
    ({ fn, column, borders }) =>
      fn === 'histogram' && column !== null && column !== '' && borders.length === 0,
  )
  const column = state.select[at]?.column
  const { data, isFetching, error } = useQuery({
    queryKey: ['spread', info?.name, column, state.from, state.to],
    enabled: info !== undefined && at >= 0,
    queryFn: async ({ signal }) => {
      const quantile = (q: number): object => ({ fn: 'percentile', column, q })
      const query = {
        ...(info?.time == null
          ? {}
          : { ...(state.from === null ? {} : { from: state.from }), to: state.to ?? 'now' }),
        select: { low: quantile(0.01), middle: quantile(0.5), high: quantile(0.99) },
      }
      const { rows } = await client.query(info?.name as string, query as never, { signal })
      const { low, middle, high } = (rows[0] ?? {}) as Record<string, number | null>
      return bordersFor({ low: low ?? 0, middle: middle ?? 0, high: high ?? 1 })
    },
  })
  useEffect(() => {
    if (data === undefined || at < 0) return
    update(
      { select: state.select.map((one, i) => (i === at ? { ...one, borders: data } : one)) },
      { replace: true },
    )
  }, [data, at, state.select, update])
  return { isLooking: at >= 0 && isFetching, error: at >= 0 ? error : null }
}

export interface PathInfo {
  readonly path: string
  /** Of its values, as far as seen. */
  readonly type: string
}

const maxPaths = 200

/** Places inside of jsonb columns, from the newest rows: nobody declares them. */
export function usePaths(info: DatasetInfo | undefined): readonly PathInfo[] {
  const client = useClient()
  const columns =
    info?.kind === 'aggregate' ? [] : (info?.columns.filter(({ type }) => type === 'jsonb') ?? [])
  const { data } = useQuery({
    queryKey: ['paths', info?.name],
    enabled: columns.length > 0,
    staleTime: 300_000,
    queryFn: async ({ signal }) => {
      const names = columns.map(({ name }) => name)
      const query = {
        columns: names,
        limit: 200,
        ...(info?.time === null ? {} : { direction: 'desc' }),
      }
      const { rows } = await client.query(info?.name as string, query as never, { signal })
      return pathsOf(rows as readonly Readonly<Record<string, unknown>>[], names)
    },
  })
  return data ?? none
}

const none: readonly PathInfo[] = []

/** What keys the documents have, three levels deep, the most frequent first. */
export function pathsOf(
  rows: readonly Readonly<Record<string, unknown>>[],
  columns: readonly string[],
): readonly PathInfo[] {
  const found = new Map<string, { type: string; count: number }>()
  const walk = (value: unknown, path: string, depth: number): void => {
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      if (depth === 3) return
      for (const [key, inner] of Object.entries(value))
        if (key !== '') walk(inner, `${path}.${key.replace(/[\\.]/g, '\\$&')}`, depth + 1)
      return
    }
    if (depth === 0 || Array.isArray(value)) return
    const known = found.get(path)
    const type = value === null ? (known?.type ?? 'null') : typeof value
    if (known) {
      known.count += 1
      known.type = type
    } else if (found.size < maxPaths) found.set(path, { type, count: 1 })
  }
  for (const row of rows) for (const column of columns) walk(row[column], column, 0)
  return [...found].sort((a, b) => b[1].count - a[1].count).map(([path, { type }]) => ({ path, type }))
}

/** The most frequent values of a column in the range, to choose from. */
export function useValues(
  info: DatasetInfo,
  column: string,
  range: RangeText,
  isWanted: boolean,
): readonly string[] {
  const client = useClient()
  const { data } = useQuery({
    queryKey: ['values', info.name, column, range.from, range.to],
    enabled: isWanted && column !== '' && info.kind !== 'aggregate',
    staleTime: 60_000,
    retry: false,
    queryFn: async ({ signal }) => {
      const query = {
        ...(info.time === null
          ? {}
          : { ...(range.from === null ? {} : { from: range.from }), to: range.to ?? 'now' }),
        select: { top: { fn: 'topK', column, k: 50 } },
      }
      const { rows } = await client.query(info.name, query as never, { signal })
      const top = (rows[0] as { top?: readonly { readonly value: unknown }[] } | undefined)?.top ?? []
      return top.map(({ value }) => String(value))
    },
  })
  return data ?? []
}
