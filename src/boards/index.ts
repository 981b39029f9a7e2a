export { BoardDesk, type BoardDeskOptions, Boards } from './board-desk.ts'
export {
  type Board,
  type BoardDocument,
  type BoardInput,
  type BoardSummary,
  type IssuedShare,
  type Panel,
  type PanelChart,
  type PanelPlace,
  type PanelQuery,
  panelCharts,
  type Share,
  type SharedBoard,
  type SharedQuestion,
} from './contract.ts'
export type { OpenShare, ShareRules } from './open-share.ts'
export type { Sharer } from './shares.ts'
