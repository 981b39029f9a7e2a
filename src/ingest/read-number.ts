import type { ColumnNotes } from './convert-context.ts'

export const intRanges = {
  int2: [-32768n, 32767n],
  int4: [-2147483648n, 2147483647n],
  int8: [-9223372036854775808n, 9223372036854775807n],
} as const
export const decimalForm = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?$/

export const powersOfTen = [
  1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
]

/**
 * The nearest double, or null. Up to 15 digits are read as integer / power of ten: both are exact doubles, so the
 * division is rounded once and gives what Number() gives (Clinger 1990), in a third of the time.
 */
export function toFloat(text: string): number | null {
  const length = text.length
  let mantissa = 0
  let digits = 0
  let scale = -1
  let at = text.charCodeAt(0) === 45 ? 1 : 0
  for (; at < length; at++) {
    const code = text.charCodeAt(at)
    if (code >= 48 && code <= 57) {
      mantissa = mantissa * 10 + (code - 48)
      digits++
    } else if (code === 46 && scale === -1) scale = digits
    else break
  }
  if (at === length && digits > 0 && digits <= 15) {
    const value = scale === -1 ? mantissa : mantissa / powersOfTen[digits - scale]!
    return text.charCodeAt(0) === 45 ? -value : value
  }
  if (decimalForm.test(text)) return Number(text)
  const special = specialNumber(text)
  return special === null ? null : Number(special)
}

function specialNumber(text: string): 'NaN' | 'Infinity' | '-Infinity' | null {
  switch (text.toLowerCase()) {
    case 'nan':
      return 'NaN'
    case 'inf':
    case '+inf':
    case 'infinity':
    case '+infinity':
      return 'Infinity'
    case '-inf':
    case '-infinity':
      return '-Infinity'
    default:
      return null
  }
}

/** Plain digits that a double holds exactly; null when the text is anything else. */
export function toSmallInt(text: string): number | null {
  const length = text.length
  if (length === 0 || length > 15) return null
  const isNegative = text.charCodeAt(0) === 45
  let value = 0
  let at = isNegative ? 1 : 0
  if (at === length) return null
  for (; at < length; at++) {
    const digit = text.charCodeAt(at) - 48
    if (digit < 0 || digit > 9) return null
    value = value * 10 + digit
  }
  return isNegative && value !== 0 ? -value : value
}

/** A whole number however it is written: with a sign, a fraction of zeros, an exponent. */
export function toWhole(text: string, notes: ColumnNotes): bigint | null {
  if (/^[+-]?\d{1,40}$/.test(text)) return BigInt(text.startsWith('+') ? text.slice(1) : text)
  const match = /^([+-]?)(\d{1,40})(?:\.(\d{0,40}))?(?:[eE]([+-]?\d{1,2}))?$/.exec(text)
  if (!match) return null
  const exponent = Number(match[4] ?? 0)
  const digits = match[2]! + (match[3] ?? '')
  const wholeLength = match[2]!.length + exponent
  if (wholeLength > 60) return null
  if (/[1-9]/.test(digits.slice(Math.max(0, wholeLength)))) return null
  notes.wholeFractions++
  const whole = BigInt(digits.slice(0, Math.max(0, wholeLength)).padEnd(Math.max(1, wholeLength), '0'))
  return match[1] === '-' ? -whole : whole
}
