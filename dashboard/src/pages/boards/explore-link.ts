import type { Board, Panel } from 'tidemark/client'
import { freshId } from './document.ts'
import { addBackTo } from './handover.ts'
import type { Range } from './use-board-url.ts'

/** Explore with the question of a panel; with a board it can be put back from there. */
export function exploreLink(panel: Panel, range: Range, board: Pick<Board, 'id'> | null): string {
  const search = new URLSearchParams({ dataset: panel.query.dataset, from: range.from })
  if (range.to !== undefined) search.set('to', range.to)
  if (board) addBackTo(search, { board: board.id, panel: panel.id, title: panel.title })
  return `/explore?${search}`
}

/** Explore with nothing chosen, for a new panel. */
export function exploreBlank(
  board: Pick<Board, 'id'>,
  range: Range,
  panels: readonly { readonly id: string }[],
): string {
  const search = new URLSearchParams({ from: range.from })
  if (range.to !== undefined) search.set('to', range.to)
  addBackTo(search, { board: board.id, panel: freshId(panels), title: '' })
  return `/explore?${search}`
}
