import type { IngestReport, Pipeline } from '../pipeline/index.ts'
import { allTenants, type StoredDefinition } from '../schema/index.ts'
import type { ScopedCallOptions } from './options.ts'
import { explainUnmigrated } from './unmigrated.ts'
import { withholdOthers } from './withheld.ts'

export interface IngestOptions extends ScopedCallOptions {
  /** What to do with a row whose key exists. Default 'error': it is rejected. */
  readonly onConflict?: 'error' | 'ignore' | 'update'
  /** All rows or none, and no dead letters. Default false: good rows are written, bad ones are told and kept. */
  readonly atomic?: boolean
  /** 1 to 200 printable characters: the same rows with the same key are written once, however often they are sent within 48 hours. */
  readonly idempotencyKey?: string | null
  /** In place of a key, a digest of what was sent: the same rows of the same digest are written once within 48 hours. */
  readonly sentDigest?: string | null
  /**
   * 'queued': resolves when the rows are on disk (`ingest.spool`), from where they are written in the order of coming; what is wrong
   * with them by their declaration is told at once. Default 'durable': after COMMIT.
   */
  readonly ack?: 'durable' | 'queued'
  /** Where the rows come from, for dead letters. Default 'tm.ingest'. */
  readonly source?: string
  /** Room of `reserve` is held for the rows. Default false: they wait for it here. */
  readonly isReserved?: boolean
}

/** Gives rows to the pipeline as a batch. */
export function ingestRows(
  pipeline: Pipeline,
  definition: StoredDefinition,
  rows: readonly unknown[],
  options: IngestOptions,
): Promise<IngestReport> {
  const { scope = allTenants } = options
  const report = explainUnmigrated(
    definition,
    pipeline.ingest({
      definition,
      scope,
      rows,
      onConflict: options.onConflict ?? 'error',
      acknowledge: options.ack ?? 'durable',
      isAtomic: options.atomic ?? false,
      idempotencyKey: options.idempotencyKey ?? null,
      sentDigest: options.sentDigest ?? null,
      source: options.source ?? 'tm.ingest',
      isReserved: options.isReserved ?? false,
      signal: options.signal ?? null,
    }),
  )
  return withholdOthers(scope, report, { looksAt: 'given rows' })
}
