export { Problem } from './problem.ts'
export { Dataset, Health, QueryAnswer, QueryBody, StatusAnswer, WriteAnswer } from './schemas.ts'
