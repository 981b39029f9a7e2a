/**
 * MD5 (RFC 1321), first eight bytes only: the hash that PostgreSQL, DuckDB, ClickHouse and this have in common. Not
 * for secrets. Written out because node:crypto costs an object for each value and refuses MD5 in FIPS mode.
 */
const constants = Int32Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32))
const shifts = Uint8Array.of(7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21)

const words = new Int32Array(16)
let buffer = new Uint8Array(1024)
let view = new DataView(buffer.buffer)
const encoder = new TextEncoder()

/** The hash of the text's UTF-8 bytes as two unsigned 32-bit halves, written into `out`. */
export function md5First64(text: string, out: Uint32Array): void {
  const room = text.length * 3 + 72
  if (buffer.length < room) {
    buffer = new Uint8Array(room * 2)
    view = new DataView(buffer.buffer)
  }
  const { written: length } = encoder.encodeInto(text, buffer)
  const padded = (((length + 8) >>> 6) + 1) << 6
  buffer.fill(0, length, padded)
  buffer[length] = 0x80
  view.setUint32(padded - 8, (length << 3) >>> 0, true)
  view.setUint32(padded - 4, Math.floor(length / 2 ** 29), true)

  let a0 = 0x67452301
  let b0 = 0xefcdab89 | 0
  let c0 = 0x98badcfe | 0
  let d0 = 0x10325476
  for (let start = 0; start < padded; start += 64) {
    for (let i = 0; i < 16; i += 1) words[i] = view.getInt32(start + i * 4, true)
    let a = a0
    let b = b0
    let c = c0
    let d = d0
    for (let i = 0; i < 64; i += 1) {
      const round = i >>> 4
      let mixed: number
      let word: number
      if (round === 0) {
        mixed = (b & c) | (~b & d)
        word = i
      } else if (round === 1) {
        mixed = (d & b) | (~d & c)
        word = (5 * i + 1) & 15
      } else if (round === 2) {
        mixed = b ^ c ^ d
        word = (3 * i + 5) & 15
      } else {
        mixed = c ^ (b | ~d)
        word = (7 * i) & 15
      }
      const sum = (a + mixed + constants[i]! + words[word]!) | 0
      const by = shifts[(round << 2) | (i & 3)]!
      a = d
      d = c
      c = b
      b = (b + ((sum << by) | (sum >>> (32 - by)))) | 0
    }
    a0 = (a0 + a) | 0
    b0 = (b0 + b) | 0
    c0 = (c0 + c) | 0
    d0 = (d0 + d) | 0
  }
  // the digest is little-endian words; the hash is its first eight bytes read as a big-endian number
  out[0] = swap(a0)
  out[1] = swap(b0)
}

function swap(word: number): number {
  return ((word << 24) | ((word & 0xff00) << 8) | ((word >>> 8) & 0xff00) | (word >>> 24)) >>> 0
}
