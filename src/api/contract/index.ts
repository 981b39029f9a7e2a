export { Problem } from './problem.ts'
export {
  AnalyticsAnswer,
  Dataset,
  Health,
  QueryAnswer,
  QueryBody,
  StatusAnswer,
  WriteAnswer,
} from './schemas.ts'
