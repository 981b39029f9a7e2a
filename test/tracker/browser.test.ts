import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import type { Browser, BrowserContext, Page } from 'playwright-core'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { createTracker, Tracker, TrackerOptions } from '../../src/tracker/index.ts'
import type { trackVitals } from '../../src/tracker/vitals/index.ts'
import { chromiumAbsent, launchChromium } from '../helpers/chromium.ts'
import { buildBrowserFiles, createSite, type Site } from './site.ts'

/** What the code that is sent into pages sees there. */
declare const window: {
  tracker: Tracker
  readonly createTracker: typeof createTracker
  readonly trackVitals: typeof trackVitals
}
declare const localStorage: Record<string, string>
declare const history: { pushState(data: null, unused: string, url: string): void; back(): void }
declare const navigator: object
declare const requestAnimationFrame: (callback: () => void) => void
declare const document: {
  dispatchEvent(event: Event): void
  createElement(tag: 'div'): { readonly style: { height: string } }
  readonly body: { prepend(element: unknown): void }
}

const built = buildBrowserFiles()
afterAll(built.remove)

describe('the built tracker', () => {
  it.each(['tracker.js', 'tracker.script.js'])('%s is smaller than 3 kB gzipped', (file) => {
    expect(gzipSync(readFileSync(join(built.folder, file)), { level: 9 }).length).toBeLessThan(3_000)
  })

  it('may be imported where there is no browser, and does nothing there', async () => {
    const { createTracker } = await import(join(built.folder, 'tracker.js'))
    const tracker: Tracker = createTracker({ url: '/nowhere' })
    tracker.track('a')
    tracker.page()
    tracker.identify('u')
    tracker.optIn()
    tracker.optOut()
    tracker.reset()
    await tracker.flush()
    expect(tracker.dropped).toBe(0)
    const { trackVitals } = await import(join(built.folder, 'vitals.js'))
    expect(trackVitals(tracker)).toBeUndefined()
  })
})

describe('the tracker in Chromium', () => {
  let browser: Browser
  let site: Site
  let context: BrowserContext
  beforeAll(async () => {
    if (!chromiumAbsent) browser = await launchChromium()
  })
  beforeEach(async ({ skip }) => {
    if (chromiumAbsent) skip(chromiumAbsent)
    site = await createSite(built.folder)
    context = await browser.newContext({ locale: 'de-DE', timezoneId: 'Europe/Berlin' })
  })
  afterEach(async () => {
    await context?.close()
    await site?.close()
  })

  /** A tab with a tracker that runs. */
  async function open(path = '/', options: Partial<TrackerOptions> = {}, page?: Page): Promise<Page> {
    const tab = page ?? (await context.newPage())
    await tab.goto(site.url + path)
    await start(tab, options)
    return tab
  }
  async function start(tab: Page, options: Partial<TrackerOptions>): Promise<void> {
    await tab.evaluate((given) => {
      window.tracker = window.createTracker({
        url: '/api/v1/analytics',
        autoPages: false,
        flushMs: 100,
        ...given,
      })
    }, options as object)
  }
  const track = (tab: Page, ...names: string[]): Promise<void> =>
    tab.evaluate((all) => {
      for (const name of all) window.tracker.track(name)
    }, names)
  const flush = (tab: Page): Promise<void> => tab.evaluate(() => window.tracker.flush())
  const names = (): string[] => site.distinct().map(({ event }) => event)
  const keysOf = (tab: Page): Promise<string[]> => tab.evaluate(() => Object.keys(localStorage))
  const eventKeysOf = async (tab: Page): Promise<string[]> =>
    (await keysOf(tab)).filter((key) => key.includes('.event.'))
  const hide = (tab: Page): Promise<void> =>
    tab.evaluate(() => {
      Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true })
      document.dispatchEvent(new Event('visibilitychange', { bubbles: true }))
    })

  it('sends what happened with who, where and on what', async () => {
    const tab = await open('/prices?utm_source=news&utm_campaign=may&x=1', { autoPages: true })
    await tab.evaluate(() => {
      window.tracker.identify('user-1', { plan: 'pro' })
      window.tracker.track('asset_generated', { asset_type: 'image' }, { category: 'assets' })
    })
    await expect.poll(names).toEqual(['page_view', 'identify', 'asset_generated'])
    const [view, identify, generated] = site.distinct()
    expect(view).toMatchObject({
      category: 'page',
      userId: null,
      pageUrl: `${site.url}/prices?utm_source=news&utm_campaign=may&x=1`,
      referrer: '',
      properties: { title: 'page /prices', utm_source: 'news', utm_campaign: 'may' },
      device: { screen: '1280x720', viewport: '1280x720', language: 'de-DE', timezone: 'Europe/Berlin' },
    })
    expect(identify).toMatchObject({ category: 'user', userId: 'user-1', properties: { plan: 'pro' } })
    expect(generated).toMatchObject({
      category: 'assets',
      userId: 'user-1',
      properties: { asset_type: 'image' },
      anonymousId: view?.anonymousId,
      sessionId: view?.sessionId,
    })
    expect(generated?.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(Math.abs(Date.parse(generated?.timestamp ?? '') - Date.now())).toBeLessThan(60_000)
    expect(site.batches[0]).toMatchObject({ contentType: 'text/plain;charset=UTF-8', dropped: 0 })
    await expect.poll(() => eventKeysOf(tab)).toEqual([])
  })

  it('collects events into batches of at most 50', async () => {
    const tab = await open('/', { flushMs: 60_000 })
    await track(tab, ...Array.from({ length: 120 }, (_, i) => `e${i}`))
    await expect.poll(() => names().length).toBe(120)
    expect(site.batches.map(({ events }) => events.length)).toEqual([50, 50, 20])
  })

  it('keeps its visitor over pages, its user until reset, and begins a session after 30 quiet minutes', async () => {
    const tab = await open('/one')
    await tab.evaluate(() => window.tracker.identify('user-1'))
    await open('/two', {}, tab)
    await track(tab, 'a')
    await flush(tab)
    const ageBy = (minutes: number) =>
      tab.evaluate((ms) => {
        const [id, last] = (localStorage['tidemark.session'] as string).split(' ')
        localStorage['tidemark.session'] = `${id} ${Number(last) - ms}`
      }, minutes * 60_000)
    await ageBy(29)
    await track(tab, 'b')
    await ageBy(31)
    await track(tab, 'c')
    await tab.evaluate(() => window.tracker.reset())
    await track(tab, 'd')
    await flush(tab)
    // where the page before still holds the lock, they come with the next turn
    await expect.poll(() => site.distinct().length).toBe(5)
    const [identified, a, b, c, d] = site.distinct()
    expect([identified, a, b, c, d].map((event) => event?.userId)).toEqual([
      'user-1',
      'user-1',
      'user-1',
      'user-1',
      null,
    ])
    expect(a?.sessionId).toBe(identified?.sessionId)
    expect(b?.sessionId).toBe(a?.sessionId)
    expect(c?.sessionId).not.toBe(b?.sessionId)
    expect(c?.anonymousId).toBe(identified?.anonymousId)
    expect(d?.anonymousId).not.toBe(c?.anonymousId)
    expect(d?.sessionId).not.toBe(c?.sessionId)
  })

  it('counts the routes of a single-page application, each once, with the one before as referrer', async () => {
    const tab = await open('/start', { autoPages: true })
    const go = async (path: string, views: number): Promise<void> => {
      await tab.evaluate((url) => history.pushState(null, '', url), path)
      await flush(tab)
      await expect.poll(() => names().length).toBe(views)
    }
    await go('/a', 2)
    await go('/b?x=1', 3)
    await tab.evaluate(() => {
      history.pushState(null, '', '/b?x=1')
      history.pushState(null, '', '/b?x=1#part')
    })
    await tab.evaluate(() => history.back())
    await tab.evaluate(() => history.back())
    await tab.evaluate(() => history.back())
    await expect.poll(() => names().length).toBe(4)
    expect(site.distinct().map(({ pageUrl, referrer }) => [pageUrl, referrer])).toEqual([
      [`${site.url}/start`, ''],
      [`${site.url}/a`, `${site.url}/start`],
      [`${site.url}/b?x=1`, `${site.url}/a`],
      [`${site.url}/a`, `${site.url}/b?x=1`],
    ])
  })

  it('sends by a beacon what a page that goes away has left', async () => {
    const tab = await open('/', { flushMs: 60_000 })
    await track(tab, 'a', 'b')
    await tab.goto('about:blank')
    await expect.poll(names).toEqual(['a', 'b'])
    // nobody heard the answer, so the next page sends them once more, with their ids
    await open('/next', {}, tab)
    await expect.poll(() => site.stored().length).toBe(4)
    expect(names()).toEqual(['a', 'b'])
    await expect.poll(() => eventKeysOf(tab)).toEqual([])
  })

  it('sends at once what a hidden page has left, once', async () => {
    const tab = await open('/', { flushMs: 60_000 })
    await track(tab, 'a', 'b')
    await hide(tab)
    await expect.poll(names).toEqual(['a', 'b'])
    await expect.poll(() => eventKeysOf(tab)).toEqual([])
    await flush(tab)
    expect(site.stored()).toHaveLength(2)
  })

  it('splits what a page leaves into beacons that browsers take', async () => {
    const tab = await open('/', { flushMs: 60_000 })
    await tab.evaluate(() => {
      // three bytes each in UTF-8
      for (let i = 0; i < 20; i++) window.tracker.track(`e${i}`, { text: '語'.repeat(5_000) })
    })
    await tab.goto('about:blank')
    await expect.poll(() => site.batches.length).toBeGreaterThan(0)
    await open('/next', {}, tab)
    await expect.poll(() => names().length).toBe(20)
    expect(Math.max(...site.batches.map(({ bytes }) => bytes))).toBeLessThanOrEqual(65_536)
  })

  it('loses nothing of a tab that is killed', async () => {
    const tab = await open('/', { flushMs: 60_000 })
    await track(tab, 'a', 'b', 'c')
    const crashed = tab.waitForEvent('crash')
    const devtools = await context.newCDPSession(tab)
    void devtools.send('Page.crash').catch(() => {})
    await crashed
    expect(site.batches).toEqual([])
    await open('/again')
    await expect.poll(names).toEqual(['a', 'b', 'c'])
  })

  it('keeps what happens offline, and sends it once when it is online', async () => {
    const tab = await open('/')
    await context.setOffline(true)
    await track(tab, 'a', 'b')
    await flush(tab)
    await track(tab, 'c')
    expect(site.batches).toEqual([])
    expect(await eventKeysOf(tab)).toHaveLength(3)
    await context.setOffline(false)
    await expect.poll(() => names().sort()).toEqual(['a', 'b', 'c'])
    expect(site.stored()).toHaveLength(3)
  })

  it('keeps what happens offline when its tab is closed, too', async () => {
    const tab = await open('/')
    await context.setOffline(true)
    await track(tab, 'a', 'b')
    await flush(tab)
    await tab.close({ runBeforeUnload: false })
    await context.setOffline(false)
    await open('/later')
    await expect.poll(() => names().sort()).toEqual(['a', 'b'])
  })

  it('waits after 503 as long as the server says, and sends the same events', async () => {
    site.answer = () => ({ status: 503, headers: { 'retry-after': '2' } })
    const tab = await open('/')
    await track(tab, 'a', 'b')
    await expect.poll(() => site.batches.length).toBe(1)
    site.answer = () => 202
    await flush(tab)
    await track(tab, 'c')
    await flush(tab)
    expect(site.batches).toHaveLength(1)
    await expect.poll(names).toEqual(['a', 'b', 'c'])
    const [refused, taken] = site.batches
    expect((taken?.receivedAtMs ?? 0) - (refused?.receivedAtMs ?? 0)).toBeGreaterThan(1_900)
    expect(taken?.events.slice(0, 2)).toEqual(refused?.events)
  })

  it('tries again with jitter when the server fails without a word', async () => {
    let failures = 3
    site.answer = () => (failures-- > 0 ? 500 : 200)
    const tab = await open('/')
    await track(tab, 'a')
    await expect.poll(names).toEqual(['a'])
    expect(site.batches.map(({ status }) => status)).toEqual([500, 500, 500, 200])
    expect(new Set(site.batches.flatMap(({ events }) => events.map(({ id }) => id))).size).toBe(1)
  })

  it('repeats the ids of events whose answer was lost', async () => {
    let isFirst = true
    site.answer = () => {
      if (!isFirst) return 202
      isFirst = false
      return 0
    }
    const tab = await open('/')
    await track(tab, 'a', 'b')
    await expect.poll(() => site.stored().length).toBe(4)
    expect(site.distinct()).toHaveLength(2)
    await expect.poll(() => eventKeysOf(tab)).toEqual([])
  })

  it('finds the event that the server refuses, drops it alone, and tells the server how many', async () => {
    site.answer = ({ events }) => (events.some(({ event }) => event === 'bad') ? 400 : 202)
    const tab = await open('/', { flushMs: 60_000 })
    await track(tab, 'a', 'b', 'bad', 'c', 'd', 'e')
    await flush(tab)
    expect(names().sort()).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(await eventKeysOf(tab)).toEqual([])
    await track(tab, 'f')
    await flush(tab)
    expect(
      site.batches.filter(({ status }) => status === 202).reduce((sum, { dropped }) => sum + dropped, 0),
    ).toBe(1)
    expect(await tab.evaluate(() => window.tracker.dropped)).toBe(0)
  })

  it('sends less at a time to a server that says the body is too large', async () => {
    site.answer = ({ events }) => (events.length > 4 ? 413 : 202)
    const tab = await open('/', { flushMs: 60_000 })
    await track(tab, ...Array.from({ length: 15 }, (_, i) => `e${i}`))
    await flush(tab)
    expect(names()).toHaveLength(15)
    expect(await eventKeysOf(tab)).toEqual([])
  })

  it('gives up a batch that the server will never take', async () => {
    site.answer = () => 404
    const tab = await open('/', { flushMs: 60_000 })
    await track(tab, 'a', 'b')
    await flush(tab)
    expect(await eventKeysOf(tab)).toEqual([])
    expect(await tab.evaluate(() => window.tracker.dropped)).toBe(2)
  })

  it('takes 10,000 events in one go and delivers each once', { timeout: 120_000 }, async () => {
    const tab = await open('/')
    const ms = await tab.evaluate(() => {
      const startMs = performance.now()
      for (let i = 0; i < 10_000; i++) window.tracker.track('burst', { i })
      return performance.now() - startMs
    })
    await expect.poll(() => site.stored().length, { timeout: 90_000 }).toBeGreaterThanOrEqual(10_000)
    await expect.poll(() => eventKeysOf(tab), { timeout: 60_000 }).toEqual([])
    const seen = new Set(site.stored().map(({ properties }) => properties['i']))
    expect(seen.size).toBe(10_000)
    expect(site.stored()).toHaveLength(10_000)
    expect(await tab.evaluate(() => window.tracker.dropped)).toBe(0)
    expect(ms).toBeLessThan(20_000)
  })

  it('drops the oldest beyond its bounds, and counts them', async () => {
    site.answer = () => 503
    const tab = await open('/', { maxEvents: 100, flushMs: 60_000 })
    await tab.evaluate(() => {
      for (let i = 0; i < 250; i++) window.tracker.track('e', { i })
    })
    const { dropped, kept } = await tab.evaluate(() => ({
      dropped: window.tracker.dropped,
      kept: Object.entries(localStorage)
        .filter(([key]) => key.includes('.event.'))
        .map(([, text]) => JSON.parse(text).properties.i as number),
    }))
    expect(kept.length).toBeLessThanOrEqual(100)
    expect(dropped + kept.length).toBe(250)
    expect(Math.min(...kept)).toBe(250 - kept.length)
  })

  it('takes at most a quarter of its bound of the localStorage, and refuses an event that no beacon carries', async () => {
    site.answer = () => 503
    const tab = await open('/', { maxLength: 100_000, flushMs: 60_000 })
    const { length, dropped } = await tab.evaluate(() => {
      window.tracker.track('huge', { text: 'x'.repeat(20_000) })
      for (let i = 0; i < 90; i++) window.tracker.track('e', { text: 'x'.repeat(500) })
      const texts = Object.entries(localStorage).filter(([key]) => key.includes('.event.'))
      return {
        length: texts.reduce((sum, [, text]) => sum + text.length, 0),
        dropped: window.tracker.dropped,
      }
    })
    expect(dropped).toBe(1)
    expect(length).toBeGreaterThan(10_000)
    expect(length).toBeLessThanOrEqual(25_000)
    site.answer = () => 202
    await tab.evaluate(() => delete localStorage['tidemark.wait'])
    await flush(tab)
    expect(names()).toHaveLength(90)
  })

  it('lets the server put right a clock that is wrong', async () => {
    const skewMs = -3 * 86_400_000
    await context.addInitScript((skew) => {
      const now = Date.now
      const Real = Date
      const wrong = class extends Real {
        constructor(...args: number[]) {
          if (args.length === 0) super(now() + skew)
          else super(args[0] as number)
        }
        static override now = () => now() + skew
      }
      globalThis.Date = wrong as DateConstructor
    }, skewMs)
    const tab = await open('/')
    const before = Date.now()
    await track(tab, 'a')
    const after = Date.now()
    await expect.poll(names).toEqual(['a'])
    const [batch] = site.batches
    const stamped = Date.parse(batch?.events[0]?.timestamp ?? '')
    expect(Math.abs(stamped - before - skewMs)).toBeLessThan(5_000)
    const correctedMs = stamped + (batch?.receivedAtMs ?? 0) - Date.parse(batch?.sentAt ?? '')
    expect(correctedMs).toBeGreaterThan(before - 1_000)
    // the way of the request is the error
    expect(correctedMs).toBeLessThan(after + 2_000)
  })

  it('does not wait for a time that a clock in the future has set', async () => {
    site.answer = () => ({ status: 503, headers: { 'retry-after': '600' } })
    const tab = await open('/')
    await track(tab, 'a')
    await expect.poll(() => site.batches.length).toBe(1)
    site.answer = () => 202
    await flush(tab)
    expect(names()).toEqual([])
    await tab.evaluate(() => {
      localStorage['tidemark.wait'] = `${Date.now() + 86_400_000}`
    })
    await flush(tab)
    expect(names()).toEqual(['a'])
  })

  it('tries again what it could not send when the page was hidden', async () => {
    let failures = 2
    site.answer = ({ events }) =>
      failures-- > 0 ? 503 : events.some(({ event }) => event === 'bad') ? 400 : 202
    const tab = await open('/', { flushMs: 60_000 })
    await track(tab, 'a', 'bad', 'b')
    await hide(tab)
    await expect.poll(() => names().sort()).toEqual(['a', 'b'])
    await expect.poll(() => eventKeysOf(tab)).toEqual([])
  })

  it('shares visitor, session and queue between tabs, and each event arrives', async () => {
    site.answer = () => new Promise((resolve) => setTimeout(resolve, 20, 202))
    const first = await open('/one', { flushMs: 30 })
    await track(first, 'first')
    await flush(first)
    const tabs = [first, await open('/two', { flushMs: 30 })]
    await Promise.all(
      tabs.map((tab, t) =>
        tab.evaluate(async (me) => {
          for (let i = 0; i < 60; i++) {
            window.tracker.track(`${me}-${i}`)
            await new Promise((resolve) => setTimeout(resolve, 5))
          }
          await window.tracker.flush()
        }, t),
      ),
    )
    await expect.poll(() => eventKeysOf(tabs[0] as Page)).toEqual([])
    expect(new Set(names()).size).toBe(121)
    // a tab may not yet see what another has removed; the server knows the ids
    expect(site.stored().length).toBeLessThan(131)
    expect(new Set(site.stored().map(({ anonymousId }) => anonymousId)).size).toBe(1)
    expect(new Set(site.stored().map(({ sessionId }) => sessionId)).size).toBe(1)
  })

  it('sends the events of two tabs where the browser has no locks', async () => {
    await context.addInitScript(() => Object.defineProperty(navigator, 'locks', { value: undefined }))
    const tabs = [await open('/one', { flushMs: 30 }), await open('/two', { flushMs: 30 })]
    await Promise.all(
      tabs.map((tab, t) =>
        tab.evaluate(async (me) => {
          for (let i = 0; i < 60; i++) window.tracker.track(`${me}-${i}`)
          await window.tracker.flush()
        }, t),
      ),
    )
    await expect.poll(() => eventKeysOf(tabs[0] as Page)).toEqual([])
    expect(new Set(names()).size).toBe(120)
    await expect
      .poll(async () => (await keysOf(tabs[0] as Page)).filter((key) => key.includes('lock')))
      .toEqual([])
  })

  it('stores and sends nothing before consent where it is required, and nothing after it is taken back', async () => {
    const tab = await open('/', { requireConsent: true, autoPages: true })
    await tab.evaluate(async () => {
      window.tracker.track('a')
      window.tracker.identify('u')
      window.tracker.page()
      window.tracker.reset()
      await window.tracker.flush()
    })
    expect(await keysOf(tab)).toEqual([])
    await tab.evaluate(() => window.tracker.optIn())
    await track(tab, 'b')
    await expect.poll(names).toEqual(['page_view', 'b'])
    await open('/next', { requireConsent: true }, tab)
    await track(tab, 'c')
    await expect.poll(names).toEqual(['page_view', 'b', 'c'])
    // in one turn of the page: an event of before the refusal may be sent for as long as there is no refusal
    await tab.evaluate(() => {
      window.tracker.track('d')
      window.tracker.optOut()
    })
    await track(tab, 'e')
    await hide(tab)
    await flush(tab)
    expect(await keysOf(tab)).toEqual([])
    expect(names()).toEqual(['page_view', 'b', 'c'])
  })

  it('stores nothing of a request that fails after the visitor has refused', async () => {
    let fail = (_status: number): void => {}
    site.answer = () =>
      new Promise<number>((resolve) => {
        fail = resolve
      })
    const tab = await open('/', { requireConsent: true, flushMs: 60_000 })
    await tab.evaluate(() => window.tracker.optIn())
    await track(tab, 'a')
    const flushed = flush(tab)
    await expect.poll(() => site.batches.length).toBe(1)
    await tab.evaluate(() => window.tracker.optOut())
    fail(503)
    await flushed
    expect(await keysOf(tab)).toEqual([])
  })

  it('remembers a refusal where consent is not required', async () => {
    const tab = await open('/')
    await tab.evaluate(() => window.tracker.optOut())
    await open('/next', {}, tab)
    await track(tab, 'a')
    await flush(tab)
    expect(await keysOf(tab)).toEqual(['tidemark.choice'])
    expect(site.batches).toEqual([])
  })

  it.each(['doNotTrack', 'globalPrivacyControl'])(
    'takes %s as a refusal until the visitor agrees',
    async (name) => {
      await context.addInitScript(
        (signal) =>
          Object.defineProperty(navigator, signal, { get: () => (signal === 'doNotTrack' ? '1' : true) }),
        name,
      )
      const tab = await open('/', { autoPages: true })
      await track(tab, 'a')
      await flush(tab)
      expect(await keysOf(tab)).toEqual([])
      await tab.evaluate(() => window.tracker.optIn())
      await track(tab, 'b')
      await expect.poll(names).toEqual(['page_view', 'b'])
      const other = await (await browser.newContext()).newPage()
      await other.addInitScript(
        (signal) =>
          Object.defineProperty(navigator, signal, { get: () => (signal === 'doNotTrack' ? '1' : true) }),
        name,
      )
      await open('/', { respectDoNotTrack: false }, other)
      await track(other, 'c')
      await expect.poll(names).toEqual(['page_view', 'b', 'c'])
      await other.context().close()
    },
  )

  it('works where a site may store nothing, for as long as the page lives', async () => {
    await context.addInitScript(() =>
      Object.defineProperty(window, 'localStorage', {
        get() {
          throw new DOMException('denied', 'SecurityError')
        },
      }),
    )
    const tab = await open('/')
    await track(tab, 'a')
    await expect.poll(names).toEqual(['a'])
  })

  it('never throws into the page: what is no JSON is dropped and counted', async () => {
    const tab = await open('/')
    const dropped = await tab.evaluate(() => {
      const circular: Record<string, unknown> = {}
      circular['self'] = circular
      window.tracker.track('a', circular)
      window.tracker.track('b', { big: 1n })
      return window.tracker.dropped
    })
    expect(dropped).toBe(2)
  })

  it('lets the site change or drop an event before it is stored', async () => {
    const tab = await context.newPage()
    await tab.goto(`${site.url}/?token=secret`)
    await tab.evaluate(() => {
      window.tracker = window.createTracker({
        url: '/api/v1/analytics',
        autoPages: false,
        flushMs: 50,
        beforeSend: (event) =>
          event.event === 'private' ? null : { ...event, pageUrl: event.pageUrl.replace(/\?.*/, '') },
      })
    })
    await track(tab, 'private', 'public')
    await expect.poll(names).toEqual(['public'])
    expect(site.distinct()[0]?.pageUrl).toBe(`${site.url}/`)
  })

  it('sends to another origin without asking it first', async () => {
    const other = await createSite(built.folder)
    const tab = await open('/', { url: `${other.url}/api/v1/analytics` })
    await track(tab, 'a')
    await expect.poll(() => other.distinct().map(({ event }) => event)).toEqual(['a'])
    await expect.poll(() => eventKeysOf(tab)).toEqual([])
    await other.close()
  })

  it('runs from a script tag', async () => {
    const tab = await context.newPage()
    await tab.goto(`${site.url}/script`)
    await tab.evaluate(async () => {
      const { tidemark } = window as unknown as { tidemark: { tracker: Tracker } }
      tidemark.tracker.track('clicked')
      await tidemark.tracker.flush()
    })
    await expect.poll(names).toEqual(['page_view', 'clicked'])
  })

  it('tells the web vitals of a page once it is hidden', async () => {
    const tab = await open('/')
    await tab.evaluate(() => window.trackVitals(window.tracker))
    await tab.click('#slow')
    await tab.evaluate(
      () =>
        new Promise<void>((resolve) => {
          // a layout shift long after the last input
          setTimeout(() => {
            const bar = document.createElement('div')
            bar.style.height = '200px'
            document.body.prepend(bar)
            requestAnimationFrame(() => requestAnimationFrame(() => resolve()))
          }, 800)
        }),
    )
    await hide(tab)
    await hide(tab)
    await expect.poll(names).toEqual(['web_vitals'])
    const { category, properties } = site.distinct()[0] as {
      category: string
      properties: Record<string, number>
    }
    expect(category).toBe('performance')
    expect(properties['inp']).toBeGreaterThanOrEqual(120)
    expect(properties['inp']).toBeLessThan(2_000)
    expect(properties['cls']).toBeGreaterThan(0.01)
    for (const name of ['lcp', 'fcp', 'ttfb']) expect(properties[name], name).toBeGreaterThanOrEqual(0)
  })
})
