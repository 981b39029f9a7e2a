import { TidemarkClientError } from './errors.ts'

/** What of `fetch` is used; the browser's, Node's, or one that is handed in. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>

export interface RequestSpec {
  /** Default POST. */
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly contentType: string
  /** '': none. */
  readonly body: string
  readonly headers: Readonly<Record<string, string>>
  readonly maxAttempts: number
  readonly signal: AbortSignal | undefined
  /** Whether an answer of this error is worth another try. */
  readonly mayRetry: (error: TidemarkClientError) => boolean
}

export interface Reply {
  /** Of JSON; null where there is none. */
  readonly body: unknown
  readonly headers: Headers
}

export interface Transport {
  /** As `send`, with the headers of the answer. */
  ask(spec: RequestSpec): Promise<Reply>
  /**
   * Sends until there is an answer that is final, with exponential back-off and full jitter between tries.
   *
   * @throws TidemarkClientError, or what the signal was aborted with
   */
  send(spec: RequestSpec): Promise<unknown>
}

/** Below it gzip saves less than it costs. */
const minGzipLength = 1_000
const firstRetryMs = 100
const maxRetryMs = 30_000
const maxRetryAfterMs = 300_000
/** Without a problem of Tidemark's own in it (a proxy's answer). */
const retryableStatus: ReadonlySet<number> = new Set([408, 425, 429, 502, 503, 504])

export function createTransport(options: {
  readonly url: string
  readonly apiKey: string | undefined
  readonly timeoutMs: number
  readonly fetch: Fetch
  readonly random: () => number
}): Transport {
  const base = options.url.replace(/\/+$/, '')
  const authorization: Record<string, string> =
    options.apiKey === undefined ? {} : { authorization: `Bearer ${options.apiKey}` }

  async function attempt(spec: RequestSpec, body: string | Uint8Array<ArrayBuffer>): Promise<Reply> {
    const timeout = AbortSignal.timeout(options.timeoutMs)
    const signal = spec.signal ? AbortSignal.any([spec.signal, timeout]) : timeout
    let response: Response
    let text: string
    try {
      response = await options.fetch(base + spec.path, {
        method: spec.method ?? 'POST',
        ...(body === '' ? {} : { body }),
        signal,
        headers: {
          ...(body === '' ? {} : { 'content-type': spec.contentType }),
          ...(typeof body === 'string' ? {} : { 'content-encoding': 'gzip' }),
          ...authorization,
          ...spec.headers,
        },
      })
      text = await response.text()
    } catch (error) {
      spec.signal?.throwIfAborted()
      throw new TidemarkClientError(
        'TM_NO_ANSWER',
        timeout.aborted
          ? `${base}${spec.path} did not answer within ${options.timeoutMs} ms`
          : `${base}${spec.path} cannot be reached: ${reasonOf(error)}`,
        { retryable: true, cause: error },
      )
    }
    if (!response.ok) throw problemOf(response, text)
    return { body: response.status === 204 ? null : parse(text, response), headers: response.headers }
  }

  const transport: Transport = {
    async ask(spec) {
      const body = await gzip(spec.body)
      for (let tries = 1; ; tries++) {
        spec.signal?.throwIfAborted()
        try {
          return await attempt(spec, body)
        } catch (error) {
          if (!(error instanceof TidemarkClientError)) throw error
          if (tries >= spec.maxAttempts || !spec.mayRetry(error)) throw error
          const jitterMs = options.random() * Math.min(maxRetryMs, firstRetryMs * 2 ** (tries - 1))
          await sleep(Math.max(error.retryAfterMs ?? 0, jitterMs), spec.signal)
        }
      }
    },
    send: async (spec) => (await transport.ask(spec)).body,
  }
  return transport
}

function parse(text: string, response: Response): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new TidemarkClientError('TM_HTTP', `${response.url} answered ${response.status} without JSON`, {
      status: response.status,
      cause: error,
    })
  }
}

/** RFC 9457 with Tidemark's code, or whatever stands between the server and here. */
function problemOf(response: Response, text: string): TidemarkClientError {
  const { status } = response
  const retryAfterMs = readRetryAfter(response.headers.get('retry-after'))
  if (response.headers.get('content-type')?.startsWith('application/problem+json')) {
    const problem = parse(text, response) as {
      readonly code?: unknown
      readonly detail?: unknown
      readonly retryable?: unknown
      readonly params?: unknown
      readonly instance?: unknown
    }
    if (typeof problem.code === 'string') {
      return new TidemarkClientError(problem.code, String(problem.detail), {
        status,
        retryable: problem.retryable === true,
        params: problem.params,
        requestId: String(problem.instance),
        retryAfterMs,
      })
    }
  }
  return new TidemarkClientError('TM_HTTP', `${response.url} answered ${status}: ${text.slice(0, 200)}`, {
    status,
    retryable: retryableStatus.has(status),
    retryAfterMs,
  })
}

function readRetryAfter(header: string | null): number | null {
  if (header === null) return null
  const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now()
  return Number.isNaN(ms) ? null : Math.min(Math.max(ms, 0), maxRetryAfterMs)
}

/** Node says "fetch failed" and keeps the reason in the cause. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as { message?: string; cause?: { message?: string; code?: string } }
  return cause?.message || cause?.code || message || String(error)
}

async function gzip(text: string): Promise<string | Uint8Array<ArrayBuffer>> {
  if (text.length < minGzipLength || typeof CompressionStream === 'undefined') return text
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream('gzip'))
  return new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer())
}

function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop)
      resolve()
    }, ms)
    signal?.addEventListener('abort', stop, { once: true })
  })
}
