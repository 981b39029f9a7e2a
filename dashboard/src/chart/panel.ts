import type { Panel } from 'tidemark/client'

/** A panel of a board, as far as it says what is drawn. */
export type { Panel } from 'tidemark/client'
export type PanelChart = Panel['chart']
export type PanelQuery = Panel['query']
export type PanelContent = Pick<Panel, 'title' | 'chart' | 'query' | 'compare' | 'unit'>
