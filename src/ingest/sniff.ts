import { TidemarkError } from '../util/errors.ts'
import { isAccessLogLine } from './access-log-reader.ts'
import { CsvReader } from './csv-reader.ts'
import type { ImportFormat } from './options.ts'

/** The beginning of a text file. */
export interface Head {
  readonly text: string
  /** Whether it is all of the file. */
  readonly isWhole: boolean
}

export interface FormatGuess {
  readonly format: Exclude<ImportFormat, 'parquet'>
  readonly why: string
  /** NDJSON with something before the object of each line. */
  readonly hasPrefix: boolean
}

export function guessFormat(file: string, head: Head): FormatGuess {
  refuseBinary(file, head.text)
  const lines = wholeLines(head)
  const filled = lines.filter((line) => line.trim() !== '').slice(0, 200)
  const first = filled[0]?.trim() ?? ''
  if (first === '')
    throw new TidemarkError('TM_IMPORT', {
      file,
      problem: 'it holds only blank lines',
      todo: 'give a file with rows',
    })
  const objects = filled.filter((line) => isObject(line.trim())).length
  if (objects * 2 >= filled.length)
    return {
      format: 'ndjson',
      why: `${objects} of the first ${filled.length} lines are JSON objects`,
      hasPrefix: false,
    }
  if (first.startsWith('{') || first.startsWith('[')) {
    const isList = first.startsWith('[')
    throw new TidemarkError('TM_IMPORT', {
      file,
      problem: `it is one JSON ${isList ? 'array' : 'document'}, not one object a line`,
      todo: isList
        ? `write one object a line first: jq -c '.[]' ${file}`
        : 'write one object a line first, for instance with jq -c',
    })
  }
  const prefixed = filled.filter(
    (line) => /^[^\s{"]+\s+\{/.test(line) && isObject(line.slice(line.indexOf('{')).trim()),
  )
  if (prefixed.length * 2 >= filled.length)
    return {
      format: 'ndjson',
      why: `${prefixed.length} of the first ${filled.length} lines are a word and a JSON object`,
      hasPrefix: true,
    }
  const logLines = filled.filter(isAccessLogLine).length
  if (logLines * 2 >= filled.length)
    return {
      format: 'access-log',
      why: `${logLines} of the first ${filled.length} lines have the form of the combined log`,
      hasPrefix: false,
    }
  return { format: 'csv', why: 'neither JSON nor a log', hasPrefix: false }
}

function isObject(text: string): boolean {
  if (!text.startsWith('{') || !text.endsWith('}')) return false
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

function refuseBinary(file: string, text: string): void {
  const sample = text.slice(0, 65_536)
  let control = 0
  for (let i = 0; i < sample.length; i++) {
    const code = sample.charCodeAt(i)
    if (code === 0 || (code < 32 && code !== 9 && code !== 10 && code !== 13 && code !== 12 && code !== 27))
      control++
  }
  if (control > 0 && control * 100 > sample.length)
    throw new TidemarkError('TM_IMPORT', {
      file,
      problem: 'it is binary, and none of the formats that are read',
      todo: 'give CSV, NDJSON, an access log or Parquet, packed with gzip or not',
    })
  if (!sample.includes('\n') && (sample.match(/\r/g)?.length ?? 0) > 1)
    throw new TidemarkError('TM_IMPORT', {
      file,
      problem: 'its lines end with CR alone',
      todo: `convert it first: tr '\\r' '\\n' < ${file}`,
    })
}

function wholeLines(head: Head): string[] {
  const lines = head.text.split('\n')
  if (!head.isWhole && lines.length > 1) lines.pop()
  return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line))
}

export interface SeparatorGuess {
  readonly separator: string
  readonly why: string
}

const candidates: readonly { separator: string; name: string }[] = [
  { separator: ',', name: 'comma' },
  { separator: ';', name: 'semicolon' },
  { separator: '\t', name: 'tab' },
  { separator: '|', name: 'pipe' },
]

/** The separator that gives the most rows the same number of fields; of equals the one with more fields. */
export function guessSeparator(head: Head): SeparatorGuess {
  let best = { separator: ',', share: -1, fields: 0, rows: 0, of: 0, name: 'comma' }
  for (const { separator, name } of candidates) {
    const counts = sampleRows(head, separator, 500).map((row) => row.length)
    const tally = new Map<number, number>()
    for (const count of counts) tally.set(count, (tally.get(count) ?? 0) + 1)
    const [fields, rows] = [...tally].sort((a, b) => b[1] - a[1] || b[0] - a[0])[0] ?? [1, 0]
    const share = fields > 1 ? rows / counts.length : 0
    if (share > best.share + 0.05 || (share > best.share - 0.05 && fields > best.fields))
      best = { separator, share, fields, rows, of: counts.length, name }
  }
  const why =
    best.share > 0
      ? `with ${best.name} ${best.rows} of the first ${best.of} rows have ${best.fields} fields`
      : 'no separator gives more than one field'
  return { separator: best.separator, why }
}

/** The first rows of a CSV file, without the one that the end of the head may have cut. */
export function sampleRows(head: Head, separator: string, limit: number): string[][] {
  const rows: string[][] = []
  const reader = new CsvReader(
    { separator, maxRecordBytes: head.text.length + 1, keepBlankLines: false },
    {
      record(fields) {
        if (rows.length < limit) rows.push(fields as string[])
      },
      bad() {},
    },
  )
  reader.push({ text: head.text, form: 'text' })
  if (head.isWhole) reader.end()
  return rows
}
