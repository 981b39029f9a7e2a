export type {
  Connection,
  Database,
  PoolCounts,
  QueryAnswer,
  Queryable,
  QueryOptions,
  Reading,
  ReadingOptions,
  RowPiece,
  RowPieces,
  TransactionMode,
  TransactionOptions,
} from './contract.ts'
export {
  type CopyEncoder,
  type CopyEncoderOptions,
  createCopyEncoder,
  RowSlots,
  slotHow,
} from './copy-binary.ts'
export type { CopyType } from './copy-values.ts'
export type { DatabaseOptions } from './database.ts'
export { createDatabase } from './database.ts'
export { postgresEpochDays, postgresEpochHigh, postgresEpochLow, postgresEpochMicros } from './epoch.ts'
export { createListener, type Listener, type ListenerOptions } from './listener.ts'
export { createPlainAccess, type PlainAccess, type PlainAccessOptions } from './plain-access.ts'
export type { RetryOptions } from './retry.ts'
export { isRetryable, retry, retryableStates } from './retry.ts'
export { createRowDigester, type DigestColumn, rowDigestSql } from './row-digest.ts'
export { isStaleStatement, sqlstateOf, translateError } from './translate-error.ts'
export { assertSupportedVersion } from './version.ts'
