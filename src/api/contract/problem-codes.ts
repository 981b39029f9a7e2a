import type { ErrorCode } from '../../util/errors.ts'

/** Errors of the registry that no answer over HTTP has, and whose they are. What is here never leaves the server. */
export const notOverHttp = {
  TM_DECLARATION: 'declaring: the program does not start',
  TM_DATABASE: 'what PostgreSQL said is in the log; the answer is TM_INTERNAL',
  TM_LOGIN: 'connecting: the program does not start',
  TM_POSTGRES_VERSION: 'connecting: the program does not start',
  TM_EMBEDDED: 'starting the embedded PostgreSQL',
  TM_MIGRATION_DESTRUCTIVE: 'migrating',
  TM_IMPORT: 'importing files: the command line and the library',
  TM_PARTIAL_WRITE: 'writing a stream by the library',
  TM_AGGREGATE: 'refreshing: the command line and the library',
  TM_GAPFILL: 'SQL: the command line and the library',
} as const satisfies Partial<Record<ErrorCode, string>>

export function isOverHttp(code: ErrorCode): boolean {
  return !Object.hasOwn(notOverHttp, code)
}

/** What `type` of a problem is; docs/reference/errors.md explains each. */
export function problemType(code: ErrorCode): string {
  return `urn:tidemark:error:${code}`
}
