import { useCallback, useMemo } from 'react'
import { useSearchParams } from 'react-router'
import type { BoardDocument } from 'tidemark/client'

export type Range = BoardDocument['range']
export type Refresh = NonNullable<BoardDocument['refresh']>

/** `board`: all of it, else the id of a panel. */
export type Full = 'board' | (string & {}) | null

export interface BoardUrl {
  /** Null: as the board says. */
  readonly range: Range | null
  readonly refresh: Refresh | null
  readonly isEditing: boolean
  readonly full: Full
  setRange(range: Range | null): void
  setRefresh(refresh: Refresh): void
  setEditing(isEditing: boolean): void
  setFull(full: Full): void
}

/** How a board is looked at, in the URL: it can be sent, reloaded, and gone back through. */
export function useBoardUrl(): BoardUrl {
  const [search, setSearch] = useSearchParams()
  const from = search.get('from')
  const to = search.get('to')
  const range = useMemo<Range | null>(() => {
    if (from === null) return null
    return to === null ? { from } : { from, to }
  }, [from, to])

  const change = useCallback(
    (values: Readonly<Record<string, string | null>>, replace: boolean) =>
      setSearch(
        (was) => {
          const next = new URLSearchParams(was)
          for (const [name, value] of Object.entries(values)) {
            if (value === null) next.delete(name)
            else next.set(name, value)
          }
          return next
        },
        { replace, preventScrollReset: true },
      ),
    [setSearch],
  )
  return {
    range,
    refresh: search.get('refresh'),
    isEditing: search.get('edit') === '1',
    full: search.get('full'),
    // each range is a step of the browser's history: Back leads out of a zoom
    setRange: useCallback(
      (next: Range | null) => change({ from: next?.from ?? null, to: next?.to ?? null }, false),
      [change],
    ),
    setRefresh: useCallback((next: Refresh) => change({ refresh: next }, true), [change]),
    setEditing: useCallback(
      (isEditing: boolean) => change({ edit: isEditing ? '1' : null, full: null }, true),
      [change],
    ),
    setFull: useCallback(
      (full: Full) => change(full === 'board' ? { full, edit: null } : { full }, true),
      [change],
    ),
  }
}
