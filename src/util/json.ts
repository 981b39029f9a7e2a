/**
 * How values travel as JSON: a bigint is a number where a double holds it exactly, else a string; NaN and the
 * infinities are the strings that PostgreSQL writes. Everything else is already JSON.
 */
function toJsonValue(value: unknown): unknown {
  switch (typeof value) {
    case 'bigint':
      return value >= minSafe && value <= maxSafe ? Number(value) : value.toString()
    case 'number':
      if (Number.isFinite(value)) return value
      return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity'
    case 'object':
      if (value === null) return null
      if (Array.isArray(value)) return value.map(toJsonValue)
      if (value instanceof Date) return value.toISOString()
      return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, toJsonValue(entry)]))
    default:
      return value
  }
}

export function toJsonText(value: unknown): string {
  return JSON.stringify(toJsonValue(value))
}

const maxSafe = BigInt(Number.MAX_SAFE_INTEGER)
const minSafe = BigInt(Number.MIN_SAFE_INTEGER)
