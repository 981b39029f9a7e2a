export {
  ApiKeyAnswer,
  AuditAnswer,
  IssuedKeyAnswer,
  NewKeyBody,
  PrincipalAnswer,
  RotationBody,
  SessionAnswer,
  TicketAnswer,
} from './access-schemas.ts'
export {
  BoardAnswer,
  BoardBody,
  BoardSummaryAnswer,
  IssuedShareAnswer,
  ShareAnswer,
  ShareBody,
  SharedBoardAnswer,
  SharedQuestionBody,
} from './board-schemas.ts'
export { Liveness, Readiness, SlowQueryList } from './observe.ts'
export {
  AggregateList,
  DeadLetterPage,
  DeadLetterQuery,
  ExplainedLetter,
  GrowthAnswer,
  JobList,
  LetterChange,
  LetterChoice,
  LetterReplay,
  LetterReplayAnswer,
  LettersDeleted,
  OperationAnswer,
  OperationBody,
  OperationList,
  StorageAnswer,
} from './ops-schemas.ts'
export { OverviewAnswer } from './overview-schema.ts'
export { Problem, ProblemKind } from './problem.ts'
export { isOverHttp, notOverHttp, problemType } from './problem-codes.ts'
export { recordPaths } from './record-paths.ts'
export { columnSchemas, type JsonSchema } from './record-schemas.ts'
export { Report, ReportBody, ReportRun } from './report-schemas.ts'
export {
  AnalyticsAnswer,
  Dataset,
  Health,
  QueryAnswer,
  QueryBody,
  StatusAnswer,
  WriteAnswer,
} from './schemas.ts'
