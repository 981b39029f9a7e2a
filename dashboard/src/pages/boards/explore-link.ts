import type { Board, Panel } from 'tidemark/client'
import { fromPanel } from '../explore/panel-of.ts'
import { emptyState, toSearch } from '../explore/state.ts'
import { freshId } from './document.ts'
import type { Range } from './use-board-url.ts'

/** Whether Explore has a form for it: rows themselves are not asked there. */
export function isForExplore({ query }: Panel): boolean {
  return query.select !== undefined
}

/** Explore with the question of a panel; with a board it is put back there (`handOver`). */
export function exploreLink(panel: Panel, range: Range, board: Pick<Board, 'id'> | null): string {
  const back = board === null ? {} : { board: board.id, panel: panel.id }
  return `/explore?${toSearch({ ...fromPanel(panel, range), ...back })}`
}

/** Explore with nothing chosen, for a new panel. */
export function exploreBlank(
  board: Pick<Board, 'id'>,
  { from, to }: Range,
  panels: readonly { readonly id: string }[],
): string {
  return `/explore?${toSearch({ ...emptyState, from, to: to ?? null, board: board.id, panel: freshId(panels) })}`
}
