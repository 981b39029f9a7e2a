import type { Database, Queryable } from '../postgres/index.ts'
import type { ContinuousAggregateDefinition, StoredDefinition } from '../schema/index.ts'
import type { Clock } from '../time/index.ts'
import type { LakeHandle } from './lake-folder.ts'

export interface Finding {
  readonly check: string
  /** `ok`; `note`: worth knowing; `warn`: will hurt; `fail`: wrong now. */
  readonly level: 'ok' | 'note' | 'warn' | 'fail'
  readonly message: string
  /** What to do; null when there is nothing. */
  readonly todo: string | null
}

export interface CheckContext {
  readonly db: Database
  readonly connection: Queryable
  readonly definitions: readonly StoredDefinition[]
  readonly aggregates: readonly ContinuousAggregateDefinition[]
  readonly clock: Clock
  readonly lake: LakeHandle
}

export type Found = Omit<Finding, 'check'>

export type Check = (context: CheckContext) => Promise<Found | readonly Found[]>
