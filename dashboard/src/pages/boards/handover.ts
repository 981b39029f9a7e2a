import type { Panel } from 'tidemark/client'

/**
 * A panel on its way between a board and Explore. Explore is opened with `board` (an id), `panel` (the one that is edited, or a free id) and `title` in its
 * address, beside its own state; with them it offers to put the question on that board. The panel then waits in this tab, so that a draft of the
 * board that is not saved yet takes it in as one more change, which is undone and saved as any other.
 */

/** What Explore's address says of where a panel goes back to. */
export interface BackTo {
  readonly board: string
  readonly panel: string
  readonly title: string
}

export function addBackTo(search: URLSearchParams, { board, panel, title }: BackTo): void {
  search.set('board', board)
  search.set('panel', panel)
  search.set('title', title)
}

/** Null: Explore was not opened from a board. */
export function readBackTo(search: URLSearchParams): BackTo | null {
  const [board, panel] = [search.get('board'), search.get('panel')]
  if (!board || !panel) return null
  return { board, panel, title: search.get('title') ?? '' }
}

const key = (board: string): string => `tidemark.board.${board}.incoming`

/**
 * Called by Explore. The panel takes the place of the one with its id, and its note; or the first gap of its size (`place.w`, `place.h`).
 *
 * @example
 * const back = readBackTo(searchParams)
 * if (back) navigate(handOver(back.board, { id: back.panel, title, chart, query, place: { x: 0, y: 0, w: 6, h: 7 } }))
 *
 * @returns where the reader goes next: the board, being edited
 */
export function handOver(board: string, panel: Panel): string {
  sessionStorage.setItem(key(board), JSON.stringify([...waiting(board), panel]))
  return `/boards/${encodeURIComponent(board)}?edit=1`
}

/** What waits, without taking it. */
export function waiting(board: string): readonly Panel[] {
  const text = sessionStorage.getItem(key(board))
  return text === null ? [] : (JSON.parse(text) as Panel[])
}

export function clearWaiting(board: string): void {
  sessionStorage.removeItem(key(board))
}
