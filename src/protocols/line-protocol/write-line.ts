import type { FieldValue, Point } from '../contract.ts'

/**
 * A point as a line, which is read as the same point again: what is kept of a point that no table takes. Times are those that were
 * read, in nanoseconds; a small integer has no `i` behind it.
 */
export function lineOf(point: Point): string {
  const tags = point.tagKeys.map((key, i) => `,${escapeKey(key)}=${escapeKey(point.tagValues[i]!)}`)
  const fields = point.fieldKeys.map((key, i) => `${escapeKey(key)}=${textOf(point.fieldValues[i]!)}`)
  const measurement = point.measurement.replace(/[, ]/g, '\\$&')
  return `${measurement}${tags.join('')} ${fields.join(',')} ${point.time * 1000n}`
}

const mostInteger = 2n ** 63n - 1n

function escapeKey(text: string): string {
  return text.replace(/[,= ]/g, '\\$&')
}

function textOf(value: FieldValue): string {
  if (typeof value === 'bigint') return `${value}${value > mostInteger ? 'u' : 'i'}`
  return typeof value === 'string' ? `"${value.replace(/["\\]/g, '\\$&')}"` : String(value)
}
