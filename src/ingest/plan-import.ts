import type { StoredDefinition } from '../schema/index.ts'
import { resolveZone, TimeProblem } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { chooseTimeFormat } from './choose-time-format.ts'
import { mapColumns } from './map-columns.ts'
import type { ResolvedImportOptions } from './options.ts'
import { type ColumnPlan, type ImportPlan, usedFields } from './plan.ts'
import type { SourceFile } from './source.ts'
import { surveyFile } from './survey-file.ts'

/**
 * Looks at the beginning of a file and decides how it is read.
 * @throws TidemarkError TM_IMPORT when that is not clear, with the option that makes it clear.
 */
export async function planImport(
  source: SourceFile,
  definition: StoredDefinition,
  options: ResolvedImportOptions,
): Promise<ImportPlan> {
  checkColumns(source.path, definition, options)
  const zone = checkZone(options.timeZone)
  const survey = await surveyFile(source, definition, options)
  const mapping = mapColumns(source.path, definition, options, survey)
  const remarks = [...survey.remarks, ...mapping.remarks]
  const columns = Object.entries(definition.columns).map(([name, column]): ColumnPlan => {
    const { source: from, why } = mapping.columns.get(name)!
    const plain = { column: name, type: column.type, source: from, timeFormat: null, why }
    const isTime = column.type === 'timestamptz' || column.type === 'date'
    if (!isTime || from.kind === 'none' || from.kind === 'line' || from.kind === 'file') return plain
    const parquetKind = from.kind === 'field' ? survey.parquet?.[from.index]?.kind : undefined
    if (parquetKind === 'local' || parquetKind === 'local-ns') {
      if (column.type === 'timestamptz' && zone === null)
        throw noZone(
          source.path,
          name,
          `column "${survey.fields[(from as { index: number }).index]!.name}" has times without a zone`,
        )
      return plain
    }
    if (parquetKind === 'instant' || parquetKind === 'instant-ns') return plain
    const time = chooseTimeFormat(source.path, definition, name, options, survey, from)
    if (time.isLocal && column.type === 'timestamptz' && zone === null)
      throw noZone(
        source.path,
        name,
        `the times of column "${name}" have no zone (such as ${JSON.stringify(time.example)})`,
      )
    return { ...plain, timeFormat: time.format, why: `${why}; ${time.format}: ${time.why}` }
  })
  const usedIndexes = new Set(usedFields({ columns }))
  const usedNames = [...usedIndexes].map((index) => survey.fields[index]!.name)
  // a member of an object that is stored whole is used; an object is as good as its members
  const unused = survey.fields
    .filter((field, i) => !usedIndexes.has(i) && !field.isObject)
    .map((field) => field.name)
    .filter((name) => !usedNames.some((used) => used === '@document' || name.startsWith(`${used}.`)))
  return {
    format: survey.format,
    compression: source.compression,
    separator: survey.separator,
    header: survey.header,
    hasPrefix: survey.hasPrefix,
    fields: survey.fields.map((field) => field.name),
    parquet: survey.parquet,
    columns,
    unused,
    timeZone: options.timeZone ?? null,
    nullWords: options.nullWords ?? null,
    ragged: options.ragged,
    keepBlankLines: options.keepBlankLines,
    maxRecordBytes: options.maxRecordBytes,
    limit: options.limit ?? null,
    remarks,
  }
}

function checkColumns(file: string, definition: StoredDefinition, options: ResolvedImportOptions): void {
  const named = [
    ...Object.keys(options.map ?? {}),
    ...Object.keys(options.set ?? {}),
    ...(typeof options.timeFormat === 'object' ? Object.keys(options.timeFormat) : []),
  ]
  for (const name of named) {
    if (!Object.hasOwn(definition.columns, name))
      throw new TidemarkError('TM_IMPORT', {
        file,
        problem: `"${name}" is no column of ${definition.name}`,
        todo: `its columns are ${Object.keys(definition.columns).join(', ')}`,
      })
  }
}

function checkZone(name: string | undefined): ReturnType<typeof resolveZone> | null {
  if (name === undefined) return null
  try {
    return resolveZone(name)
  } catch (cause) {
    if (!(cause instanceof TimeProblem)) throw cause
    throw new TidemarkError('TM_CONFIG', { path: 'import.timeZone', problem: cause.problem }, { cause })
  }
}

function noZone(file: string, column: string, problem: string): TidemarkError {
  return new TidemarkError('TM_IMPORT', {
    file,
    problem: `${problem}, and "${column}" is a moment in time`,
    todo: 'say which zone they are in: timeZone (--time-zone UTC)',
  })
}
