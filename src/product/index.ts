export { askProduct, productKinds } from './ask.ts'
export type * from './contract.ts'
