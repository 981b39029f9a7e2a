import type { ReportAnswer } from '../contract.ts'

/**
 * RFC 4180: a header, CRLF, quotes where they are needed. Null is nothing, an empty text is `""`, lists and objects are JSON.
 *
 * @example
 * toCsv({ columns: [{ name: 'n', type: 'int8' }], rows: [{ n: 7 }], plan: {} }) // 'n\r\n7\r\n'
 */
export function toCsv({ columns, rows }: Pick<ReportAnswer, 'columns' | 'rows'>): string {
  const names = columns.map(({ name }) => name)
  const lines = [names.map(quoted), ...rows.map((row) => names.map((name) => cell(row[name])))]
  return lines.map((cells) => `${cells.join(',')}\r\n`).join('')
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (value === '') return '""'
  return quoted(typeof value === 'object' ? JSON.stringify(value) : String(value))
}

function quoted(text: string): string {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
