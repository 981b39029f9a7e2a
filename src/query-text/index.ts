export { queryText } from './query-text.ts'
