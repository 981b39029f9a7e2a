export { fillGaps } from './fill-gaps.ts'
