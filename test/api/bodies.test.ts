import * as zlib from 'node:zlib'
import Fastify from 'fastify'
import { expect, it } from 'vitest'
import { installBodies } from '../../src/api/server/bodies.ts'
import { installProblems } from '../../src/api/server/problems.ts'

/** Node has it from 22.15 on. */
const { zstdCompressSync } = zlib as { readonly zstdCompressSync?: (bytes: Buffer) => Buffer }
/** `[{"n":1}]` as the zstd program packs it. */
const packed = Buffer.from('KLUv/QQASQAAW3sibiI6MX1d', 'base64')

function server() {
  const app = Fastify({ bodyLimit: 1000 })
  installProblems(app, { bodyLimitBytes: 1000 })
  installBodies(app)
  app.post('/echo', async (request) => request.body)
  return app
}
const send = (payload: Buffer, encoding: string) =>
  server().inject({
    method: 'POST',
    url: '/echo',
    payload,
    headers: { 'content-type': 'application/json', 'content-encoding': encoding },
  })

it('zstd is unpacked within the limit of bodies, or refused clearly where Node cannot unpack it', async () => {
  if (zstdCompressSync === undefined) {
    const answer = await send(packed, 'zstd')
    expect([answer.statusCode, answer.json()]).toMatchObject([
      415,
      {
        code: 'TM_MEDIA_TYPE',
        detail: expect.stringMatching(/zstd \(it needs a server on Node 22\.15 or later\).*gzip, identity/),
      },
    ])
    return
  }
  const answer = await send(packed, 'zstd')
  expect([answer.statusCode, answer.json()]).toEqual([200, [{ n: 1 }]])
  expect((await send(zstdCompressSync(Buffer.from(`["${'x'.repeat(100_000)}"]`)), 'zstd')).statusCode).toBe(
    413,
  )
  const cut = await send(zstdCompressSync(Buffer.from('[{"n":1}]')).subarray(0, 10), 'zstd')
  expect([cut.statusCode, cut.json().code]).toEqual([400, 'TM_BODY'])
})

it.each([
  ['gzip', zlib.gzipSync],
  ['identity', (bytes: Buffer) => bytes],
] as const)('%s is taken, and bounded', async (encoding, pack) => {
  expect((await send(pack(Buffer.from('[1]')), encoding)).json()).toEqual([1])
  expect((await send(pack(Buffer.from(`["${'x'.repeat(2000)}"]`)), encoding)).statusCode).toBe(413)
})

it('an encoding that is unknown is refused with those that are', async () => {
  const answer = await send(Buffer.from('x'), 'br')
  expect([answer.statusCode, answer.json().params.allowed.at(0)]).toEqual([415, 'gzip'])
})
