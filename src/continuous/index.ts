export { bucketColumn, type CellTable, cellSchema, cellTableOf } from './cell-table.ts'
export { type AggregateVersion, consumerOf } from './version.ts'
