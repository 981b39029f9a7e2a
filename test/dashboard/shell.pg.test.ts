import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { BrowserContext } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { pageNames } from '../../src/api/server/routes-dashboard.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { afterFile } from '../helpers/after-file.ts'
import { chromiumAbsent } from '../helpers/chromium.ts'
import {
  axe,
  builtDashboard,
  makeKey,
  type OpenDashboard,
  openDashboard,
  shot,
} from '../helpers/dashboard.ts'
import { createTestEngine } from '../helpers/test-engine.ts'

const requests = hypertable('app.requests', {
  columns: { time: t.timestamptz(), model: t.text(), latency: t.float8() },
  time: 'time',
  chunk: '1 day',
})
const config = defineConfig({ datasets: [requests], server: { auth: { keys: true } } })

describe.skipIf(chromiumAbsent !== null)(
  `the dashboard in Chromium${chromiumAbsent ? ` (${chromiumAbsent})` : ''}`,
  () => {
    let dashboard: OpenDashboard
    let signedIn: BrowserContext
    let secret: string

    beforeAll(async () => {
      const engine = await createTestEngine(config)
      afterFile(() => engine.close())
      dashboard = await openDashboard(engine.tm)
      secret = await makeKey(engine.tm)
      signedIn = await dashboard.newContext()
      await dashboard.signIn(signedIn, secret)
    })

    it('asks for a key, says what is wrong with a bad one, and shows the place that was asked for with a good one', async () => {
      const page = await dashboard.open('/keys')
      await page.getByLabel('API key or token').fill('tm_nobody_knows')
      await page.keyboard.press('Enter')
      await expect.poll(() => page.getByText('This key is not good').count()).toBe(1)
      expect(await axe(page)).toEqual([])
      await shot(page, 'sign-in')
      await page.getByLabel('API key or token').fill(secret)
      await page.keyboard.press('Enter')
      await expect.poll(() => page.getByRole('heading', { level: 1 }).textContent()).toBe('Keys')
      // the browser's own note about the 401 that began it
      expect(dashboard.complaints().filter((text) => !text.includes('401'))).toEqual([])
      await page.context().close()
    })

    it('serves every page at its own address, without a complaint of the browser', async () => {
      for (const name of pageNames.filter((each) => each !== 'shared')) {
        const page = await dashboard.open(`/${name}`, { context: signedIn })
        await expect.poll(() => page.getByRole('heading', { level: 1 }).count(), { message: name }).toBe(1)
        expect(await page.title(), name).toContain('Tidemark')
        await page.close()
      }
      expect(dashboard.complaints()).toEqual([])
    })

    it('goes everywhere by keyboard', async () => {
      const page = await dashboard.open('/health', { context: signedIn })
      await expect.poll(() => page.getByRole('heading', { level: 1 }).textContent()).toBe('Health')
      await page.keyboard.press('g')
      await page.keyboard.press('k')
      await expect.poll(() => new URL(page.url()).pathname).toBe('/keys')
      await page.keyboard.press('Control+k')
      await expect.poll(() => page.getByPlaceholder('Type what you want to do').isVisible()).toBe(true)
      await page.keyboard.type('audit')
      await page.keyboard.press('Enter')
      await expect.poll(() => new URL(page.url()).pathname).toBe('/audit')
      await page.keyboard.press('?')
      await expect.poll(() => page.getByRole('dialog', { name: 'Keyboard shortcuts' }).isVisible()).toBe(true)
      expect(await axe(page)).toEqual([])
      await page.keyboard.press('Escape')
      expect(await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).isVisible()).toBe(false)
      // the first stop of Tab leads past the navigation
      await page.reload()
      await expect.poll(() => page.getByRole('heading', { level: 1 }).textContent()).toBe('Audit')
      await page.keyboard.press('Tab')
      expect(await page.evaluate('document.activeElement.textContent')).toBe('Skip to the page')
      await page.close()
    })

    it('shows times in UTC and back, and keeps the theme', async () => {
      const page = await dashboard.open('/audit', { context: signedIn })
      const button = page.getByRole('button', { name: 'Local' })
      await expect.poll(() => button.count()).toBe(1)
      await page.keyboard.press('u')
      await expect.poll(() => page.getByRole('button', { name: 'UTC' }).count()).toBe(1)
      await page.keyboard.press('u')
      await page.keyboard.press('t')
      await expect.poll(() => page.evaluate('document.documentElement.dataset.theme')).toBe('dark')
      await page.reload()
      expect(await page.evaluate('document.documentElement.dataset.theme')).toBe('dark')
      await page.keyboard.press('t')
      await page.close()
    })

    it('has no sideways scroll at the width of a phone, and opens its navigation there', async () => {
      const page = await dashboard.open('/jobs', { context: signedIn })
      await page.setViewportSize({ width: 360, height: 740 })
      await expect.poll(() => page.getByRole('heading', { level: 1 }).count()).toBe(1)
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(360)
      await page.getByRole('button', { name: 'Open the navigation' }).click()
      expect(await axe(page)).toEqual([])
      await shot(page, 'navigation-phone')
      await page.getByRole('link', { name: 'Audit' }).click()
      await expect.poll(() => page.getByRole('heading', { level: 1 }).textContent()).toBe('Audit')
      await page.close()
    })

    it('says that the server is gone, and goes on by itself when it is back', async () => {
      const page = await dashboard.open('/audit', { context: signedIn })
      await expect.poll(() => page.getByRole('heading', { level: 1 }).textContent()).toBe('Audit')
      await dashboard.stop()
      await expect
        .poll(async () => {
          // somebody comes back to the tab
          await page.evaluate("document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))")
          return page.getByText('The server does not answer.').count()
        })
        .toBeGreaterThan(0)
      await dashboard.start()
      await expect.poll(() => page.getByText('The server does not answer.').count()).toBe(0)
      await page.close()
      dashboard.complaints()
    })
  },
)

it('loads less than 200 kB, gzipped, before Explore is there', async () => {
  const folder = await builtDashboard()
  const html = await readFile(join(folder, 'index.html'), 'utf8')
  const names = await readdir(join(folder, 'assets'))
  const seen = new Set<string>()
  // what the page names, and what these import before they run
  const take = async (name: string): Promise<void> => {
    if (seen.has(name) || !names.includes(name)) return
    seen.add(name)
    const text = await readFile(join(folder, 'assets', name), 'utf8')
    for (const [, other = ''] of text.matchAll(/(?:from|import)\s*["']\.\/([^"']+)["']/g)) await take(other)
  }
  for (const [, name = ''] of html.matchAll(/assets\/([^"']+)"/g)) await take(name)
  const index = await readFile(
    join(folder, 'assets', [...seen].find((name) => name.startsWith('index')) ?? ''),
    'utf8',
  )
  const explore = /assets\/(explore-[^"']+\.js)|\.\/(explore-[^"']+\.js)/.exec(index)
  await take(explore?.[1] ?? explore?.[2] ?? '')
  for (const name of names) if (name.startsWith('explore') && name.endsWith('.css')) await take(name)
  let bytes = gzipSync(html).length
  for (const name of seen)
    bytes += gzipSync(await readFile(join(folder, 'assets', name)), { level: 9 }).length
  process.stdout.write(`dashboard: ${bytes} bytes gzipped in ${seen.size + 1} files until Explore is there\n`)
  expect([...seen].some((name) => name.startsWith('explore'))).toBe(true)
  expect(bytes).toBeLessThan(200_000)
  expect((await stat(join(folder, 'icon.svg'))).size).toBeLessThan(2_000)
})
