const slots = 2048
/** Longer texts are rarely the same again. */
const mostBytes = 64

/** Bytes that are no UTF-8. */
export class EncodingFault {}

/**
 * Texts that were seen before, found by their bytes: names and tag values repeat from line to line, and making a string of
 * bytes costs more than comparing with one. Each slot holds the last text that fell into it, so it never grows.
 */
export class TextCache {
  readonly #texts: (string | undefined)[] = new Array(slots)
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

  /** @throws EncodingFault */
  text(bytes: Buffer, from: number, to: number): string {
    if (to - from > mostBytes) return this.decode(bytes, from, to)
    let hash = hashStart
    let all = 0
    for (let at = from; at < to; at++) {
      const byte = bytes[at]!
      all |= byte
      hash = Math.imul(hash ^ byte, hashFactor)
    }
    return all < 128 ? this.ascii(bytes, from, to, hash) : this.decode(bytes, from, to)
  }

  /** The text of ASCII bytes whose hash (FNV-1a) the caller has made while reading them. */
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

  /** Without looking. @throws EncodingFault */
  decode(bytes: Buffer, from: number, to: number): string {
    try {
      return this.#utf8.decode(bytes.subarray(from, to))
    } catch {
      throw new EncodingFault()
    }
  }
}

export const hashStart = 0x811c9dc5
export const hashFactor = 0x01000193
