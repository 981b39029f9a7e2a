import { type HotWriter, withReadSnapshot } from '../hot/index.ts'
import type { Database } from '../postgres/index.ts'
import type { QueryLimits } from '../query/index.ts'
import { createRecordSet, type RecordSet } from '../records/index.ts'
import type { StoredDefinition, TenantScope, TidemarkConfig } from '../schema/index.ts'
import type { Clock } from '../time/index.ts'
import type { Queries } from './queries.ts'
import { tenantOfSnapshot } from './snapshot-tenant.ts'
import { explainUnmigrated } from './unmigrated.ts'
import { withholdOthers } from './withheld.ts'

export interface RecordSetsOptions {
  readonly db: Database
  readonly writer: HotWriter
  readonly queries: Queries
  readonly clock: Clock
  readonly limits: QueryLimits
  readonly config: Pick<TidemarkConfig, 'limits' | 'records'>
  readonly onCommitted: () => void
}

/** Tables by key, for whoever asks. */
export function createRecordSets({
  db,
  writer,
  queries,
  clock,
  limits,
  config,
  onCommitted,
}: RecordSetsOptions): (definition: StoredDefinition, scope: TenantScope) => RecordSet {
  const { maxAnswerBytes, queryTimeoutMs } = config.limits
  const shared = { db, writer, clock, limits, maxAnswerBytes, onCommitted, ...config.records }
  return (definition, scope) =>
    createRecordSet(definition, scope, {
      ...shared,
      ask: (dataset, query, call) => queries.ask(dataset, query, call),
      read: (dataset, { signal }, use) =>
        withReadSnapshot(
          db,
          {
            timeoutMs: queryTimeoutMs,
            signal,
            tenant: tenantOfSnapshot(dataset, scope),
            taken: 'with the first statement',
          },
          use,
        ),
      explain: (dataset, work) => withholdOthers(scope, explainUnmigrated(dataset, work)),
    })
}
