export { maxBulkRows } from './bulk-input.ts'
export {
  anyState,
  type BulkAnswer,
  type BulkFailure,
  type BulkInput,
  type BulkOperation,
  bulkOperations,
  type Created,
  type KeyInput,
  type ListAnswer,
  type ListInput,
  type Precondition,
  type Put,
  type RecordCall,
  type RecordSet,
  type RecordsOptions,
  type StoredRecord,
} from './contract.ts'
export { defaultPageRows, maxPageRows } from './list-input.ts'
export { readListParameters, reservedParameters } from './list-parameters.ts'
export { createRecordSet } from './records.ts'
