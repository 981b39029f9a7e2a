import { Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { FastifyInstance } from 'fastify'
import { TidemarkError } from '../../util/errors.ts'
import { parseJsonBody } from './json-body.ts'

/**
 * Takes JSON, NDJSON and CSV bodies, gzipped or not. The limit holds for the unpacked bytes, so a small body cannot
 * unpack into a large one.
 */
export function installBodies(app: FastifyInstance): void {
  app.addHook('preParsing', async (request, _reply, payload) => {
    const encoding = request.headers['content-encoding']
    if (encoding === undefined || encoding === 'identity') return payload
    // the route unpacks it
    if (encoding === (request.routeOptions.config as { readonly encoding?: string }).encoding) return payload
    if (encoding !== 'gzip') {
      throw new TidemarkError('TM_MEDIA_TYPE', {
        found: `content-encoding ${encoding}`,
        allowed: ['gzip', 'identity'],
      })
    }
    delete request.headers['content-length']
    const gunzip = createGunzip()
    const unpacked = Readable.from(unpack(payload.pipe(gunzip)), { objectMode: false })
    payload.on('error', (error) => gunzip.destroy(error))
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

async function* unpack(stream: Readable): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of stream) yield chunk
  } catch (error) {
    throw new TidemarkError(
      'TM_BODY',
      {
        problem: 'the body is not whole gzip data',
        todo: 'send it again, or without content-encoding: gzip',
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

function parseNdjson(body: string): unknown[] {
  return body
    .split('\n')
    .flatMap((text, i) => (text.trim() === '' ? [] : [parseJsonBody(text, `line ${i + 1}`)]))
}
