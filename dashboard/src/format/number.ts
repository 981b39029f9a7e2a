/** Numbers as people read them. Everything here is pure; `—` stands for nothing. */

const groups = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0, useGrouping: true })

/** A thin space between thousands: neither a comma nor a point, which readers of different countries take for each other. */
const thin = '\u202f'

export interface NumberOptions {
  /** Significant digits of what has a fraction. Default 4. */
  readonly digits?: number
  /** `1.23 M` in place of `1 234 567`. */
  readonly compact?: boolean
}

/**
 * @example
 * formatNumber(1234567) // '1 234 567'
 * formatNumber(1234567, { compact: true }) // '1.23 M'
 * formatNumber('9007199254740993') // '9 007 199 254 740 993': texts of int8 and numeric stay exact
 */
export function formatNumber(x: number | bigint | string | null, options: NumberOptions = {}): string {
  if (x === null) return '—'
  if (typeof x === 'string' || typeof x === 'bigint') return formatText(String(x), options)
  if (Number.isNaN(x)) return 'NaN'
  if (!Number.isFinite(x)) return x > 0 ? '∞' : '−∞'
  if (options.compact === true && Math.abs(x) >= 10_000) return compact(x)
  if (x === 0) return '0'
  // beyond it a number of JavaScript is no longer the one that was counted
  if (Number.isInteger(x) && Math.abs(x) < 1e16) return minus(groups.format(x).replaceAll(',', thin))
  return fraction(x, options.digits ?? 4)
}

function formatText(text: string, options: NumberOptions): string {
  const match = /^(-?)(\d+)(\.\d+)?$/.exec(text)
  if (match === null) return formatNumber(Number(text), options)
  if (options.compact === true && text.length > 5) return formatNumber(Number(text), options)
  const [, sign = '', whole = '', rest = ''] = match
  return `${sign === '' ? '' : '−'}${whole.replace(/\B(?=(\d{3})+$)/g, thin)}${rest}`
}

function fraction(x: number, digits: number): string {
  const size = Math.abs(x)
  if (size !== 0 && (size >= 1e15 || size < 1e-6)) return minus(x.toExponential(Math.max(0, digits - 1)))
  const whole = size < 1 ? 0 : Math.floor(Math.log10(size)) + 1
  const places = size < 1 ? digits - 1 - Math.floor(Math.log10(size)) : Math.max(0, digits - whole)
  const [before = '', after = ''] = size.toFixed(Math.min(20, places)).split('.')
  const tail = after.replace(/0+$/, '')
  const head = before.replace(/\B(?=(\d{3})+$)/g, thin)
  return `${x < 0 ? '−' : ''}${head}${tail === '' ? '' : `.${tail}`}`
}

const minus = (text: string): string => text.replace(/^-/, '−')

const steps = [
  [1e15, 'P'],
  [1e12, 'T'],
  [1e9, 'G'],
  [1e6, 'M'],
  [1e3, 'k'],
] as const

function compact(x: number): string {
  for (const [size, sign] of steps)
    if (Math.abs(x) >= size) return `${fraction(Number((x / size).toPrecision(3)), 3)}\u00a0${sign}`
  return fraction(x, 3)
}

/** IEC: 1 KiB is 1,024 bytes. */
export function formatBytes(x: number | null): string {
  if (x === null) return '—'
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let size = Math.abs(x)
  let at = 0
  // what would be written as 1024 of a unit is 1 of the next
  while (at < units.length - 1 && size >= 1023.5) {
    size /= 1024
    at += 1
  }
  const text = at === 0 ? String(Math.round(size)) : size >= 100 ? size.toFixed(0) : fraction(size, 3)
  return `${x < 0 ? '−' : ''}${text}\u00a0${units[at]}`
}

/** A length of time. @example formatMs(250_000) // '4 min 10 s' */
export function formatMs(x: number | null): string {
  if (x === null) return '—'
  if (!Number.isFinite(x)) return formatNumber(x)
  if (x < 0) return `−${formatMs(-x)}`
  if (x < 1000) return `${x < 10 ? fraction(x, 2) : Math.round(x)}\u00a0ms`
  if (x < 59_950) return `${fraction(x / 1000, 3)}\u00a0s`
  const units = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ] as const
  let left = Math.round(x / 1000)
  const first = units.findIndex(([, seconds]) => left >= seconds)
  const said: string[] = []
  for (const [unit, seconds] of units.slice(first, first + 2)) {
    const n = Math.floor(left / seconds)
    left -= n * seconds
    if (n > 0) said.push(`${formatNumber(n)}\u00a0${unit}`)
  }
  return said.join(' ')
}

/** Of a share: 0.123 is 12.3 %. */
export function formatPercent(x: number | null): string {
  return x === null ? '—' : `${fraction(Number((x * 100).toPrecision(3)), 3)}\u00a0%`
}

/** Of a value whose unit somebody has declared: `bytes`, `ms`, `s`, `percent` (of a share), `perSecond`, or any other word, which is put behind it. */
export function formatUnit(x: number | bigint | string | null, unit: string | undefined): string {
  if (x === null || unit === undefined || unit === '') return formatNumber(x)
  const n = Number(x)
  if (unit === 'bytes') return formatBytes(n)
  if (unit === 'ms') return formatMs(n)
  if (unit === 's') return formatMs(n * 1000)
  if (unit === 'percent') return formatPercent(n)
  if (unit === 'perSecond') return `${formatNumber(n, { compact: true, digits: 3 })}\u00a0/s`
  return `${formatNumber(x)}\u00a0${unit}`
}
