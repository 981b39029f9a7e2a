export type {
  CallOptions,
  Client,
  ClientOptions,
  ConflictRule,
  InsertOptions,
  RejectedRow,
  WriteFailure,
  WriteReport,
} from './client.ts'
export { createClient } from './client.ts'
export { isTidemarkClientError, TidemarkClientError } from './errors.ts'
export type { Fetch } from './http.ts'
export type { ClientQuery, ClientRow, Named, QueryableName, StoredName } from './types.ts'
