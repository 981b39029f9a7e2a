import { TidemarkError } from '../util/errors.ts'

/** Signature, flags, length of the extension, which PostgreSQL leaves empty ("COPY: Binary Format"). */
const headerBytes = 19
/** A field count of -1. */
const trailerBytes = 2

/**
 * Several COPY BINARY streams as one: the header of the first, the rows of all, one trailer. Rows are not looked at.
 *
 * @throws TidemarkError TM_LAKE when a stream ends before its trailer: it was cut off.
 */
export async function* joinCopyStreams(
  streams: Iterable<AsyncIterable<Uint8Array> | Iterable<Uint8Array>>,
  onBytes: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let trailer: Uint8Array | null = null
  for (const stream of streams) {
    const isFirst = trailer === null
    let toSkip = isFirst ? 0 : headerBytes
    // The last bytes so far: the trailer, when nothing follows.
    let held: Uint8Array = new Uint8Array(0)
    let total = 0
    for await (const piece of stream) {
      total += piece.byteLength
      onBytes(piece.byteLength)
      const from = Math.min(toSkip, piece.byteLength)
      toSkip -= from
      const rest = from === 0 ? piece : piece.subarray(from)
      if (rest.byteLength >= trailerBytes) {
        if (held.byteLength > 0) yield held
        const end = rest.byteLength - trailerBytes
        if (end > 0) yield rest.subarray(0, end)
        held = rest.slice(end)
      } else if (rest.byteLength > 0) {
        const both = Buffer.concat([held, rest])
        const end = Math.max(0, both.byteLength - trailerBytes)
        if (end > 0) yield both.subarray(0, end)
        held = both.subarray(end)
      }
    }
    if (total < headerBytes + trailerBytes || held.byteLength !== 2 || held[0] !== 0xff || held[1] !== 0xff) {
      throw new TidemarkError('TM_LAKE', {
        what: 'rows on their way into a file',
        problem: `a stream ended after ${total} bytes without its trailer`,
        todo: 'try again; nothing was changed',
      })
    }
    trailer = held
  }
  if (trailer !== null) yield trailer
}
