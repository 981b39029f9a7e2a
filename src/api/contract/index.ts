export { Problem } from './problem.ts'
export { Dataset, Health, QueryAnswer, QueryBody, WriteAnswer } from './schemas.ts'
