import { accessLogReader } from './access-log-reader.ts'
import { CsvReader } from './csv-reader.ts'
import { toJsonFields } from './json-paths.ts'
import { ndjsonReader } from './ndjson-reader.ts'
import type { ImportPlan } from './plan.ts'
import type { RecordSink } from './record-sink.ts'
import type { TextBlock } from './text-blocks.ts'

export interface TextReader {
  push(block: TextBlock): void
  end(): void
  /** Whether what is read now is bytes (see TextBlock). */
  readonly isBytes: boolean
}

/** The reader of a plan's text format; its fields have the order of `plan.fields`. */
export function createReader(plan: ImportPlan, sink: RecordSink): TextReader {
  const { maxRecordBytes, keepBlankLines, separator, format, hasPrefix, header } = plan
  if (format === 'ndjson')
    return ndjsonReader({ fields: toJsonFields(plan), hasPrefix, maxRecordBytes }, sink)
  if (format === 'access-log') return accessLogReader(maxRecordBytes, sink)
  const reader = new CsvReader({ separator: separator!, maxRecordBytes, keepBlankLines }, sink)
  if (header) reader.skipFirst()
  return reader
}
