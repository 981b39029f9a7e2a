export type * from './definition.ts'
export { columnTypes } from './definition.ts'
