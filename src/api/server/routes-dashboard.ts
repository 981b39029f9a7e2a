import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { extname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type from 'typebox'
import { TidemarkError } from '../../util/errors.ts'

/** Where the package has the pages: dist/api/server/ → dist/dashboard/. */
const packaged = fileURLToPath(new URL('../../dashboard/', import.meta.url))

/** First words of the pages' paths; the router in dashboard/src/app.tsx knows the rest. */
export const pageNames = [
  'explore',
  'boards',
  'shared',
  'storage',
  'aggregates',
  'jobs',
  'dead-letters',
  'keys',
  'audit',
  'health',
] as const

/**
 * Scripts and styles come from this server alone, and none stands in the page: a value that somebody has sent as a row can be no
 * script. What the pages draw they style by the object model, which needs no `unsafe-inline`.
 */
const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
}

interface PageFile {
  readonly type: string
  readonly bytes: Buffer
  /** Null where it saves nothing. */
  readonly gzip: Buffer | null
  readonly etag: string
}

/**
 * The pages, where they were built. Their files are few and read once, at the start: no path of a request reaches the disk.
 *
 * @param folder of the built pages; by default the package's. Null: none.
 */
export async function installDashboard(
  app: FastifyInstance,
  folder: string | null = packaged,
): Promise<void> {
  if (folder === null || !existsSync(join(folder, 'index.html'))) return
  const files = await readFiles(folder)
  const index = files.get('index.html') as PageFile
  const page = {
    schema: { summary: 'The dashboard', hide: true },
    config: { access: 'public' },
  } as const
  const sendPage = (request: FastifyRequest, reply: FastifyReply): unknown => {
    void reply.header('content-security-policy', policy)
    return send(request, reply, index, 'no-cache')
  }
  app.get('/', page, sendPage)
  for (const name of pageNames) {
    app.get(`/${name}`, page, sendPage)
    app.get(`/${name}/*`, page, sendPage)
  }
  const file = { ...page, schema: { ...page.schema, params: Type.Object({ file: Type.String() }) } }
  app.get<{ Params: { file: string } }>('/assets/:file', file, (request, reply) => {
    const found = files.get(`assets/${request.params.file}`)
    // its name holds the hash of its content
    if (found) return send(request, reply, found, 'public, max-age=31536000, immutable')
    throw new TidemarkError('TM_ROUTE', { method: request.method, url: request.url })
  })
  const icon = files.get('icon.svg')
  if (icon)
    app.get('/icon.svg', page, (request, reply) => send(request, reply, icon, 'public, max-age=86400'))
}

function send(request: FastifyRequest, reply: FastifyReply, file: PageFile, cache: string): unknown {
  void reply.headers({ 'cache-control': cache, etag: file.etag, vary: 'accept-encoding' })
  if (request.headers['if-none-match'] === file.etag) return reply.code(304).send()
  void reply.type(file.type)
  if (file.gzip === null || !/\bgzip\b/.test(request.headers['accept-encoding'] ?? ''))
    return reply.send(file.bytes)
  return reply.header('content-encoding', 'gzip').send(file.gzip)
}

async function readFiles(folder: string): Promise<Map<string, PageFile>> {
  const files = new Map<string, PageFile>()
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const bytes = await readFile(path)
    const type = types[extname(entry.name)] ?? 'application/octet-stream'
    const gzip = /^(text|image\/svg)/.test(type) ? gzipSync(bytes, { level: 9 }) : null
    files.set(
      path
        .slice(folder.length)
        .replace(/^[\\/]+/, '')
        .replaceAll('\\', '/'),
      {
        type,
        bytes,
        gzip: gzip !== null && gzip.length < bytes.length ? gzip : null,
        etag: `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 22)}"`,
      },
    )
  }
  return files
}
