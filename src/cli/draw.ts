/** Pictures for a terminal, as text. Pure: width and colour are the caller's. */

const blocks = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
const bars = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉']

/**
 * One character for each value, from the smallest to the greatest; a gap for null. More values than width are put
 * together by their mean.
 *
 * @example
 * sparkline([1, 2, null, 8]) // '▁▂ █'
 */
export function sparkline(values: readonly (number | null)[], width = 80): string {
  const points = shrink(values, width)
  const known = points.filter((value): value is number => value !== null)
  if (known.length === 0) return ' '.repeat(points.length)
  const low = Math.min(...known)
  const high = Math.max(...known)
  return points
    .map((value) => {
      if (value === null) return ' '
      if (high === low) return blocks[3]
      return blocks[Math.min(7, Math.floor(((value - low) / (high - low)) * 8))]
    })
    .join('')
}

/** A bar of up to `width` characters in eighths; nothing for null, zero and negative values. */
export function bar(value: number | null, max: number, width = 24): string {
  if (value === null || !(value > 0) || !(max > 0)) return ''
  const eighths = Math.round((value / max) * width * 8)
  return '█'.repeat(Math.floor(eighths / 8)) + bars[eighths % 8]
}

export interface TextColumn {
  readonly title: string
  readonly align: 'left' | 'right'
}

/** Aligned columns with a header; cells longer than `maxCell` are cut with an ellipsis. */
export function textTable(
  columns: readonly TextColumn[],
  rows: readonly (readonly string[])[],
  maxCell = 60,
): string[] {
  const cut = (text: string): string => (text.length > maxCell ? `${text.slice(0, maxCell - 1)}…` : text)
  const cells = rows.map((row) => row.map(cut))
  const widths = columns.map((column, i) =>
    Math.max(column.title.length, ...cells.map((row) => (row[i] ?? '').length), 0),
  )
  const line = (row: readonly string[]): string =>
    columns
      .map((column, i) =>
        column.align === 'right'
          ? (row[i] ?? '').padStart(widths[i] ?? 0)
          : (row[i] ?? '').padEnd(widths[i] ?? 0),
      )
      .join('  ')
      .trimEnd()
  return [line(columns.map((column) => column.title)), ...cells.map(line)]
}

/** `1,234,567` and at most four significant decimals: for people, never for machines. */
export function formatNumber(value: number | bigint): string {
  if (typeof value === 'bigint') return value.toLocaleString('en-US')
  if (!Number.isFinite(value)) return String(value)
  const decimals = Number.isInteger(value) ? 0 : Math.max(0, 3 - Math.floor(Math.log10(Math.abs(value) || 1)))
  return value.toLocaleString('en-US', { maximumFractionDigits: Math.min(decimals, 8) })
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`
}

export function formatDuration(ms: number): string {
  if (ms < 1) return `${ms.toFixed(2)} ms`
  if (ms < 1000) return `${ms.toFixed(ms < 10 ? 1 : 0)} ms`
  const seconds = ms / 1000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

function shrink(values: readonly (number | null)[], width: number): (number | null)[] {
  if (values.length <= width) return [...values]
  return Array.from({ length: width }, (_, i) => {
    const from = Math.floor((i * values.length) / width)
    const to = Math.max(from + 1, Math.floor(((i + 1) * values.length) / width))
    const known = values.slice(from, to).filter((value): value is number => value !== null)
    return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0) / known.length
  })
}
