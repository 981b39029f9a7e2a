import type { HypertableDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { ColdBatches } from './cold-batches.ts'
import type { ColdLake } from './cold-port.ts'
import type { ColdReport, ImportRequest } from './import-request.ts'
import { finishInTransaction, type ImportClaim, type ImportTotals, takenOver } from './ledger.ts'
import type { ImportPlan } from './plan.ts'
import { readStagedFiles, unstageFiles } from './staged-files.ts'

/** What an import straight into the lake does otherwise: where its batches go, and how it ends. */
export interface ColdRun {
  readonly batches: ColdBatches
  /** Makes all rows visible. @throws TidemarkError; then nothing is, and the same call tries again. */
  finish(signal: AbortSignal): Promise<{ readonly totals: ImportTotals; readonly report: ColdReport }>
}

/**
 * Before the import is noted.
 * @throws TidemarkError TM_CONFIG, TM_IMPORT, TM_MIGRATION when rows of the file cannot go straight into the lake.
 */
export async function assertCold(request: ImportRequest, plan: ImportPlan): Promise<void> {
  const { definition, file } = request
  const lake = lakeOf(request)
  for (const { column, source } of plan.columns) {
    const given = definition.columns[column]!.default
    if (source.kind !== 'none' || given?.kind !== 'sql') continue
    throw new TidemarkError('TM_IMPORT', {
      file,
      problem: `column "${column}" would get its default ${given.expression}, which PostgreSQL evaluates, and cold rows do not pass through PostgreSQL`,
      todo: 'give it a field (map) or a value (set), or import without cold',
    })
  }
  await lake.assertLoadable(definition as HypertableDefinition)
}

export async function createColdRun(
  request: ImportRequest,
  claim: ImportClaim,
  source: string,
): Promise<ColdRun> {
  const { db } = request
  const definition = request.definition as HypertableDefinition
  const lake = lakeOf(request)
  const staged = await readStagedFiles(db, claim.id)
  return {
    batches: new ColdBatches({ db, lake, definition, claim, staged, signal: request.signal ?? null }),

    async finish(signal) {
      const files = await readStagedFiles(db, claim.id)
      let totals: ImportTotals | null = null
      const warnings = await lake.adopt(definition, files, {
        signal,
        async inTransaction(connection) {
          totals = await finishInTransaction(connection, claim, 'done')
          if (totals === null) throw takenOver(source)
          await unstageFiles(connection, claim.id, files, source)
        },
      })
      const report = {
        files: files.length,
        chunks: new Set(files.map(({ range }) => range.from)).size,
        bytes: files.reduce((sum, { file }) => sum + file.bytes + (file.summary?.bytes ?? 0), 0),
        warnings,
      }
      return { totals: totals!, report }
    },
  }
}

function lakeOf({ definition, lake }: ImportRequest): ColdLake {
  if (definition.kind !== 'hypertable')
    throw new TidemarkError('TM_CONFIG', {
      path: 'import.cold',
      problem: `${definition.name} is a plain table, and only hypertables have rows in the lake`,
    })
  if (!lake)
    throw new TidemarkError('TM_CONFIG', { path: 'import.cold', problem: 'there is no lake to write to' })
  return lake
}
