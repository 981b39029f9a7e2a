export type * from './contract.ts'
export { aggregateFunctions, stateKey, stateKinds } from './contract.ts'
export type { KeyedRows } from './keyed.ts'
export { keyedSelect } from './keyed.ts'
