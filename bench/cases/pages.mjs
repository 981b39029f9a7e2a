// The dashboard in Debian's Chromium, with the real server beside it on the same cores: what has to come before the first page is there, how
// long that takes, from a row's write to its pixel on a live board, frames while zooming over 100,000 points, and memory while a board is
// live (--minutes, default 60).
import { setTimeout as sleep } from 'node:timers/promises'
import { chromium } from 'playwright-core'
import { createServer, listen } from '../../dist/api/index.js'
import { createTidemark, defineConfig, hypertable, t } from '../../dist/index.js'
import { markdownTable, ms, summarize } from '../harness.mjs'

export const about = 'the dashboard in Chromium: size, first page, write to pixel, zooming, memory'
/** An hour. */
export const isOnlyNamed = true

const sensor = hypertable('bench.sensor', {
  columns: { time: t.timestamptz(), celsius: t.float8() },
  time: 'time',
  chunk: '1 day',
})
const calls = hypertable('bench.calls', {
  columns: { time: t.timestamptz(), model: t.text(), latency: t.float8() },
  time: 'time',
  chunk: '1 day',
})
const points = 100_000
const firstPoint = Date.parse('2026-01-01T00:00:00Z')

export async function run({ connectionString, quick, minutes = quick ? 0.1 : 60 }) {
  const tm = await createTidemark(defineConfig({ datasets: [sensor, calls] }), { connectionString })
  await tm.migrate()
  await tm.insert(
    sensor,
    Array.from({ length: points }, (_, i) => ({
      time: new Date(firstPoint + 1000 * i),
      celsius: 12 + 8 * Math.sin(i / 2300) + Math.sin(i * 12.9898),
    })),
  )
  const app = await createServer(tm)
  const url = await listen(app, { host: '127.0.0.1', port: 0 })
  const browser = await chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: ['--no-sandbox', '--enable-precise-memory-info'],
  })
  try {
    const first = await firstPages(browser, url, quick ? 3 : 15)
    const frames = await zoom(browser, url, quick ? 2 : 12)
    const live = await liveBoard(browser, url, tm, { writes: quick ? 10 : 100, minutes })
    const figures = { ...first, ...frames, ...live }
    console.log(
      markdownTable(
        ['', 'median', 'p90'],
        Object.entries(figures).flatMap(([name, value]) =>
          value?.median === undefined ? [] : [[name, ms(value.median), ms(value.p90)]],
        ),
      ),
    )
    console.log(JSON.stringify(figures, null, 1))
    return { figures }
  } finally {
    await browser.close()
    await app.close()
    await tm.close()
  }
}

/** A browser that knows nothing opens Explore: bytes that came, and when something can be done and seen. */
async function firstPages(browser, url, rounds) {
  const painted = []
  const ready = []
  const drawn = []
  let bytes = 0
  for (let round = 0; round < rounds; round++) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
    const page = await context.newPage()
    await page.goto(`${url}/explore?dataset=bench.sensor&from=2026-01-01&to=2026-01-03`, {
      waitUntil: 'commit',
    })
    // the form of the question: from then on the page does what it is told
    const form = page.getByRole('button', { name: /^dataset/i }).first()
    await form.waitFor()
    ready.push(await page.evaluate('performance.now()'))
    await page.locator('canvas').first().waitFor()
    drawn.push(await page.evaluate('performance.now()'))
    painted.push(
      await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"),
    )
    // pages that are fetched ahead, when nothing is to do, are not among them
    bytes = await page.evaluate(
      `[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .filter(({ name, startTime }) => !name.includes('/api/') && startTime <= performance.now())
        .reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0)`,
    )
    await context.close()
  }
  return {
    'first load, bytes gzipped': bytes,
    'first contentful paint': summarize(painted),
    'interactive: the form is there': summarize(ready),
    'the first chart is drawn': summarize(drawn),
  }
}

/** 100,000 points in one line; drags over them, and back. Milliseconds between frames, as the page counts them. */
async function zoom(browser, url, rounds) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } })
  await page.goto(
    `${url}/explore?dataset=bench.sensor&from=2026-01-01T00:00:00Z&to=2026-01-03T00:00:00Z&bucket=1+second` +
      `&select=${encodeURIComponent(JSON.stringify({ fn: 'avg', column: 'celsius' }))}`,
  )
  const plot = page.locator('.u-over').first()
  await plot.waitFor()
  await page.waitForLoadState('networkidle')
  await page.evaluate(`(() => {
    window.frames_ = []
    let last = performance.now()
    const look = (now) => { window.frames_.push(now - last); last = now; requestAnimationFrame(look) }
    requestAnimationFrame(look)
  })()`)
  for (let round = 0; round < rounds; round++) {
    const box = await plot.boundingBox()
    const y = box.y + box.height / 2
    // the pointer over all of it, then a drag over its middle
    for (let x = 0; x <= 1; x += 0.02) await page.mouse.move(box.x + box.width * x, y)
    await page.mouse.move(box.x + box.width * 0.3, y)
    await page.mouse.down()
    await page.mouse.move(box.x + box.width * 0.7, y, { steps: 20 })
    await page.mouse.up()
    await page.waitForLoadState('networkidle')
    await page.goBack()
    await plot.waitFor()
    await page.waitForLoadState('networkidle')
  }
  const frames = await page.evaluate('window.frames_')
  await page.close()
  const sorted = frames.slice(1).sort((a, b) => a - b)
  return {
    'frames while zooming over 100,000 points': summarize(frames.slice(1)),
    'longest frame, ms': sorted.at(-1),
    'frames over 50 ms': sorted.filter((length) => length > 50).length,
    'frames counted': sorted.length,
  }
}

/** A board of four live panels: each row's way from its write to the pixel, then memory over `minutes` of ten rows a second. */
async function liveBoard(browser, url, tm, { writes, minutes }) {
  const panel = (id, title, chart, x, y, query) => ({
    ...{ id, title, chart, place: { x, y, w: 6, h: 4 } },
    query: { dataset: 'bench.calls', select: { n: { fn: 'count' } }, ...query },
  })
  const response = await fetch(`${url}/api/v1/boards`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      name: 'Live',
      document: {
        range: { from: '-1 hour' },
        refresh: 'live',
        panels: [
          panel('n', 'Probes', 'number', 0, 0, { where: { model: 'probe' } }),
          panel('line', 'By minute', 'line', 6, 0, { bucket: '1 minute', by: ['model'] }),
          panel('bar', 'By model', 'bar', 0, 4, { bucket: '5 minutes', by: ['model'] }),
          panel('p95', 'p95', 'line', 6, 4, {
            bucket: '1 minute',
            select: { p95: { fn: 'percentile', column: 'latency', q: 0.95 } },
          }),
        ],
      },
    }),
  })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  const { id } = await response.json()
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } })
  await page.goto(`${url}/boards/${id}`)
  const shows = (wanted) =>
    page.evaluate(
      `new Promise((resolve) => {
        const look = () => {
          if (document.querySelector('[data-panel] dd')?.textContent === '${wanted}') requestAnimationFrame(() => resolve(Date.now()))
          else requestAnimationFrame(look)
        }
        look()
      })`,
    )
  await shows('0')
  const latencies = []
  for (let n = 1; n <= writes; n++) {
    // as the page writes it
    const seen = shows(String(n))
    const began = Date.now()
    await tm.insert(calls, [{ time: new Date(), model: 'probe', latency: 1 }])
    // the first waits for the subscription
    if (n > 1) latencies.push((await seen) - began)
    else await seen
  }
  const cdp = await page.context().newCDPSession(page)
  const heap = async () => {
    await cdp.send('HeapProfiler.collectGarbage')
    return (await page.evaluate('performance.memory.usedJSHeapSize')) / 1e6
  }
  const models = ['small', 'large', 'code', 'chat']
  const endsAt = Date.now() + minutes * 60_000
  const heaps = []
  for (let i = 0; Date.now() < endsAt; i++) {
    await tm.insert(calls, [{ time: new Date(), model: models[i % 4], latency: 20 + ((i * 37) % 400) }])
    if (i % Math.max(10, Math.round(minutes * 20)) === 0) heaps.push(await heap())
    await sleep(100)
  }
  heaps.push(await heap())
  await page.close()
  return {
    'from write to pixel on a live board': summarize(latencies),
    [`heap of the page over ${minutes} min of live updates, MB`]: heaps.map((mb) => Number(mb.toFixed(1))),
  }
}
