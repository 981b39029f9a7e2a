export {
  formatBytes,
  formatMs,
  formatNumber,
  formatPercent,
  formatUnit,
  type NumberOptions,
} from './number.ts'
export { formatAgo, formatInstant, type Precision, parseDuration } from './time.ts'
