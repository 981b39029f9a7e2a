// The pictures of README.md and docs/guide/dashboard.md, taken from the running demo:
//   npm start                                   (in one terminal; waits until it says that it serves)
//   node scripts/pictures.mjs [http://127.0.0.1:4680]
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { chromium } from 'playwright-core'

const url = process.argv[2] ?? 'http://127.0.0.1:4680'
const folder = fileURLToPath(new URL('../docs/images/', import.meta.url))

const select = (aggregate) => `select=${encodeURIComponent(JSON.stringify(aggregate))}`
/** Five months come from the lake, the last from PostgreSQL: the strip below the chart says so. */
const explore =
  '/explore?dataset=demo.flights&from=2001-01-01T00:00:00Z&to=2001-07-01T00:00:00Z&bucket=1+day&by=origin' +
  `&where=${encodeURIComponent(JSON.stringify(['origin', 'in', 'ATL', 'ORD', 'DFW']))}` +
  `&${select({ fn: 'percentile', column: 'delay', name: 'p95', q: 0.95 })}`

// `awaits` is there when the page has what it shows
const pictures = [
  { name: 'explore', path: explore, awaits: 'canvas' },
  { name: 'explore-dark', path: explore, awaits: 'canvas', theme: 'dark' },
  { name: 'board', path: '/boards/file-flights', awaits: 'canvas' },
  { name: 'storage', path: '/storage', awaits: 'main svg, main canvas' },
  { name: 'health', path: '/health', awaits: 'dl' },
  { name: 'phone', path: explore, awaits: 'canvas', width: 390, height: 844 },
]

await mkdir(folder, { recursive: true })
const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] })
try {
  for (const { name, path, awaits, width = 1280, height = 900, theme = 'light' } of pictures) {
    const context = await browser.newContext({
      viewport: { width, height },
      colorScheme: theme,
      timezoneId: 'UTC',
      reducedMotion: 'reduce',
    })
    const page = await context.newPage()
    await page.goto(url + path, { waitUntil: 'networkidle' })
    await page.locator(awaits).first().waitFor()
    await page.screenshot({ path: join(folder, `${name}.png`) })
    console.log(`docs/images/${name}.png`)
    await context.close()
  }
} finally {
  await browser.close()
}
