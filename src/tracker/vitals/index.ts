import type { Tracker } from '../tracker.ts'

/** What of PerformanceObserver's entries is used. */
interface Entry {
  readonly name: string
  readonly startTime: number
  readonly duration: number
  readonly value?: number
  readonly hadRecentInput?: boolean
  readonly interactionId?: number
  readonly responseStart?: number
  readonly activationStart?: number
}
interface Page {
  readonly addEventListener: (type: string, listener: () => void, useCapture: boolean) => void
  readonly document: {
    readonly visibilityState: string
    readonly addEventListener: (type: string, listener: () => void, useCapture: boolean) => void
  }
  readonly performance: { getEntriesByType(type: string): readonly unknown[] }
  readonly PerformanceObserver: new (
    callback: (list: { getEntries(): readonly unknown[] }) => void,
  ) => {
    observe(options: {
      readonly type: string
      readonly buffered: boolean
      readonly durationThreshold?: number
    }): void
    takeRecords(): readonly unknown[]
  }
}

/** How many of the slowest interactions are kept: INP leaves out one for each fifty. */
const keptInteractions = 10
const interactionsPerOutlier = 50
/** A burst of layout shifts ends after a second of quiet, and after five seconds. */
const shiftGapMs = 1_000
const shiftWindowMs = 5_000

/**
 * Measures the page's web vitals as web.dev/vitals defines them and tracks them once, when the page is first hidden, as
 * the event `web_vitals` of category `performance`: `lcp`, `inp`, `fcp` and `ttfb` in milliseconds and `cls`; what the
 * browser does not measure, or what did not happen, is left out.
 *
 * @example
 * trackVitals(createTracker({ url }))
 */
export function trackVitals(tracker: Pick<Tracker, 'track'>): void {
  const page = (globalThis as { readonly window?: Page }).window
  if (!page?.PerformanceObserver) return
  const navigation = page.performance.getEntriesByType('navigation')[0] as Entry | undefined
  // times of a page that was rendered ahead count from the moment that it was shown
  const shownMs = navigation?.activationStart ?? 0
  const since = (ms: number): number => Math.max(Math.round(ms - shownMs), 0)
  const vitals: Record<string, number> = {}
  if (navigation?.responseStart) vitals['ttfb'] = since(navigation.responseStart)

  const pending: (() => void)[] = []
  const observe = (type: string, see: (entry: Entry) => void, durationThreshold?: number): void => {
    try {
      const observer = new page.PerformanceObserver((list) => (list.getEntries() as Entry[]).forEach(see))
      observer.observe({ type, buffered: true, durationThreshold })
      pending.push(() => (observer.takeRecords() as Entry[]).forEach(see))
    } catch {
      // a browser that does not know the type
    }
  }

  // a page that was opened in the background paints when somebody comes
  if (page.document.visibilityState !== 'hidden') {
    observe('paint', (entry) => {
      if (entry.name === 'first-contentful-paint') vitals['fcp'] = since(entry.startTime)
    })
    observe('largest-contentful-paint', (entry) => {
      vitals['lcp'] = since(entry.startTime)
    })
  }

  let shift = 0
  let firstShiftMs = 0
  let lastShiftMs = 0
  observe('layout-shift', ({ startTime, value = 0, hadRecentInput }) => {
    if (hadRecentInput) return
    const goesOn = startTime - lastShiftMs < shiftGapMs && startTime - firstShiftMs < shiftWindowMs
    if (!goesOn) firstShiftMs = startTime
    shift = goesOn ? shift + value : value
    lastShiftMs = startTime
    vitals['cls'] = Math.max(vitals['cls'] ?? 0, Math.round(shift * 1e4) / 1e4)
  })

  /** The slowest interactions (several events share one), each with its longest event. */
  const slowest = new Map<number, number>()
  let firstId = Infinity
  let lastId = 0
  const interact = ({ interactionId, duration }: Entry): void => {
    if (!interactionId) return
    firstId = Math.min(firstId, interactionId)
    lastId = Math.max(lastId, interactionId)
    slowest.set(interactionId, Math.max(slowest.get(interactionId) ?? 0, duration))
    const sorted = [...slowest].sort((a, b) => b[1] - a[1])
    for (const [id] of sorted.slice(keptInteractions)) slowest.delete(id)
    // quick ones are not reported, but browsers count by sevens (GoogleChrome/web-vitals, interactionCountPolyfill.ts)
    const outliers = Math.floor(((lastId - firstId) / 7 + 1) / interactionsPerOutlier)
    vitals['inp'] = Math.round(sorted[Math.min(outliers, sorted.length - 1)]?.[1] ?? 0)
  }
  observe('event', interact, 40)
  observe('first-input', interact)

  let isTold = false
  const tell = (): void => {
    if (isTold) return
    isTold = true
    for (const take of pending) take()
    tracker.track('web_vitals', vitals, { category: 'performance' })
  }
  // as a capturing listener it comes before the tracker's own, which sends what waits
  page.document.addEventListener(
    'visibilitychange',
    () => page.document.visibilityState === 'hidden' && tell(),
    true,
  )
  page.addEventListener('pagehide', tell, true)
}
