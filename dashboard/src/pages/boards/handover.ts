import type { Panel } from 'tidemark/client'

/**
 * A panel on its way from Explore to a board. Explore is opened with `board` (an id) and `panel` (the one that is edited, or a free id) in its
 * address; with them it offers to put what it shows on that board. The panel then waits in this tab, so that a draft of the board that is
 * not saved yet takes it in as one more change, which is undone and saved as any other.
 */

const key = (board: string): string => `tidemark.board.${board}.incoming`

/**
 * Called by Explore. The panel takes the place of the one with its id, and its note; or the first gap of its size (`place.w`, `place.h`).
 *
 * @example
 * navigate(handOver(state.board, { ...toPanel(state, info), id: state.panel, place: { x: 0, y: 0, w: 6, h: 7 } }))
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
