import { TidemarkError } from '../util/errors.ts'
import type { RowStream } from './contract.ts'
import { RowProblem } from './row-decoder.ts'

/** `PGCOPY\n\377\r\n\0`. */
const signature = Buffer.from([80, 71, 67, 79, 80, 89, 10, 255, 13, 10, 0])
/** With flags and without a header extension. */
export const copyHeader: Uint8Array = Buffer.concat([signature, Buffer.alloc(8)])
export const copyTrailer: Uint8Array = Buffer.from([255, 255])

/** Called with a whole row, from its field count to `end`. */
export type OnRow = (bytes: Uint8Array, view: DataView, start: number, end: number) => void

/**
 * Cuts a COPY BINARY stream into rows.
 * @throws TidemarkError TM_LAKE when it is none, or ends before its trailer; TM_CANCELLED.
 */
export async function readCopyStream(
  rows: RowStream,
  what: string,
  signal: AbortSignal | null,
  onRow: OnRow,
  afterBuffer: () => Promise<void> | null = () => null,
): Promise<void> {
  let state: 'header' | 'rows' | 'ended' = 'header'
  let parts: Uint8Array[] = []
  let partsLength = 0
  let needed = 0
  for await (const buffer of rows) {
    if (signal?.aborted) throw cancelled(signal, what)
    let bytes: Uint8Array = buffer
    if (partsLength > 0) {
      parts.push(buffer)
      partsLength += buffer.length
      // a row larger than a buffer is joined once, when all of it is there
      if (partsLength < needed) continue
      bytes = Buffer.concat(parts, partsLength)
      parts = []
      partsLength = 0
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const length = bytes.length
    let at = 0
    needed = 0
    if (state === 'header') {
      if (length < copyHeader.length) needed = copyHeader.length
      else {
        if (!signature.equals(bytes.subarray(0, signature.length)))
          throw broken(what, 'it does not begin as COPY BINARY does')
        const extension = view.getInt32(15)
        at = 19 + extension
        if (extension < 0) throw broken(what, 'its header has a negative length')
        if (at > length) needed = at
        else state = 'rows'
      }
      if (needed > 0) at = 0
    }
    if (state === 'rows') {
      try {
        for (;;) {
          if (at + 2 > length) {
            needed = 2
            break
          }
          const fields = view.getInt16(at)
          if (fields < 0) {
            state = 'ended'
            at += 2
            break
          }
          let end = at + 2
          for (let i = 0; i < fields && end <= length; i += 1) {
            if (end + 4 > length) {
              end += 4
              break
            }
            const size = view.getInt32(end)
            end += size > 0 ? 4 + size : 4
          }
          if (end > length) {
            needed = end - at
            break
          }
          onRow(bytes, view, at, end)
          at = end
        }
      } catch (error) {
        throw error instanceof RowProblem ? broken(what, error.message) : error
      }
    }
    if (state === 'ended' && at < length) throw broken(what, 'it goes on behind its end')
    if (at < length) {
      parts = [bytes.subarray(at)]
      partsLength = length - at
    }
    const wait = afterBuffer()
    if (wait !== null) await wait
  }
  if (signal?.aborted) throw cancelled(signal, what)
  if (state !== 'ended') throw broken(what, 'it ends in the middle')
}

export function cancelled(signal: AbortSignal, what: string): Error {
  const reason: unknown = signal.reason
  return reason instanceof TidemarkError
    ? reason
    : new TidemarkError('TM_CANCELLED', { what }, { cause: reason })
}

function broken(what: string, problem: string): TidemarkError {
  return new TidemarkError('TM_LAKE', {
    what,
    problem: `the rows cannot be read: ${problem}`,
    todo: 'check that they are the declared columns in declared order, as PostgreSQL sends them',
  })
}
