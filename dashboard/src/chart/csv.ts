import type { TableOfAnswer } from './series.ts'

function cell(value: unknown): string {
  if (value === null || value === undefined) return ''
  const text =
    typeof value === 'object'
      ? JSON.stringify(value, (_key, inner) => (typeof inner === 'bigint' ? String(inner) : inner))
      : String(value)
  return /[",\r\n]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text
}

/** RFC 4180: every value as the answer has it, lists as JSON, null as nothing. */
export function toCsv({ rows, columns }: TableOfAnswer): string {
  const names = columns.map(({ name }) => name)
  const lines = [names.map(cell).join(',')]
  for (const row of rows) lines.push(names.map((name) => cell(row[name])).join(','))
  return `${lines.join('\r\n')}\r\n`
}
