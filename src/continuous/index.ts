export { bucketColumn, type CellTable, cellSchema, cellTableOf } from './cell-table.ts'
export { aggregateDefaults, continuousAggregate } from './declare.ts'
export { decodeAggregate, definitionHash, type EncodedAggregate, encodeAggregate } from './encode.ts'
export { type AggregateVersion, consumerOf } from './version.ts'
