import { AccessLogReader } from './access-log-reader.ts'
import { CsvReader } from './csv-reader.ts'
import { NdjsonReader } from './ndjson-reader.ts'
import { type ImportPlan, toJsonFields } from './plan.ts'
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
    return new NdjsonReader({ fields: toJsonFields(plan), hasPrefix, maxRecordBytes }, sink)
  if (format === 'access-log') return new AccessLogReader(maxRecordBytes, sink)
  const reader = new CsvReader({ separator: separator!, maxRecordBytes, keepBlankLines }, sink)
  if (header) reader.skipFirst()
  return reader
}

/** Positions of the fields that columns are made of. */
export function usedFields(plan: ImportPlan): number[] {
  const used = new Set<number>()
  for (const { source } of plan.columns) {
    if (source.kind === 'field') used.add(source.index)
    if (source.kind === 'assembled')
      for (const part of source.parts) if (typeof part === 'number') used.add(part)
  }
  return [...used].sort((a, b) => a - b)
}
