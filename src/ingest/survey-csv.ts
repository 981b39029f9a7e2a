import type { StoredDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { normalize } from './map-columns.ts'
import type { ResolvedImportOptions } from './options.ts'
import { guessSeparator, type Head, sampleRows } from './sniff.ts'
import type { SourceFile } from './source.ts'
import { type Survey, sampleRecords } from './survey.ts'

export function surveyCsv(
  source: SourceFile,
  definition: StoredDefinition,
  options: ResolvedImportOptions,
  head: Head,
  remarks: readonly string[],
): Survey {
  const guessed = options.separator === undefined ? guessSeparator(head) : null
  const separator = options.separator ?? guessed!.separator
  const rows = sampleRows(head, separator, sampleRecords + 1)
  const first = rows[0]
  if (first === undefined)
    throw new TidemarkError('TM_IMPORT', {
      file: source.path,
      problem: 'no row could be read from its beginning',
      todo: 'check separator and quotes',
    })
  const names = first.map((name) => name.trim())
  const header = options.header ?? looksLikeHeader(names, rows[1], definition, options)
  const fields = header ? names : names.map((_, i) => `@${i + 1}`)
  return {
    format: 'csv',
    separator,
    header,
    hasPrefix: false,
    fields: fields.map((name) => ({ name, isObject: false })),
    records: header ? rows.slice(1) : rows.slice(0, sampleRecords),
    parquet: null,
    remarks: [
      ...remarks,
      `separator ${JSON.stringify(separator)}: ${guessed?.why ?? 'as asked'}`,
      `the first row ${header ? 'holds the names' : 'is data'}: ${
        options.header !== undefined
          ? 'as asked'
          : header
            ? 'it reads like names'
            : 'none of its fields is the name of a column'
      }`,
    ],
  }
}

function looksLikeHeader(
  names: readonly string[],
  second: readonly string[] | undefined,
  definition: StoredDefinition,
  options: ResolvedImportOptions,
): boolean {
  const wanted = new Set([
    ...Object.keys(definition.columns).map(normalize),
    ...Object.values(options.map ?? {}).map(normalize),
  ])
  if (names.some((name) => name !== '' && wanted.has(normalize(name)))) return true
  const isNumber = (text: string): boolean => /^[+-]?[\d.]+(?:[eE][+-]?\d+)?$/.test(text.trim())
  if (names.some((name) => isNumber(name) || /^\d{4}-\d\d-\d\d/.test(name))) return false
  return second?.some(isNumber) ?? false
}
