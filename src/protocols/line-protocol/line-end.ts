const newline = 10
const quote = 34
const backslash = 92
const space = 32
const equals = 61
const hash = 35

/**
 * Finds the ends of lines in bytes. A newline inside of a quoted string belongs to the string. Lines without a quote, nearly
 * all, cost one search for the newline.
 */
export class LineEnds {
  readonly #bytes: Buffer
  /** The first quote at or behind where was looked last; the length where there is none. */
  #quoteAt = -1

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** Place of the newline that ends the line which starts at `from`; -1 when it is not there, or `most` bytes do not reach it. */
  endOf(from: number, most: number): number {
    const bytes = this.#bytes
    const first = bytes.indexOf(newline, from)
    if (this.#quoteAt < from) {
      const found = bytes.indexOf(quote, from)
      this.#quoteAt = found < 0 ? bytes.length : found
    }
    if (this.#quoteAt >= (first < 0 ? bytes.length : first)) return first
    return walk(bytes, from, Math.min(bytes.length, from + most + 1))
  }
}

/** As the grammar has it: a string opens behind an equals sign of the fields, which start behind the first bare space. */
function walk(bytes: Buffer, from: number, to: number): number {
  let at = from
  while (at < to && bytes[at] === space) at++
  if (bytes[at] === hash) return bytes.indexOf(newline, at)
  let inFields = false
  for (; at < to; at++) {
    const byte = bytes[at]!
    if (byte === newline) return at
    if (byte === backslash) {
      const next = bytes[at + 1]
      if (next === space || next === equals) at++
    } else if (byte === space) inFields = true
    else if (byte === equals && inFields && bytes[at + 1] === quote) {
      at += 2
      while (at < to && bytes[at] !== quote) at += bytes[at] === backslash ? 2 : 1
    }
  }
  return -1
}
