import { TidemarkError } from '../../util/errors.ts'

/** A copy of three bytes makes 64: the most that snappy's block format can make of its input. */
const mostGrowth = 64 / 3
const framing = Buffer.from([0xff, 0x06, 0x00, 0x00, 0x73, 0x4e, 0x61, 0x50, 0x70, 0x59])

/**
 * What was packed in snappy's block format. Its header says how large it is, and may lie: nothing is allocated before the
 * number fits the limit and what the bytes can hold, and what comes out has to be exactly that long.
 *
 * @throws TidemarkError TM_BODY_TOO_LARGE, TM_BODY.
 */
export function unpackSnappy(packed: Buffer, maxBytes: number): Buffer {
  if (packed.subarray(0, framing.length).equals(framing))
    throw notSnappy('it has the framing format', 'send the block format, as remote write has it')
  const header = readLength(packed)
  const { size } = header
  if (size > maxBytes) throw new TidemarkError('TM_BODY_TOO_LARGE', { limitBytes: maxBytes })
  if (size > packed.length * mostGrowth)
    throw notSnappy(`its header says ${size} bytes, more than its ${packed.length} bytes can hold`)
  const out = Buffer.allocUnsafe(size)
  const end = packed.length
  let at = header.at
  let to = 0
  while (at < end) {
    const tag = packed[at++]!
    const kind = tag & 3
    let length: number
    if (kind === 0) {
      length = tag >> 2
      if (length >= 60) {
        const bytes = length - 59
        if (at + bytes > end) throw notSnappy('it ends within a length')
        length = packed.readUIntLE(at, bytes)
        at += bytes
      }
      length++
      if (at + length > end) throw notSnappy('it ends within a literal')
      if (to + length > size) throw notSnappy('it holds more than its header says')
      packed.copy(out, to, at, at + length)
      at += length
      to += length
      continue
    }
    const bytes = kind === 1 ? 1 : kind === 2 ? 2 : 4
    if (at + bytes > end) throw notSnappy('it ends within a copy')
    let offset = packed.readUIntLE(at, bytes)
    at += bytes
    if (kind === 1) {
      length = ((tag >> 2) & 7) + 4
      offset |= (tag >> 5) << 8
    } else length = (tag >> 2) + 1
    if (offset === 0 || offset > to) throw notSnappy('a copy reaches before its start')
    if (to + length > size) throw notSnappy('it holds more than its header says')
    // may overlap itself, which repeats: byte by byte then
    if (offset >= length) out.copyWithin(to, to - offset, to - offset + length)
    else for (let i = 0; i < length; i++) out[to + i] = out[to + i - offset]!
    to += length
  }
  if (to !== size) throw notSnappy(`it holds ${to} bytes where its header says ${size}`)
  return out
}

function readLength(packed: Buffer): { readonly size: number; readonly at: number } {
  let size = 0
  for (let at = 0; at < 5 && at < packed.length; at++) {
    const byte = packed[at]!
    size += (byte & 0x7f) * 128 ** at
    if (byte < 128) {
      if (size > 0xffff_ffff) break
      return { size, at: at + 1 }
    }
  }
  throw notSnappy('it does not start with a length')
}

function notSnappy(
  problem: string,
  todo = 'compress the whole body with snappy once',
): TidemarkError<'TM_BODY'> {
  return new TidemarkError('TM_BODY', { problem: `the body is not snappy's block format: ${problem}`, todo })
}
