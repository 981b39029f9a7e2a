export type * from './contract.ts'
export { aggregateFunctions, stateKey, stateKinds } from './contract.ts'
