import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { cancelled } from './copy-stream.ts'

export async function sha256(localFile: string, signal: AbortSignal | null): Promise<Uint8Array> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(localFile, { highWaterMark: 1024 * 1024 })) {
    if (signal?.aborted) throw cancelled(signal, 'reading a file')
    hash.update(piece as Buffer)
  }
  return new Uint8Array(hash.digest())
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
