// The pictures of README.md and docs/guide/dashboard.md, taken from the running demo:
//   npm start                                   (in one terminal; waits until it says that it serves)
//   node --import jiti/register scripts/pictures.ts [http://127.0.0.1:4680]
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium, type Page } from 'playwright-core'

const url = process.argv[2] ?? 'http://127.0.0.1:4680'
const folder = fileURLToPath(new URL('../docs/images/', import.meta.url))

interface Picture {
  readonly name: string
  readonly path: string
  /** There when the page has what it shows. */
  readonly awaits: string
  readonly width?: number
  readonly height?: number
  readonly theme?: 'light' | 'dark'
  prepare?(page: Page): Promise<void>
}

const select = (aggregate: object): string => `select=${encodeURIComponent(JSON.stringify(aggregate))}`
/** Five months come from the lake, the last from PostgreSQL: the strip below the chart says so. */
const explore =
  '/explore?dataset=demo.flights&from=2001-01-01T00:00:00Z&to=2001-07-01T00:00:00Z&bucket=1+day&by=origin' +
  `&where=${encodeURIComponent(JSON.stringify(['origin', 'in', 'ATL', 'ORD', 'DFW']))}` +
  `&${select({ fn: 'percentile', column: 'delay', name: 'p95', q: 0.95 })}`

const pictures: readonly Picture[] = [
  { name: 'explore', path: explore, awaits: 'canvas' },
  { name: 'explore-dark', path: explore, awaits: 'canvas', theme: 'dark' },
  { name: 'board', path: '/boards/file:flights', awaits: 'canvas' },
  { name: 'storage', path: '/storage', awaits: 'main svg, main canvas' },
  { name: 'health', path: '/health', awaits: 'dl' },
  { name: 'phone', path: explore, awaits: 'canvas', width: 390, height: 844 },
]

await mkdir(folder, { recursive: true })
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
try {
  for (const { name, path, awaits, width = 1280, height = 800, theme = 'light', prepare } of pictures) {
    const context = await browser.newContext({
      viewport: { width, height },
      colorScheme: theme,
      timezoneId: 'UTC',
      reducedMotion: 'reduce',
    })
    const page = await context.newPage()
    await page.goto(url + path, { waitUntil: 'networkidle' })
    await page.locator(awaits).first().waitFor()
    await prepare?.(page)
    await page.screenshot({ path: join(folder, `${name}.png`) })
    console.log(`docs/images/${name}.png`)
    await context.close()
  }
} finally {
  await browser.close()
}
