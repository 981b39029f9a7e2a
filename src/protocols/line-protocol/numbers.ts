/** Powers of ten that a double holds exactly. */
const exactPowers = Array.from({ length: 23 }, (_, i) => 10 ** i)
const floatForm = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/
const mostSafe = BigInt(Number.MAX_SAFE_INTEGER)

/**
 * The float written in ASCII bytes; NaN when they are none. Up to 15 digits over an exact power of ten are one correctly
 * rounded division (Clinger 1990, the fast path of every strtod); the rest is left to Number.
 */
export function readFloat(bytes: Buffer, from: number, to: number): number {
  let at = from
  const sign = bytes[at]
  if (sign === 45 || sign === 43) at++
  let mantissa = 0
  let digits = 0
  let behindPoint = -1
  for (; at < to; at++) {
    const byte = bytes[at]!
    if (byte >= 48 && byte <= 57) {
      mantissa = mantissa * 10 + (byte - 48)
      digits++
      if (behindPoint >= 0) behindPoint++
    } else if (byte === 46 && behindPoint < 0) behindPoint = 0
    else break
  }
  if (at === to && digits > 0 && digits <= 15) {
    const value = behindPoint > 0 ? mantissa / exactPowers[behindPoint]! : mantissa
    return sign === 45 ? -value : value
  }
  const text = bytes.toString('latin1', from, to)
  return floatForm.test(text) ? Number(text) : Number.NaN
}

/** The whole number written in ASCII bytes, as a bigint where a double would round it; null when they are none. */
export function readInteger(bytes: Buffer, from: number, to: number): number | bigint | null {
  let at = from
  const sign = bytes[at]
  if (sign === 45 || sign === 43) at++
  const count = to - at
  if (count === 0) return null
  let value = 0
  for (; at < to; at++) {
    const byte = bytes[at]!
    if (byte < 48 || byte > 57) return null
    value = value * 10 + (byte - 48)
  }
  // never -0: it is a whole number
  if (count <= 15) return sign === 45 && value !== 0 ? -value : value
  const text = bytes.toString('latin1', sign === 43 ? from + 1 : from, to)
  const exact = BigInt(text)
  return exact <= mostSafe && exact >= -mostSafe ? Number(exact) : exact
}
