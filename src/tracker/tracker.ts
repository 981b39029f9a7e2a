import type { Browser, BrowserResponse } from './browser.ts'
import { createIds } from './ids.ts'
import { createLock } from './lock.ts'
import { createQueue } from './queue.ts'
import { createStore } from './store.ts'

/** JSON that says more about an event. */
export type Properties = Readonly<Record<string, unknown>>

/** An event as it is sent; docs/reference/analytics-api.md. */
export interface TrackedEvent {
  readonly id: string
  readonly event: string
  readonly category: string
  /** By the browser's clock. */
  readonly timestamp: string
  readonly userId: string | null
  readonly anonymousId: string
  readonly sessionId: string
  readonly pageUrl: string
  readonly referrer: string
  readonly properties: Properties
  readonly device: {
    readonly screen: string
    readonly viewport: string
    readonly language: string
    readonly timezone: string
  }
}

export interface TrackerOptions {
  /** Where batches go: `https://…/api/v1/analytics`. */
  readonly url: string
  /** Send and store nothing before `optIn()`. Default false. */
  readonly requireConsent?: boolean
  /** Do-Not-Track and Global Privacy Control count as a refusal until `optIn()`. Default true. */
  readonly respectDoNotTrack?: boolean
  /** Count the first page and each route of a single-page application. Default true. */
  readonly autoPages?: boolean
  /** How long an event waits for others, in milliseconds. Default 5,000. */
  readonly flushMs?: number
  /** Events of a batch at most. Default 50. */
  readonly maxBatch?: number
  /** Events that may wait; beyond it the oldest are dropped and counted. Default 10,000. */
  readonly maxEvents?: number
  /** Characters of all that waits; a quarter of it at most lies in localStorage, the rest in memory. Default 8,000,000. */
  readonly maxLength?: number
  /** Prefix of the keys in localStorage. Default `tidemark`. */
  readonly name?: string
  /** Sees each event before it is stored, and may change it, or drop it by null. */
  readonly beforeSend?: (event: TrackedEvent) => TrackedEvent | null
}

/** What happens in a page. No call throws or has to be awaited: the site goes on whatever becomes of its analytics. */
export interface Tracker {
  /** Something happened. `category` is `general` without one. */
  track(event: string, properties?: Properties, options?: { readonly category?: string }): void
  /** The page is seen: `page_view`, with the title and the utm_* parameters of its URL. `autoPages` calls it. */
  page(properties?: Properties): void
  /** From here on events are this user's, after a reload too. Traits are the properties of an event `identify`. */
  identify(userId: string, traits?: Properties): void
  /** The user has gone: forgets who it was, and begins as someone new. */
  reset(): void
  /** Sends what waits. Resolves when it was tried; what could not be sent is tried again later. */
  flush(): Promise<void>
  /** The visitor agrees. Kept for later visits. */
  optIn(): void
  /** The visitor does not: everything stored is removed, what waits too. Kept for later visits unless `requireConsent`. */
  optOut(): void
  /** Events that were given up since the server was last told how many. */
  readonly dropped: number
}

const sessionMs = 1_800_000
const requestMs = 30_000
const firstRetryMs = 1_000
const maxRetryMs = 300_000
const maxWaitMs = 3_600_000
const maxKeepaliveLength = 20_000

/** Where there is no browser (a server that renders the page), every call does nothing. */
export function startTracker(browser: Browser | undefined, options: TrackerOptions): Tracker {
  const {
    url,
    requireConsent,
    respectDoNotTrack = true,
    autoPages = true,
    flushMs = 5_000,
    maxBatch = 50,
    maxEvents = 10_000,
    maxLength = 8_000_000,
    name = 'tidemark',
    beforeSend = (event: TrackedEvent) => event,
  } = options
  if (!browser) {
    const nothing = (): void => {}
    return {
      track: nothing,
      page: nothing,
      identify: nothing,
      reset: nothing,
      flush: async () => {},
      optIn: nothing,
      optOut: nothing,
      dropped: 0,
    }
  }
  const { document, history, location, navigator, screen } = browser
  const timezone = Intl.DateTimeFormat().resolvedOptions().timeZone
  const newId = createIds()
  const store = createStore(browser)
  const choiceKey = `${name}.choice`
  const userKey = `${name}.user`
  const anonymousKey = `${name}.anonymous`
  const sessionKey = `${name}.session`
  const waitKey = `${name}.wait`
  const queue = createQueue(store, `${name}.event.`, maxEvents, maxLength)
  const exclusively = createLock(browser, store, `${name}.lock`, newId)

  /** Keys of this tab's events that no request has carried yet. */
  const own = new Set<string>()
  /** Keys of events in a request that has no answer yet. */
  const underWay = new Set<string>()
  let size = maxBatch
  let failures = 0
  let sending = Promise.resolve<unknown>(0)
  let timer: ReturnType<typeof setTimeout>
  let dueMs = Infinity
  let isStarted = false
  let referrer = document.referrer
  let route: string | undefined

  const isAllowed = (): boolean => {
    const choice = store.get(choiceKey)
    if (choice) return choice === 'in'
    const refuses = navigator.doNotTrack === '1' || navigator.globalPrivacyControl
    return !requireConsent && !(respectDoNotTrack && refuses)
  }

  const schedule = (ms: number): void => {
    const at = performance.now() + ms
    if (at >= dueMs) return
    clearTimeout(timer)
    dueMs = at
    timer = setTimeout(flush, ms)
  }

  /** Milliseconds until the server may be asked again, for all tabs. What no wait can be is of a clock that was set back. */
  const waitMs = (): number => {
    const left = Number(store.get(waitKey) ?? 0) - Date.now()
    return left > maxWaitMs ? 0 : left
  }

  const request = async (body: string): Promise<BrowserResponse | undefined> => {
    try {
      return await browser.fetch(url, {
        method: 'POST',
        // a text goes as text/plain, which needs no preflight
        body,
        // outlives the page; what a browser carries so has a limit that beacons need, too
        keepalive: body.length < maxKeepaliveLength,
        signal: AbortSignal.timeout?.(requestMs),
      })
    } catch {
      return
    }
  }

  /** Sends one batch and does what the answer asks for; says whether the next may follow. */
  const send = async (keys: readonly string[]): Promise<boolean> => {
    const told = queue.dropped
    const { body, keys: packed } = queue.pack(keys.slice(0, size))
    if (packed.length === 0) return true
    for (const key of packed) {
      own.delete(key)
      underWay.add(key)
    }
    const response = await request(body)
    for (const key of packed) underWay.delete(key)
    // refused meanwhile: nothing of it is left, and nothing is to be stored
    if (!isAllowed()) return false
    const status = response?.status ?? 0
    if (response?.ok) {
      queue.remove(packed)
      queue.dropped = Math.max(queue.dropped - told, 0)
      size = maxBatch
      failures = 0
      return true
    }
    if (/400|413|422/.test(`${status}`) && packed.length > 1) {
      // the event to blame is found by halves, and the others get through
      size = Math.ceil(packed.length / 2)
      return true
    }
    if (status >= 400 && status < 500 && !/408|425|429/.test(`${status}`)) {
      queue.remove(packed)
      queue.dropped += packed.length
      return true
    }
    const after = response?.headers.get('retry-after') ?? ''
    const wait = Math.max(
      Number(after) * 1000 || Date.parse(after) - Date.now() || 0,
      Math.random() * Math.min(maxRetryMs, firstRetryMs * 2 ** failures++),
    )
    store.set(waitKey, `${Date.now() + Math.min(wait, maxWaitMs)}`)
    return false
  }

  /** What waits, of all tabs, without what this one is sending. */
  const waiting = (): string[] => queue.keys().filter((key) => !underWay.has(key))

  const sendAll = async (): Promise<void> => {
    const endMs = performance.now() + requestMs
    for (let keys = waiting(); isAllowed() && keys.length > 0; keys = waiting()) {
      if (waitMs() > 0 || performance.now() > endMs || !(await send(keys))) {
        schedule(Math.max(waitMs(), 0))
        return
      }
    }
    // also those that another tab has sent
    own.clear()
  }

  const flush = (): Promise<void> => {
    clearTimeout(timer)
    dueMs = Infinity
    sending = sending.then(() => (isAllowed() ? exclusively(sendAll) : undefined)).catch(() => {})
    return sending as Promise<void>
  }

  /** The page may never run again: what no request has carried yet goes out at once, without the lock. */
  const leave = (isGone: boolean): void => {
    if (!isAllowed()) return
    store.save()
    for (;;) {
      const keys = queue.keys().filter((key) => own.has(key))
      if (keys.length === 0 || waitMs() > 0) return
      if (!isGone) {
        // what is left, and what to do about an answer that is none, is the ordinary way's
        void send(keys).then(flush)
        return
      }
      // No answer will be heard. The events stay stored, and the next page sends them once more under the same ids.
      const { body, keys: packed } = queue.pack(keys.slice(0, size))
      for (const key of packed) own.delete(key)
      if (!navigator.sendBeacon?.(url, body)) {
        void request(body)
        return
      }
    }
  }

  const track: Tracker['track'] = (event, properties = {}, { category = 'general' } = {}) => {
    if (!isAllowed()) return
    start()
    try {
      const now = Date.now()
      const [session, lastMs] = (store.get(sessionKey) ?? '').split(' ')
      const sessionId = session && Math.abs(now - Number(lastMs)) < sessionMs ? session : newId()
      store.set(sessionKey, `${sessionId} ${now}`)
      const known = store.get(anonymousKey)
      const anonymousId = known ?? newId()
      if (!known) store.set(anonymousKey, anonymousId)
      const entry = beforeSend({
        id: newId(),
        event,
        category,
        timestamp: new Date(now).toISOString(),
        userId: store.get(userKey) ?? null,
        anonymousId,
        sessionId,
        pageUrl: location.href,
        referrer,
        properties,
        device: {
          screen: `${screen.width}x${screen.height}`,
          viewport: `${browser.innerWidth}x${browser.innerHeight}`,
          language: navigator.language,
          timezone,
        },
      })
      if (!entry) return
      const key = queue.add(entry.id, entry)
      if (own.size >= maxEvents) own.clear()
      if (key) own.add(key)
      schedule(Math.max(own.size < maxBatch ? flushMs : 0, waitMs()))
    } catch {
      // properties that are no JSON, or a beforeSend that throws
      queue.dropped++
    }
  }

  const page: Tracker['page'] = (properties) => {
    const here = routeOf(location)
    if (route && route !== here) referrer = route
    route = here
    const campaign: Record<string, string> = {}
    new URLSearchParams(location.search).forEach((value, key) => {
      if (key.startsWith('utm_')) campaign[key] = value
    })
    track('page_view', { title: document.title, ...campaign, ...properties }, { category: 'page' })
  }

  const start = (): void => {
    if (isStarted) return
    isStarted = true
    browser.addEventListener('pagehide', () => leave(true))
    browser.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && leave(false))
    browser.addEventListener('online', () => {
      store.remove(waitKey)
      void flush()
    })
    if (autoPages) {
      const routed = (): void => {
        // a router sets the title, and often the route again, right after
        setTimeout(() => {
          if (routeOf(location) !== route) page()
        })
      }
      for (const name of ['pushState', 'replaceState'] as const) {
        const original = history[name]
        history[name] = (...args) => {
          original.apply(history, args)
          routed()
        }
      }
      browser.addEventListener('popstate', routed)
      // a page that comes back from the browser's cache is seen again
      browser.addEventListener('pageshow', ({ persisted }) => persisted && page())
      page()
    }
    // what an earlier page left behind
    schedule(flushMs)
  }

  const startIfAllowed = (): void => {
    if (isAllowed()) start()
  }
  if (document.prerendering) document.addEventListener('prerenderingchange', startIfAllowed)
  else startIfAllowed()

  return {
    track,
    page,
    identify(userId, traits) {
      if (!isAllowed()) return
      store.set(userKey, userId)
      track('identify', traits, { category: 'user' })
    },
    reset() {
      for (const key of [userKey, anonymousKey, sessionKey]) store.remove(key)
    },
    flush,
    optIn() {
      store.set(choiceKey, 'in')
      start()
    },
    optOut() {
      for (const key of store.keys(`${name}.`)) store.remove(key)
      own.clear()
      if (!requireConsent) store.set(choiceKey, 'out')
    },
    get dropped() {
      return queue.dropped
    },
  }
}

/** Without the part behind #, which names a place in a page. */
function routeOf(location: Browser['location']): string {
  return location.href.split('#')[0] as string
}
