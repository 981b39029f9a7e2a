import type { StepKind } from './step.ts'
import { aggregateSteps } from './steps/aggregates.ts'
import { changeLogSteps } from './steps/change-log.ts'
import { chunkSteps } from './steps/chunks.ts'
import { directSqlSteps } from './steps/direct-sql.ts'
import { engineSteps } from './steps/engines.ts'
import { importSteps } from './steps/imports.ts'
import { killSteps } from './steps/kills.ts'
import { lakeSteps } from './steps/lake.ts'
import { lakeTogetherSteps } from './steps/lake-together.ts'
import { lateRowsSteps } from './steps/late-rows.ts'
import { pagingSteps } from './steps/paging.ts'
import { schemaSteps } from './steps/schema.ts'
import { snapshotSteps } from './steps/snapshots.ts'
import { transactionSteps } from './steps/transactions.ts'
import { writeSteps } from './steps/writes.ts'

/**
 * Every kind of step. A feature that can change what a query answers adds its file of steps here; the weights say how
 * often each comes, the dear ones seldom.
 */
export const registry: readonly StepKind<unknown>[] = [
  ...writeSteps,
  ...directSqlSteps,
  ...transactionSteps,
  ...snapshotSteps,
  ...chunkSteps,
  ...changeLogSteps,
  ...engineSteps,
  ...schemaSteps,
  ...pagingSteps,
  ...importSteps,
  ...killSteps,
  ...lakeSteps,
  ...lakeTogetherSteps,
  ...lateRowsSteps,
  ...aggregateSteps,
] as readonly StepKind<unknown>[]
