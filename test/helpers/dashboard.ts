import { execFile } from 'node:child_process'
import { rmSync } from 'node:fs'
import { mkdtemp, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { BrowserContext, Page } from 'playwright-core'
import { createServer, listen, type ServerOptions } from '../../src/api/index.ts'
import type { Tidemark } from '../../src/engine.ts'
import { afterFile } from './after-file.ts'
import { launchChromium } from './chromium.ts'

const root = fileURLToPath(new URL('../../dashboard/', import.meta.url))
const require = createRequire(import.meta.url)
const vite = join(dirname(require.resolve('vite/package.json')), 'bin/vite.js')
let built: Promise<string> | null = null

/**
 * The dashboard of the present sources, in a folder of its own; built once for each process of the tests (3 s).
 * TIDEMARK_DASHBOARD names one that is built already.
 */
export function builtDashboard(): Promise<string> {
  built ??= (async () => {
    const there = process.env['TIDEMARK_DASHBOARD']
    if (there) return there
    const folder = await mkdtemp(join(tmpdir(), 'tidemark-dashboard-'))
    process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
    // a process of its own: what a bundle holds depends on NODE_ENV, which the tests have set
    await promisify(execFile)(
      process.execPath,
      [vite, 'build', root, '--outDir', folder, '--logLevel', 'error'],
      {
        env: { ...process.env, NODE_ENV: 'production' },
      },
    )
    return folder
  })()
  return built
}

export interface OpenDashboard {
  readonly url: string
  /** A browser of its own, without anybody signed in. */
  newContext(options?: ContextOptions): Promise<BrowserContext>
  /** A tab on this path; errors of the page that nobody caught fail the test at `close` of the file. */
  open(path: string, options?: ContextOptions & { readonly context?: BrowserContext }): Promise<Page>
  /** Signs a context in by an API key. */
  signIn(context: BrowserContext, key: string): Promise<void>
  /** What pages have complained about since the last call: console errors, exceptions, refusals of the Content-Security-Policy. */
  complaints(): string[]
  /** Ends the server and starts it again on the same port. */
  stop(): Promise<void>
  start(): Promise<void>
}

export interface ContextOptions {
  readonly width?: number
  readonly height?: number
  readonly theme?: 'light' | 'dark'
  readonly zone?: string
}

/**
 * The real server with the built pages over an engine, and Chromium beside it. Everything is put away after the file.
 *
 * @example
 * const dashboard = await openDashboard(tm)
 * const page = await dashboard.open('/storage')
 * await expect.poll(() => page.getByRole('heading', { level: 1 }).textContent()).toBe('Storage')
 * expect(await axe(page)).toEqual([])
 */
export async function openDashboard(
  tm: Tidemark,
  options: Partial<ServerOptions> = {},
): Promise<OpenDashboard> {
  const folder = await builtDashboard()
  let app = await createServer(tm, { ...options, dashboardDir: folder })
  const first = new URL(await listen(app, { host: '127.0.0.1', port: 0 }))
  let isRunning = true
  const url = first.origin
  const browser = await launchChromium()
  const said: string[] = []
  const stop = async (): Promise<void> => {
    if (!isRunning) return
    isRunning = false
    await app.close()
  }
  afterFile(stop)

  const newContext: OpenDashboard['newContext'] = async ({
    width = 1280,
    height = 800,
    theme = 'light',
    zone = 'Europe/Berlin',
  } = {}) => {
    const context = await browser.newContext({
      viewport: { width, height },
      colorScheme: theme,
      timezoneId: zone,
      locale: 'en-GB',
      reducedMotion: 'reduce',
    })
    await context.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: url })
    context.on('console', (message) => {
      if (message.type() === 'error') said.push(message.text())
    })
    context.on('weberror', (error) => said.push(String(error.error())))
    return context
  }
  return {
    url,
    newContext,
    async open(path, { context, ...rest } = {}) {
      const page = await (context ?? (await newContext(rest))).newPage()
      await page.goto(url + path)
      return page
    },
    async signIn(context, key) {
      const answer = await context.request.post(`${url}/api/v1/session`, {
        headers: { authorization: `Bearer ${key}` },
      })
      if (!answer.ok()) throw new Error(`signing in: ${answer.status()} ${await answer.text()}`)
    },
    complaints: () => said.splice(0),
    stop,
    async start() {
      app = await createServer(tm, { ...options, dashboardDir: folder })
      await listen(app, { host: '127.0.0.1', port: Number(first.port) })
      isRunning = true
    },
  }
}

/**
 * The secret of a new API key.
 *
 * @example const reader = await makeKey(tm, { scopes: ['query'], tenant: 'a' })
 */
export async function makeKey(
  tm: Tidemark,
  {
    scopes = ['ingest', 'query', 'admin'],
    tenant = null,
    name = 'test',
  }: {
    readonly scopes?: readonly ('ingest' | 'query' | 'admin')[]
    /** Null: all of them. */
    readonly tenant?: string | null
    readonly name?: string
  } = {},
): Promise<string> {
  const all = { kind: 'all' } as const
  const { secret } = await tm.access.keys.create(
    {
      ...{ name, scopes, datasets: null, expiresAt: null },
      tenant: tenant === null ? all : { kind: 'one', tenant },
    },
    { kind: 'cli', id: 'root', tenant: all, datasets: null, requestId: null, address: null },
  )
  return secret
}

const axeSource = readFile(require.resolve('axe-core/axe.min.js'), 'utf8')

/**
 * What axe-core finds against WCAG 2.2 A and AA, and against good practice: a line for each, none when all is well.
 * https://github.com/dequelabs/axe-core/blob/develop/doc/rule-descriptions.md
 */
export async function axe(page: Page): Promise<string[]> {
  // by the debugger: the page's policy allows no script of others
  await page.evaluate(await axeSource)
  const found = (await page.evaluate(async () => {
    const { axe } = globalThis as unknown as {
      axe: {
        run(options: unknown): Promise<{
          violations: { id: string; help: string; nodes: { target: unknown; failureSummary: string }[] }[]
        }>
      }
    }
    const { violations } = await axe.run({
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    })
    return violations.map(({ id, help, nodes }) => ({
      id,
      help,
      at: nodes.map(({ target, failureSummary }) => `${JSON.stringify(target)} ${failureSummary}`),
    }))
  })) as { id: string; help: string; at: string[] }[]
  return found.map(({ id, help, at }) => `${id}: ${help}\n  ${at.join('\n  ')}`)
}

/** Writes what the page shows to `$TIDEMARK_SHOTS/<name>.png`, where that is set, for whoever changes the page. */
export async function shot(page: Page, name: string): Promise<void> {
  const folder = process.env['TIDEMARK_SHOTS']
  if (folder) await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true })
}
