/** Answers as pictures of text, for programs that print to a terminal: `tidemark/terminal`. */
export { bar, formatBytes, formatDuration, formatNumber, sparkline, textTable } from './draw.ts'
export { drawAnswer, drawPlan } from './draw-answer.ts'
export { createProgressBar } from './progress.ts'
