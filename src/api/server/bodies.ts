import { Readable, type Transform } from 'node:stream'
import * as zlib from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import { TidemarkError } from '../../util/errors.ts'
import { parseJsonBody, parseNdjson } from './json-body.ts'

/**
 * Takes JSON, NDJSON and CSV bodies, packed by gzip (or zstd, where Node has it) or not. The limit holds for the unpacked bytes, so a small body cannot
 * unpack into a large one.
 */
export function installBodies(app: FastifyInstance): void {
  app.addHook('preParsing', async (request, _reply, payload) => {
    const encoding = request.headers['content-encoding']
    if (encoding === undefined || encoding === 'identity') return payload
    // the route unpacks it
    if (encoding === (request.routeOptions.config as { readonly encoding?: string }).encoding) return payload
    const unpacker = unpackerOf(encoding)
    delete request.headers['content-length']
    const unpacked = Readable.from(unpack(payload.pipe(unpacker), encoding), { objectMode: false })
    payload.on('error', (error) => unpacker.destroy(error))
    return unpacked
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (_request, body, done) =>
    parseInto(done, () => parseJson(body)),
  )
  app.addContentTypeParser<string>(
    ['application/x-ndjson', 'application/ndjson', 'application/jsonl'],
    { parseAs: 'string' },
    (_request, body, done) => parseInto(done, () => parseNdjson(body)),
  )
  app.addContentTypeParser<string>('text/csv', { parseAs: 'string' }, (_request, body, done) =>
    done(null, body),
  )
}

/** Windows of zstd in HTTP are at most 8 MiB (RFC 9659): what a sender names is allocated. */
const maxWindowLog = 23
/** Node has it from 22.15 on. */
const { createZstdDecompress, constants } = zlib as {
  readonly createZstdDecompress?: (options: { params: Readonly<Record<number, number>> }) => Transform
  readonly constants: { readonly ZSTD_d_windowLogMax?: number }
}

function unpackerOf(encoding: string): Transform {
  if (encoding === 'gzip') return zlib.createGunzip()
  const hasZstd = createZstdDecompress !== undefined && constants.ZSTD_d_windowLogMax !== undefined
  if (encoding === 'zstd' && hasZstd)
    return createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax!]: maxWindowLog } })
  const reason = encoding === 'zstd' ? ' (it needs a server on Node 22.15 or later)' : ''
  throw new TidemarkError('TM_MEDIA_TYPE', {
    found: `content-encoding ${encoding}${reason}`,
    allowed: ['gzip', ...(hasZstd ? ['zstd'] : []), 'identity'],
  })
}

async function* unpack(stream: Readable, encoding: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of stream) yield chunk
  } catch (error) {
    throw new TidemarkError(
      'TM_BODY',
      {
        problem: `the body is not whole ${encoding} data`,
        todo: `send it again, or without content-encoding: ${encoding}`,
      },
      { cause: error },
    )
  }
}

function parseInto(done: (error: Error | null, body?: unknown) => void, parse: () => unknown): void {
  let body: unknown
  try {
    body = parse()
  } catch (error) {
    done(error as Error)
    return
  }
  done(null, body)
}

function parseJson(body: string): unknown {
  if (body.trim() === '')
    throw new TidemarkError('TM_BODY', { problem: 'the body is empty', todo: 'send JSON' })
  return parseJsonBody(body)
}
