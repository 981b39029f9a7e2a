import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { assertCold, createColdRun } from './cold-run.ts'
import type { ImportReport, ImportRequest } from './import-request.ts'
import { ImportRun } from './import-run.ts'
import { claimImport, finishImport, type ImportTotals, isImported, withFileLock } from './ledger.ts'
import { resolveImportOptions } from './options.ts'
import { planImport } from './plan-import.ts'
import { inspectFile } from './source.ts'

/**
 * Imports a file into a table: CSV, NDJSON, access log or Parquet, packed or not. What is not said is guessed from the
 * beginning of the file and handed to `onPlan`.
 *
 * Rows are written in batches. How far the import is, and the rows that do not fit (dead letters), are written in the
 * transaction of the batch they belong to, so that an import that is killed goes on when the same call is made again,
 * and no row is written twice. Memory is bounded by the batches in flight: (connections + 1) * batchRows rows, or
 * 64 MiB of encoded rows in the place of batchRows where a new chunk is filled.
 *
 * With `cold` the batches are files of the lake, which one transaction at the end makes visible: all rows, or none.
 *
 * @example
 * const report = await importFile({ db, writer, definition: cpu, file: 'cpu.csv.gz', options: { timeZone: 'UTC' } })
 * console.log(report.rows, report.deadByReason)
 * @throws TidemarkError TM_IMPORT for the file, TM_CONFIG for an option, TM_DUPLICATE_KEY for a key that is there
 *   (onConflict: error), TM_CANCELLED; batches that were committed before stay, and the same call goes on after them.
 */
export async function importFile(request: ImportRequest): Promise<ImportReport> {
  const options = resolveImportOptions(request.options ?? {})
  const source = await inspectFile(request.file)
  const plan = await planImport(source, request.definition, options)
  const dataset = request.definition.name
  if (options.cold) await assertCold(request, plan)
  return withFileLock(request.db, dataset, source, async () => {
    const claim = await claimImport(request.db, dataset, source, plan, options)
    request.onPlan?.(plan, request.file)
    const cold = options.cold ? await createColdRun(request, claim, source.path) : null
    const run = new ImportRun(request, options, source, plan, claim, cold)
    try {
      return await run.run()
    } catch (error) {
      await run.settle()
      // when not even that can be written, why the import ended is still the thing to say
      const totals = await finishImport(request.db, claim, 'stopped').catch(() => null)
      throw totals === null ? error : withTotals(error, source.path, totals, options.cold)
    }
  })
}

/**
 * Imports files one after the other. Files that are in already are left out, unless all are, or `again` is said: so a
 * list that was interrupted goes on when it is given again.
 */
export async function importFiles(
  request: Omit<ImportRequest, 'file'> & { readonly files: readonly string[] },
): Promise<{ readonly reports: readonly ImportReport[]; readonly skipped: readonly string[] }> {
  const { files, ...rest } = request
  const { db, definition, options } = request
  const reports: ImportReport[] = []
  const skipped: string[] = []
  for (const [i, file] of files.entries()) {
    const isLast = i === files.length - 1
    // when all are in, the last one is refused as a single file is
    const mayBeLeftOut = options?.again !== true && !(isLast && reports.length === 0)
    if (mayBeLeftOut && (await isImported(db, definition.name, await inspectFile(file)))) skipped.push(file)
    else reports.push(await importFile({ ...rest, file }))
  }
  return { reports, skipped }
}

function withTotals(error: unknown, file: string, totals: ImportTotals, isCold: boolean): unknown {
  if (!isTidemarkError(error)) return error
  const goOn = isCold
    ? `${totals.rows} rows are written and not visible yet, and the same import goes on after them`
    : `${totals.rows} rows and ${totals.dead} dead letters of whole batches are in, ` +
      'and the same import goes on after them'
  if (error.code === 'TM_CANCELLED') {
    const { what } = error.params as { what: string }
    return new TidemarkError('TM_CANCELLED', { what, todo: goOn }, { cause: error })
  }
  if (error.code !== 'TM_IMPORT') return error
  const { problem, todo } = error.params as { problem: string; todo: string }
  return new TidemarkError('TM_IMPORT', { file, problem, todo: `${todo}; ${goOn}` }, { cause: error })
}
