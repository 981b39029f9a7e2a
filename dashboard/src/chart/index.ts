export { AnswerTable } from './answer-table.tsx'
export { toCsv } from './csv.ts'
export { bordersFor } from './heat.ts'
export type { Panel, PanelChart, PanelContent, PanelQuery } from './panel.ts'
export { PanelBody } from './panel-body.tsx'
export { PanelView, type PanelViewProps, sharedInfo } from './panel-view.tsx'
export { PlanDetails } from './plan-details.tsx'
export { planLanes, type Tier, tierOf } from './plan-lanes.ts'
export { PlanStrip } from './plan-strip.tsx'
export { type Question, questionOf } from './question.ts'
export type { TableOfAnswer } from './series.ts'
export type { Shown } from './shown.ts'
export {
  absolute,
  lengthMs,
  moved,
  presets,
  type RangeText,
  rangeProblem,
  rangeText,
  roughMs,
  sensibleRange,
  toInstant,
  widened,
} from './times.ts'
export { type Ask, type PanelAnswer, usePanelAnswer } from './use-panel-answer.ts'
export { useSize } from './use-size.ts'
