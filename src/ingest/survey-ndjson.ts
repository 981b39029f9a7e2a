import { collectPaths, splitPath } from './json-paths.ts'
import { atPath, ndjsonReader } from './ndjson-reader.ts'
import type { ResolvedImportOptions } from './options.ts'
import type { Head } from './sniff.ts'
import { headBytes, type Survey, sampleRecords } from './survey.ts'

export function surveyNdjson(
  head: Head,
  options: ResolvedImportOptions,
  hasPrefix: boolean,
  remarks: readonly string[],
): Survey {
  const documents: unknown[] = []
  const prefixes: unknown[] = []
  const reader = ndjsonReader(
    { fields: [{ kind: 'document' }, { kind: 'prefix' }], hasPrefix, maxRecordBytes: headBytes * 2 },
    {
      record(fields) {
        if (documents.length >= sampleRecords) return
        documents.push(fields[0])
        prefixes.push(fields[1])
      },
      bad() {},
    },
  )
  reader.push({ text: head.text, form: 'text' })
  if (head.isWhole) reader.end()
  const seen = new Map<string, { path: readonly string[]; isObject: boolean }>()
  for (const document of documents) collectPaths(document, [], seen)
  for (const path of Object.values(options.map ?? {})) {
    // a path that the first lines do not have may come later
    if (!path.startsWith('@') && !seen.has(path)) seen.set(path, { path: splitPath(path), isObject: false })
  }
  const paths = [...seen]
  const fields = paths.map(([name, { isObject }]) => ({ name, isObject }))
  const special = [
    { name: '@document', isObject: true },
    ...(hasPrefix ? [{ name: '@prefix', isObject: false }] : []),
  ]
  return {
    format: 'ndjson',
    separator: null,
    header: null,
    hasPrefix,
    fields: [...fields, ...special],
    records: documents.map((document, i) => [
      ...paths.map(([, { path }]) => atPath(document, path)),
      document,
      ...(hasPrefix ? [prefixes[i]] : []),
    ]),
    parquet: null,
    remarks,
  }
}
