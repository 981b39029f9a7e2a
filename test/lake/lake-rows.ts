import { type CopyType, createCopyEncoder } from '../../src/postgres/index.ts'
import type { HypertableDefinition } from '../../src/schema/index.ts'

/** Rows of canonical values as the COPY BINARY stream that PostgreSQL would send. */
export function copyStream(
  definition: HypertableDefinition,
  rows: Iterable<readonly unknown[]>,
): readonly Uint8Array[] {
  const types = Object.values(definition.columns).map(({ type }) => type as CopyType)
  const encoder = createCopyEncoder(types, { chunkBytes: 64 * 1024 })
  for (const row of rows) encoder.addRow(row)
  return encoder.finish().map((bytes) => new Uint8Array(bytes))
}

/** A stream in one piece. */
export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = []
  for await (const piece of stream) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** The rows of a stream as bytes, sorted: what is compared where the order does not matter. */
export function rowsOf(stream: Buffer): string[] {
  const rows: string[] = []
  let at = 19
  for (;;) {
    const fields = stream.readInt16BE(at)
    if (fields < 0) return rows
    let end = at + 2
    for (let i = 0; i < fields; i += 1) end += 4 + Math.max(0, stream.readInt32BE(end))
    rows.push(stream.toString('latin1', at, end))
    at = end
  }
}
