import { isAscii, isUtf8 } from 'node:buffer'
import { TidemarkError } from '../util/errors.ts'

/** Text that ends at the end of a line (or of the file). */
export interface TextBlock {
  readonly text: string
  /**
   * `text`: decoded. `bytes`: the block has bytes that are no UTF-8, so each character stands for one byte and
   * fields are decoded one by one: only the rows that hold the bad bytes are refused.
   */
  readonly form: 'text' | 'bytes'
}

const newline = 10

/**
 * Cuts a stream of bytes after line ends and decodes it. A line longer than `maxBytes` is passed on in pieces of
 * about that size; the record readers refuse it by their own limit.
 */
export async function* toTextBlocks(
  source: AsyncIterable<Buffer>,
  file: string,
  maxBytes: number,
): AsyncGenerator<TextBlock> {
  let rest: Buffer[] = []
  let restBytes = 0
  let first = true
  for await (let chunk of source) {
    if (first) {
      if (restBytes > 0) chunk = Buffer.concat([...rest, chunk])
      rest = []
      restBytes = 0
      if (chunk.length < 4) {
        rest = [chunk]
        restBytes = chunk.length
        continue
      }
      chunk = withoutMark(chunk, file)
      first = false
    }
    const end = chunk.lastIndexOf(newline) + 1
    if (end === 0 && restBytes + chunk.length < maxBytes) {
      rest.push(chunk)
      restBytes += chunk.length
      continue
    }
    // a line over the limit: what is there goes out, cut between characters where that is possible
    const cut = end === 0 ? chunk.length - trailingPartialBytes(chunk) : end
    rest.push(chunk.subarray(0, cut))
    yield decode(rest.length === 1 ? rest[0]! : Buffer.concat(rest))
    rest = cut < chunk.length ? [chunk.subarray(cut)] : []
    restBytes = chunk.length - cut
  }
  if (restBytes > 0) {
    const last = Buffer.concat(rest)
    yield decode(first ? withoutMark(last, file) : last)
  }
}

function withoutMark(chunk: Buffer, file: string): Buffer {
  if (chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf) return chunk.subarray(3)
  if ((chunk[0] === 0xff && chunk[1] === 0xfe) || (chunk[0] === 0xfe && chunk[1] === 0xff))
    throw new TidemarkError('TM_IMPORT', {
      file,
      problem: 'it is UTF-16 text, and only UTF-8 is read',
      todo: `convert it first: iconv -f UTF-16 -t UTF-8 ${file}`,
    })
  return chunk
}

function decode(bytes: Buffer): TextBlock {
  // an ASCII block becomes a one-byte string: half the memory, and searching it is several times as fast
  if (isAscii(bytes)) return { text: bytes.toString('latin1'), form: 'text' }
  if (isUtf8(bytes)) return { text: bytes.toString('utf8'), form: 'text' }
  return { text: bytes.toString('latin1'), form: 'bytes' }
}

/** Decodes one field of a `bytes` block; null when it is no UTF-8. */
export function decodeField(field: string): string | null {
  const bytes = Buffer.from(field, 'latin1')
  return isUtf8(bytes) ? bytes.toString('utf8') : null
}

/** For showing: bad bytes become U+FFFD. */
export function decodeLossy(field: string): string {
  return Buffer.from(field, 'latin1').toString('utf8')
}

function trailingPartialBytes(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if ((byte & 0xc0) === 0x80) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return length > back ? back : 0
  }
  return 0
}
