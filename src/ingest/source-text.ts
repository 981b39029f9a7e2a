import { ExactNumber } from './exact-json.ts'
import type { ColumnSource } from './plan.ts'

/** The text of a source in a record, for sampling and for times put together. */
export function sourceText(source: ColumnSource, record: readonly unknown[]): string | null {
  if (source.kind === 'assembled') {
    let text = ''
    for (const part of source.parts) {
      const piece = typeof part === 'number' ? plainText(record[part]) : part
      // a time with a piece missing is no time
      if (piece === null || piece === '') return null
      text += piece
    }
    return text
  }
  return source.kind === 'field' ? plainText(record[source.index]) : null
}

function plainText(value: unknown): string | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return value.trim()
  if (value instanceof ExactNumber) return value.text
  return typeof value === 'object' ? null : String(value)
}
