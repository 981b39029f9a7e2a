const slots = 2048
/** Longer texts are rarely the same again. */
const mostBytes = 64

/**
 * Texts that were seen before, found by their bytes: names and tag values repeat from line to line, and making a string of
 * bytes costs more than comparing with one. Each slot holds the last text that fell into it, so it never grows.
 */
export class TextCache {
  readonly #texts: (string | undefined)[] = new Array(slots)

  /** The text of ASCII bytes whose hash the caller has made while reading them. */
  ascii(bytes: Buffer, from: number, to: number, hash: number): string {
    const length = to - from
    if (length > mostBytes) return bytes.toString('latin1', from, to)
    const slot = (hash ^ (hash >>> 11)) & (slots - 1)
    const known = this.#texts[slot]
    if (known !== undefined && known.length === length) {
      let i = 0
      while (i < length && known.charCodeAt(i) === bytes[from + i]) i++
      if (i === length) return known
    }
    const text = bytes.toString('latin1', from, to)
    this.#texts[slot] = text
    return text
  }
}
