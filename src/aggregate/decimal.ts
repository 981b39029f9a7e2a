/**
 * PostgreSQL's numeric, as far as sums need it: a whole number of 10^-scale, and the three special values. Text is
 * what PostgreSQL writes: no exponent, `NaN`, `Infinity`, `-Infinity`.
 */
export interface Decimal {
  readonly unscaled: bigint
  readonly scale: number
}

export type SpecialDecimal = 'NaN' | 'Infinity' | '-Infinity'

export function isSpecialDecimal(text: string): text is SpecialDecimal {
  return text === 'NaN' || text === 'Infinity' || text === '-Infinity'
}

/** Finite text only. */
export function parseDecimal(text: string): Decimal {
  const dot = text.indexOf('.')
  if (dot < 0) return { unscaled: BigInt(text), scale: 0 }
  return { unscaled: BigInt(text.slice(0, dot) + text.slice(dot + 1)), scale: text.length - dot - 1 }
}

export function formatDecimal(unscaled: bigint, scale: number): string {
  if (scale === 0) return unscaled.toString()
  const sign = unscaled < 0n ? '-' : ''
  const digits = (unscaled < 0n ? -unscaled : unscaled).toString().padStart(scale + 1, '0')
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** The shortest text of the same value, as trim_scale gives: `-1.50` is `-1.5`, `-0.00` is `0`. */
export function trimDecimal(text: string): string {
  if (isSpecialDecimal(text)) return text
  const match = /^([+-]?)0*(\d*)(?:\.(\d*?)0*)?$/.exec(text)
  if (!match) return text
  const whole = match[2] || '0'
  const fraction = match[3] ?? ''
  const body = fraction === '' ? whole : `${whole}.${fraction}`
  return match[1] === '-' && body !== '0' ? `-${body}` : body
}

/** Order of trimmed texts as PostgreSQL has it: NaN is greatest and equals itself. */
export function compareDecimals(a: string, b: string): number {
  if (a === b) return 0
  const rankA = specialRank(a)
  const rankB = specialRank(b)
  if (rankA !== rankB) return rankA < rankB ? -1 : 1
  const negative = a.charCodeAt(0) === 45
  if (negative !== (b.charCodeAt(0) === 45)) return negative ? -1 : 1
  const order = negative ? compareMagnitudes(b.slice(1), a.slice(1)) : compareMagnitudes(a, b)
  return order
}

function specialRank(text: string): number {
  if (text === 'NaN') return 2
  if (text === 'Infinity') return 1
  return text === '-Infinity' ? -1 : 0
}

function compareMagnitudes(a: string, b: string): number {
  const wholeA = a.indexOf('.') < 0 ? a.length : a.indexOf('.')
  const wholeB = b.indexOf('.') < 0 ? b.length : b.indexOf('.')
  if (wholeA !== wholeB) return wholeA < wholeB ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}

const ten = (power: number): bigint => 10n ** BigInt(power)

export function rescale(value: Decimal, scale: number): bigint {
  return value.unscaled * ten(scale - value.scale)
}

/** Base-10000 weight and value of the first digit that is not zero, as numeric.c keeps them. */
function firstDigit(value: Decimal): { weight: number; digit: number } {
  const magnitude = value.unscaled < 0n ? -value.unscaled : value.unscaled
  if (magnitude === 0n) return { weight: 0, digit: 0 }
  const digits = magnitude.toString()
  // the power of ten of the leading decimal digit
  const exponent = digits.length - 1 - value.scale
  const weight = Math.floor(exponent / 4)
  const length = exponent - weight * 4 + 1
  return { weight, digit: Number(digits.slice(0, length).padEnd(length, '0')) }
}

/**
 * Division by a positive whole number exactly as `numeric / bigint` in PostgreSQL: its scale (select_div_scale in
 * numeric.c: at least 16 significant digits and at least the dividend's scale, at most 1000) and its rounding, half away
 * from zero.
 */
export function divideDecimal(value: Decimal, by: number): string {
  const divisor = BigInt(by)
  const left = firstDigit(value)
  const right = firstDigit({ unscaled: divisor, scale: 0 })
  let quotientWeight = left.weight - right.weight
  if (left.digit <= right.digit) quotientWeight -= 1
  const scale = Math.min(Math.max(16 - quotientWeight * 4, value.scale, 0), 1000)
  const magnitude = value.unscaled < 0n ? -value.unscaled : value.unscaled
  // twice the quotient, so that half is a whole number; a scale below the dividend's occurs only at the limit of 1000
  const numerator = scale >= value.scale ? magnitude * ten(scale - value.scale) : magnitude
  const denominator = scale >= value.scale ? divisor : divisor * ten(value.scale - scale)
  const rounded = (numerator * 2n + denominator) / (denominator * 2n)
  return formatDecimal(value.unscaled < 0n ? -rounded : rounded, scale)
}

/** The double nearest to dividend / divisor (ties to even), whatever their size. */
export function nearestRatio(dividend: bigint, divisor: number): number {
  const magnitude = dividend < 0n ? -dividend : dividend
  // both exact: IEEE division rounds correctly
  if (magnitude <= 9007199254740992n) return Number(dividend) / divisor
  const by = BigInt(divisor)
  // 66 bits or more of the quotient and one that says whether something follows: the conversion then rounds once
  const shift = Math.max(0, by.toString(2).length + 66 - magnitude.toString(2).length)
  const scaled = magnitude << BigInt(shift)
  const quotient = (scaled / by) | (scaled % by === 0n ? 0n : 1n)
  const ratio = Number(quotient) / 2 ** shift
  return dividend < 0n ? -ratio : ratio
}
