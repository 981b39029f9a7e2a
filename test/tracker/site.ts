import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { TrackedEvent } from '../../src/tracker/index.ts'

/** A batch as it came. */
export interface Batch {
  readonly sentAt: string
  readonly dropped: number
  readonly events: readonly TrackedEvent[]
  readonly receivedAtMs: number
  readonly bytes: number
  readonly contentType: string | undefined
  /** What the server answered; 0: it hung up without a word. */
  readonly status: number
}

/** What the server does with a batch: a status, 0 to take it and hang up, or a promise that it waits for. */
export type Answer = (
  batch: Batch,
) => number | Promise<number> | { readonly status: number; readonly headers: Record<string, string> }

/** A site with the built tracker, and the server that its batches go to. */
export interface Site {
  readonly url: string
  /** Everything that came, whatever was answered. */
  readonly batches: Batch[]
  answer: Answer
  /** Events of batches that were answered by 2xx, or taken before the server hung up: what a server would have stored. */
  stored(): TrackedEvent[]
  /** The same, each id once. */
  distinct(): TrackedEvent[]
  close(): Promise<void>
}

/** Builds the browser files as the package has them, into a folder that `remove` takes away. */
export function buildBrowserFiles(): { readonly folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-browser-'))
  const script = fileURLToPath(new URL('../../scripts/bundle.mjs', import.meta.url))
  execFileSync(process.execPath, [script, folder], { stdio: ['ignore', 'ignore', 'pipe'] })
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

const types: Readonly<Record<string, string>> = { js: 'text/javascript', html: 'text/html; charset=utf-8' }

export async function createSite(folder: string): Promise<Site> {
  const batches: Batch[] = []
  const server = createServer((request, response) => void serve(request, response))
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = (request.url ?? '/').split('?')[0] as string
    if (path !== '/api/v1/analytics') {
      const file = /^\/([\w.]+\.js)$/.exec(path)?.[1]
      response.setHeader('content-type', types[file ? 'js' : 'html'] as string)
      response.end(file ? readFileSync(join(folder, file)) : page(path))
      return
    }
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const bytes = Buffer.concat(chunks)
    const batch = {
      ...(JSON.parse(bytes.toString('utf8')) as Pick<Batch, 'sentAt' | 'dropped' | 'events'>),
      receivedAtMs: Date.now(),
      bytes: bytes.length,
      contentType: request.headers['content-type'],
    }
    const place = batches.push({ ...batch, status: 0 }) - 1
    const answer = await site.answer({ ...batch, status: 0 })
    const { status, headers } = typeof answer === 'number' ? { status: answer, headers: {} } : answer
    batches[place] = { ...batch, status }
    if (status === 0) request.socket.destroy()
    else response.writeHead(status, { 'access-control-allow-origin': '*', ...headers }).end()
  }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const site: Site = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    batches,
    answer: () => 202,
    stored: () =>
      batches.filter(({ status }) => status === 0 || status < 300).flatMap(({ events }) => events),
    distinct: () => [...new Map(site.stored().map((event) => [event.id, event])).values()],
    async close() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return site
}

/** Without a tracker that runs: each test starts its own with its options. `/script` has the script tag. */
function page(path: string): string {
  const script =
    path === '/script'
      ? '<script src="/tracker.script.js" data-url="/api/v1/analytics"></script>'
      : `<script type="module">
           import { createTracker } from '/tracker.js'
           import { trackVitals } from '/vitals.js'
           Object.assign(window, { createTracker, trackVitals })
         </script>`
  return `<!doctype html><title>page ${path}</title><h1 id="title">${path}</h1>${script}<button id="slow"
    onclick="const end = performance.now() + 120; while (performance.now() < end);">slow</button>`
}
