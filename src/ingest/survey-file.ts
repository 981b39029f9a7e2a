import type { StoredDefinition } from '../schema/index.ts'
import { accessLogFields, accessLogReader } from './access-log-reader.ts'
import type { ImportFormat, ResolvedImportOptions } from './options.ts'
import { guessFormat, type Head } from './sniff.ts'
import { readSource, type SourceFile } from './source.ts'
import { headBytes, type Survey, sampleRecords } from './survey.ts'
import { surveyCsv } from './survey-csv.ts'
import { surveyNdjson } from './survey-ndjson.ts'
import { surveyParquet } from './survey-parquet.ts'
import { toTextBlocks } from './text-blocks.ts'

export async function surveyFile(
  source: SourceFile,
  definition: StoredDefinition,
  options: ResolvedImportOptions,
): Promise<Survey> {
  if (options.format === 'parquet' || (options.format === undefined && source.isParquet))
    return surveyParquet(source)
  const head = await readHead(source)
  const guess = guessFormat(source.path, head)
  const format = (options.format as Exclude<ImportFormat, 'parquet'> | undefined) ?? guess.format
  const remarks = [
    `format ${format}: ${options.format === undefined ? guess.why : 'as asked'}`,
    ...(source.compression === 'none' ? [] : [`packed with ${source.compression}`]),
  ]
  if (format === 'csv') return surveyCsv(source, definition, options, head, remarks)
  if (format === 'access-log') {
    const records: (readonly unknown[])[] = []
    const sink = { record: (fields: readonly unknown[]) => void records.push(fields), bad: () => {} }
    const reader = accessLogReader(headBytes * 2, sink)
    reader.push({ text: head.text, form: 'text' })
    return {
      format,
      separator: null,
      header: null,
      hasPrefix: false,
      fields: accessLogFields.map((name) => ({ name, isObject: false })),
      records: records.slice(0, sampleRecords),
      parquet: null,
      remarks,
    }
  }
  return surveyNdjson(head, options, guess.hasPrefix || usesPrefix(options), remarks)
}

function usesPrefix(options: ResolvedImportOptions): boolean {
  return Object.values(options.map ?? {}).includes('@prefix')
}

async function readHead(source: SourceFile): Promise<Head> {
  let text = ''
  const blocks = toTextBlocks(readSource(source, { bytes: 0 }), source.path, headBytes)
  let isWhole = true
  for await (const block of blocks) {
    text += block.text
    if (text.length >= headBytes) {
      isWhole = false
      break
    }
  }
  return { text, isWhole }
}
