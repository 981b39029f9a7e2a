import { openParquet } from '../lake/index.ts'
import { outputOf, type StoredDefinition } from '../schema/index.ts'
import type { ColumnNotes } from './convert-context.ts'
import { createReader } from './create-reader.ts'
import { type ImportOptions, resolveImportOptions } from './options.ts'
import { type ImportPlan, usedFields } from './plan.ts'
import { planImport } from './plan-import.ts'
import type { DeadReason } from './reasons.ts'
import type { RecordSink } from './record-sink.ts'
import { RowMaker } from './row-maker.ts'
import { inspectFile, readSource } from './source.ts'
import { toTextBlocks } from './text-blocks.ts'

export interface ImportPreview {
  readonly plan: ImportPlan
  /** The first rows as a query would give them back; a column that SQL computes is undefined. */
  readonly rows: readonly Readonly<Record<string, unknown>>[]
  /** Records among the first ones that would be dead letters. */
  readonly dead: readonly {
    readonly line: number
    readonly column: string | null
    readonly value: string | null
    readonly reason: DeadReason
    readonly message: string
  }[]
  readonly notes: Readonly<Record<string, ColumnNotes>>
}

/**
 * What an import would do: the plan, and the first rows as they would be stored. Reads only the beginning of the file
 * and asks no database.
 *
 * @example
 * const { plan, rows } = await previewImport({ definition: cpu, file: 'cpu.csv.gz', options: { timeZone: 'UTC' } })
 * @throws TidemarkError as `importFile` does before its first row.
 */
export async function previewImport(request: {
  readonly definition: StoredDefinition
  readonly file: string
  readonly options?: ImportOptions
  /** Records to look at. Default 10. */
  readonly records?: number
}): Promise<ImportPreview> {
  const { definition, file } = request
  const options = resolveImportOptions(request.options ?? {})
  const source = await inspectFile(file)
  const plan = await planImport(source, definition, options)
  const maker = new RowMaker(file, plan, definition)
  const columns = Object.entries(definition.columns).map(([name, { type }]) => ({
    name,
    show: outputOf(type),
  }))
  const rows: Record<string, unknown>[] = []
  const dead: ImportPreview['dead'][number][] = []
  const limit = Math.min(request.records ?? 10, plan.limit ?? Number.POSITIVE_INFINITY)
  const isEnough = (): boolean => rows.length + dead.length >= limit
  const sink: RecordSink = {
    record(fields, line) {
      if (isEnough()) return
      const row = maker.make(fields, line)
      if (row === null) dead.push({ line, ...maker.problem })
      else rows.push(Object.fromEntries(columns.map(({ name, show }, i) => [name, show(row[i])])))
    },
    bad(reason, { message, value }, line) {
      if (!isEnough()) dead.push({ line, column: null, value, reason, message })
    },
  }
  if (plan.format === 'parquet') {
    const parquet = await openParquet(file)
    try {
      const indexes = usedFields(plan)
      const names = indexes.map((index) => plan.fields[index]!)
      for await (const batch of parquet.read(names)) {
        for (let row = 0; row < batch.rowCount && !isEnough(); row++) {
          const fields: unknown[] = new Array(plan.fields.length)
          indexes.forEach((index, i) => {
            fields[index] = batch.columns[i]!.get(row)
          })
          sink.record(fields, rows.length + dead.length + 1, '', 0, 0)
        }
        if (isEnough()) break
      }
    } finally {
      parquet.close()
    }
    return { plan, rows, dead, notes: maker.notes() }
  }
  const reader = createReader(plan, sink)
  let isCut = false
  for await (const block of toTextBlocks(readSource(source, { bytes: 0 }), file, plan.maxRecordBytes)) {
    reader.push(block)
    if (isEnough()) {
      isCut = true
      break
    }
  }
  if (!isCut) reader.end()
  return { plan, rows, dead, notes: maker.notes() }
}
