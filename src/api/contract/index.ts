export { Problem } from './problem.ts'
export { Dataset, Health, InsertAnswer, QueryAnswer, QueryBody } from './schemas.ts'
