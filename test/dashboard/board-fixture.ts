import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BrowserContext, Locator, Page } from 'playwright-core'
import { expect } from 'vitest'
import { type Board, type BoardInput, type Client, createClient, type Panel } from '../../src/client/index.ts'
import type { Tidemark } from '../../src/engine.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { afterFile } from '../helpers/after-file.ts'
import { makeKey, type OpenDashboard, openDashboard } from '../helpers/dashboard.ts'
import { createTestEngine } from '../helpers/test-engine.ts'

/** A gateway whose requests are drawn, for the tests of boards, and what a reader does there. */

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), tenant: t.text(), model: t.text(), latency_ms: t.float8() },
  time: 'time',
  tenant: 'tenant',
  chunk: '1 day',
})
const config = defineConfig({
  datasets: [requests],
  boards: ['boards/*.json'],
  server: { auth: { keys: true } },
})

const count = { rows: { fn: 'count' } }
const panel = (id: string, title: string, place: Panel['place'], more: Partial<Panel> = {}): Panel => ({
  id,
  title,
  chart: 'line',
  place,
  query: { dataset: 'metrics.requests', bucket: '10 minutes', select: count },
  ...more,
})
export const overview = {
  name: 'Requests',
  description: 'What the gateway answers',
  document: {
    range: { from: '-6 hours' },
    refresh: 'off' as const,
    panels: [
      panel(
        'p1',
        'Rows',
        { x: 0, y: 0, w: 3, h: 2 },
        {
          chart: 'number',
          query: { dataset: 'metrics.requests', select: count },
          compare: 'previous',
        },
      ),
      panel(
        'p2',
        'Rows by model',
        { x: 3, y: 0, w: 9, h: 4 },
        {
          chart: 'stacked',
          query: { dataset: 'metrics.requests', bucket: '10 minutes', by: ['model'], select: count },
        },
      ),
      panel(
        'p3',
        'Latency',
        { x: 0, y: 4, w: 6, h: 4 },
        {
          unit: 'ms',
          note: 'Below 200 ms is good',
          query: {
            dataset: 'metrics.requests',
            bucket: '10 minutes',
            select: { p95: { fn: 'percentile', column: 'latency_ms', q: 0.95 } },
          },
        },
      ),
      panel(
        'p4',
        'Newest rows',
        { x: 6, y: 4, w: 6, h: 4 },
        {
          chart: 'table',
          query: { dataset: 'metrics.requests', columns: '*', direction: 'desc', limit: 20 },
        },
      ),
    ],
  },
}

/** A live figure of rows that a test writes. */
export const probes: BoardInput = {
  name: 'Live',
  document: {
    range: { from: '-1 hour' },
    refresh: 'live',
    panels: [
      panel(
        'n',
        'Probes',
        { x: 0, y: 0, w: 4, h: 2 },
        {
          chart: 'number',
          query: { dataset: 'metrics.requests', select: count, where: { model: 'probe' } },
        },
      ),
    ],
  },
}

export interface BoardWorld {
  readonly tm: Tidemark
  readonly dashboard: OpenDashboard
  /** Of the tenant acme. */
  readonly client: Client
  readonly acme: BrowserContext
  readonly board: Board
}

/** Some six hours of requests of two tenants, a board of the first, one in a file, and a browser that is signed in. */
export async function openBoards(): Promise<BoardWorld> {
  const engine = await createTestEngine(config)
  afterFile(() => engine.close())
  await mkdir(join(engine.root, 'boards'))
  await writeFile(
    join(engine.root, 'boards', 'reviewed.json'),
    JSON.stringify({ ...overview, name: 'Reviewed' }),
  )
  const now = Date.now()
  const models = ['small', 'large', 'vision']
  await engine.tm.insert(
    requests,
    Array.from({ length: 1500 }, (_, i) => ({
      time: new Date(now - i * 16_000),
      tenant: i % 5 === 4 ? 'other' : 'acme',
      model: models[(i * 7) % 3] as string,
      latency_ms: 80 + 60 * Math.sin(i / 90) + ((i * 37) % 40),
    })),
  )
  const dashboard = await openDashboard(engine.tm)
  const secret = await makeKey(engine.tm, { tenant: 'acme', name: 'Ada' })
  const client = createClient({ url: dashboard.url, apiKey: secret })
  afterFile(() => client.close())
  const acme = await dashboard.newContext()
  await dashboard.signIn(acme, secret)
  return { tm: engine.tm, dashboard, client, acme, board: await client.boards.create(overview) }
}

/** Resolves when the first figure of the page says so and has been painted, with the time. */
export function painted(page: Page, text: string): Promise<number> {
  return page.evaluate(
    `new Promise((resolve) => {
      const look = () => {
        const isThere = document.querySelector('[data-panel] dd')?.textContent === ${JSON.stringify(text)}
        requestAnimationFrame(isThere ? () => resolve(Date.now()) : look)
      }
      look()
    })`,
  )
}

interface Box {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}

export async function box(locator: Locator): Promise<Box> {
  // it may be drawn anew at this moment
  let found: Box | null = null
  await expect.poll(async () => (found = await locator.boundingBox())).not.toBeNull()
  return found as unknown as Box
}

export function placesOf(panels: readonly Panel[]): Record<string, number[]> {
  return Object.fromEntries(panels.map(({ id, place: { x, y, w, h } }) => [id, [x, y, w, h]]))
}

/** Every panel shows its answer. */
export async function drawn(page: Page): Promise<void> {
  await expect.poll(() => page.locator('[data-panel]:not(:has(canvas, table, dd))').count()).toBe(0)
}

export async function figure(page: Page, title: string): Promise<string> {
  const shown = page
    .locator('[data-panel]')
    .filter({ has: page.getByRole('heading', { name: title, exact: true }) })
    .locator('dd')
  return (await shown.allTextContents())[0] ?? ''
}

export async function menu(page: Page, title: string, item: string): Promise<void> {
  await page.getByRole('button', { name: `Do something with ${title}`, exact: true }).click()
  await page.getByRole('menuitem', { name: item, exact: true }).click()
}

/** As the reader does who has no mouse. */
export async function tabTo(page: Page, name: string): Promise<void> {
  for (let presses = 0; presses < 60; presses++) {
    await page.keyboard.press('Tab')
    if ((await focused(page)) === name) return
  }
  throw new Error(`Tab does not lead to “${name}”`)
}

export function focused(page: Page): Promise<string | null | undefined> {
  return page.evaluate("document.activeElement?.getAttribute('aria-label')")
}

/** In a live region. */
export async function said(page: Page, text: RegExp): Promise<void> {
  await expect
    .poll(async () => (await page.locator('[role=status]').allTextContents()).join('\n'))
    .toMatch(text)
}

export function isWiderThanItsWindow(page: Page): Promise<boolean> {
  return page.evaluate('document.documentElement.scrollWidth > innerWidth')
}

export async function heading(page: Page, text: string): Promise<void> {
  await expect.poll(() => page.getByRole('heading', { level: 1 }).textContent()).toBe(text)
}

export async function titles(page: Page): Promise<string[]> {
  await expect.poll(() => page.locator('[data-panel]').count()).toBeGreaterThan(0)
  return page.locator('[data-panel] header h2').allTextContents()
}
