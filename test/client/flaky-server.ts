import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gunzipSync } from 'node:zlib'

export interface Request {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly key: string
  readonly rows: readonly Record<string, unknown>[]
  readonly atMs: number
}

export type Reply =
  | { readonly status: number; readonly body?: unknown; readonly headers?: Readonly<Record<string, string>> }
  /** Takes the rows and hangs up without an answer. */
  | 'lost'
  /** Hangs up and takes nothing. */
  | 'cut'

/** A server that keeps rows by idempotency key, as the real one does, and answers as it is told. */
export interface FlakyServer {
  readonly url: string
  readonly requests: Request[]
  /** Rows that are stored. */
  readonly stored: Record<string, unknown>[]
  reply: (request: Request) => Reply | Promise<Reply>
  close(): Promise<void>
}

export const problem = (status: number, code: string, more: object = {}): Reply => ({
  status,
  headers: { 'content-type': 'application/problem+json; charset=utf-8' },
  body: {
    type: '',
    title: '',
    status,
    detail: `told by ${code}`,
    code,
    retryable: false,
    instance: 'id-1',
    ...more,
  },
})
export const created: Reply = { status: 201, body: { inserted: 0, ignored: 0 } }

export async function createFlakyServer(): Promise<FlakyServer> {
  const seen = new Set<string>()
  const server = createServer(async (message, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of message) chunks.push(chunk as Buffer)
    const bytes = Buffer.concat(chunks)
    const text = (message.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes).toString('utf8')
    const request: Request = {
      path: message.url ?? '',
      headers: message.headers,
      key: String(message.headers['idempotency-key']),
      rows: text.split('\n').map((line) => JSON.parse(line)),
      atMs: performance.now(),
    }
    flaky.requests.push(request)
    const reply = await flaky.reply(request)
    const isTaken = reply === 'lost' || (typeof reply === 'object' && reply.status < 300)
    if (isTaken && !seen.has(request.key)) {
      seen.add(request.key)
      flaky.stored.push(...request.rows)
    }
    if (typeof reply === 'string') {
      message.socket.destroy()
      return
    }
    response.writeHead(reply.status, { 'content-type': 'application/json', ...reply.headers })
    response.end(JSON.stringify(reply.body ?? {}))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const flaky: FlakyServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    requests: [],
    stored: [],
    reply: () => created,
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return flaky
}
