/**
 * numeric between PostgreSQL's binary form (digits of base 10000, weight of the first, sign, display scale: numeric_send) and its
 * text, as bytes: no object for a value.
 */

/** What the numerics of a column have in common: whether a DECIMAL holds all of them with their scale. */
export class NumericRange {
  /** Digits before the point, at the most. */
  wholeDigits = 0
  leastScale = Number.POSITIVE_INFINITY
  greatestScale = 0
  /** NaN and the infinities. */
  hasSpecial = false
}

const zero = 48
const minus = 45
const point = 46
const specials: Readonly<Record<number, Uint8Array>> = {
  49152: Buffer.from('NaN'),
  53248: Buffer.from('Infinity'),
  61440: Buffer.from('-Infinity'),
}

/** PostgreSQL sends it with an infinity, and means nothing by it; rows that came another way may have none. */
const infinityScale = 32

/** Bytes that the text of a binary numeric of `size` bytes and scale `scale` needs at the most. */
function room(weight: number, scale: number): number {
  return (weight < 0 ? 1 : (weight + 1) * 4) + scale + 8
}

/** Texts are made in here; it grows. */
export class NumericText {
  bytes: Uint8Array = new Uint8Array(64)

  /**
   * The text of the numeric that begins at `at`: its bytes are `[0, length)` of `bytes`. NaN and infinities are made
   * canonical where they lie.
   */
  read(view: DataView, at: number, range: NumericRange): number {
    const count = view.getUint16(at)
    const weight = view.getInt16(at + 2)
    const sign = view.getUint16(at + 4)
    const scale = view.getUint16(at + 6)
    const special = specials[sign]
    if (special !== undefined) {
      range.hasSpecial = true
      view.setUint16(at + 6, sign === 0xc000 ? 0 : infinityScale)
      this.bytes.set(special)
      return special.length
    }
    const needed = room(weight, scale)
    if (this.bytes.length < needed) this.bytes = new Uint8Array(needed * 2)
    const out = this.bytes
    let end = 0
    if (sign === 0x4000) out[end++] = minus
    const start = end
    for (let i = 0; i <= weight; i += 1) {
      const digit = i < count ? view.getUint16(at + 8 + i * 2) : 0
      end = put(out, end, digit, end === start)
    }
    if (end - start > range.wholeDigits) range.wholeDigits = end - start
    if (end === start) out[end++] = zero
    if (scale < range.leastScale) range.leastScale = scale
    if (scale > range.greatestScale) range.greatestScale = scale
    if (scale > 0) {
      out[end++] = point
      const stop = end + scale
      for (let i = weight + 1; end < stop; i += 1)
        end = put(out, end, i >= 0 && i < count ? view.getUint16(at + 8 + i * 2) : 0, false)
      end = stop
    }
    return end
  }
}

/** Four digits; without leading zeros where the number begins. */
function put(out: Uint8Array, at: number, digit: number, first: boolean): number {
  let end = at
  const a = (digit / 1000) | 0
  const b = ((digit / 100) | 0) % 10
  const c = ((digit / 10) | 0) % 10
  if (!first || digit >= 1000) out[end++] = zero + a
  if (!first || digit >= 100) out[end++] = zero + b
  if (!first || digit >= 10) out[end++] = zero + c
  if (!first || digit > 0) out[end++] = zero + (digit % 10)
  return end
}

/** The binary form of texts as `NumericText` makes them and DuckDB prints its DECIMALs. */
export class NumericBinary {
  bytes: Uint8Array = new Uint8Array(64)

  /** The numeric whose text is bytes `[from, to)`: its binary form is bytes `[0, length)` of `bytes`. */
  write(text: Uint8Array, from: number, to: number): number {
    if (this.bytes.length < 16 + (to - from)) this.bytes = new Uint8Array((16 + (to - from)) * 2)
    const out = this.bytes
    let at = from
    let sign = 0
    if (text[at] === minus) {
      sign = 0x4000
      at += 1
    }
    const first = text[at]!
    // N of NaN, I of Infinity
    if (first === 78 || first === 73) {
      const word = first === 78 ? 0xc0 : sign === 0 ? 0xd0 : 0xf0
      out.fill(0, 0, 8)
      out[4] = word
      if (first === 73) out[7] = infinityScale
      return 8
    }
    let dot = at
    while (dot < to && text[dot] !== point) dot += 1
    const whole = dot - at
    const scale = dot < to ? to - dot - 1 : 0
    // groups of four digits, counted from the point
    const wholeGroups = (whole + 3) >> 2
    const groups = wholeGroups + ((scale + 3) >> 2)
    let end = 8
    let leading = 0
    let kept = 8
    for (let group = 0; group < groups; group += 1) {
      let digit = 0
      const begin =
        group < wholeGroups ? dot - (wholeGroups - group) * 4 : dot + 1 + (group - wholeGroups) * 4
      const stop = group < wholeGroups ? dot : to
      for (let i = begin; i < begin + 4; i += 1)
        digit = digit * 10 + (i >= at && i < stop ? text[i]! - zero : 0)
      if (end === 8 && digit === 0) {
        leading += 1
        continue
      }
      out[end] = digit >> 8
      out[end + 1] = digit & 255
      end += 2
      if (digit !== 0) kept = end
    }
    const count = (kept - 8) >> 1
    const weight = count === 0 ? 0 : wholeGroups - 1 - leading
    if (count === 0) sign = 0
    out[0] = count >> 8
    out[1] = count & 255
    out[2] = (weight >> 8) & 255
    out[3] = weight & 255
    out[4] = sign >> 8
    out[5] = 0
    out[6] = scale >> 8
    out[7] = scale & 255
    return kept
  }
}
