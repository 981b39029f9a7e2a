export {
  type Report,
  type ReportAnswer,
  type ReportFormat,
  type ReportInput,
  type ReportRun,
  reportFormats,
  type ScheduleInput,
} from './contract.ts'
export { toCsv } from './render/csv.ts'
export { toHtml } from './render/html.ts'
export { ReportDesk, type ReportDeskOptions, Reports, reportLeaseMs } from './report-desk.ts'
