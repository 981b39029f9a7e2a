import fc from 'fast-check'
import { expect, it } from 'vitest'
import { joinCopyStreams } from '../../src/lifecycle/copy-stream.ts'

const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
const trailer = Buffer.from([0xff, 0xff])

function cut(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = []
  for (let at = 0, i = 0; at < bytes.length; i += 1) {
    const size = sizes[i % sizes.length]!
    pieces.push(bytes.subarray(at, at + size))
    at += size
  }
  return pieces
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const piece of pieces) all.push(Buffer.from(piece))
  return Buffer.concat(all)
}

it('several streams become one with the rows of all, however they are cut', async () => {
  const body = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes))
  const sizes = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 })
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(body, sizes), { minLength: 1, maxLength: 4 }), async (parts) => {
      const streams = parts.map(([rows, by]) => cut(Buffer.concat([header, rows, trailer]), by))
      let bytes = 0
      const joined = await collect(joinCopyStreams(streams, (n) => (bytes += n)))
      expect(joined).toEqual(Buffer.concat([header, ...parts.map(([rows]) => rows), trailer]))
      expect(bytes).toBe(parts.reduce((sum, [rows]) => sum + header.length + rows.length + 2, 0))
    }),
  )
})

it('a stream that was cut off is an error, not fewer rows', async () => {
  const whole = Buffer.concat([header, Buffer.from([0, 1, 0, 0, 0, 1, 7])])
  await expect(collect(joinCopyStreams([[whole]], () => {}))).rejects.toMatchObject({ code: 'TM_LAKE' })
  await expect(collect(joinCopyStreams([[header]], () => {}))).rejects.toMatchObject({ code: 'TM_LAKE' })
})
