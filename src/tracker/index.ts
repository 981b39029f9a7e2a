import type { Browser } from './browser.ts'
import { startTracker, type Tracker, type TrackerOptions } from './tracker.ts'

export type { Properties, TrackedEvent, Tracker, TrackerOptions } from './tracker.ts'

/**
 * Records what visitors do, and sends it in batches that survive tabs that close, networks that fail and servers that
 * are down. Where there is no browser every call does nothing, so that a page may also be rendered on a server.
 *
 * @example
 * const tracker = createTracker({ url: 'https://stats.example.org/api/v1/analytics' })
 * tracker.track('asset_generated', { asset_type: 'image' }, { category: 'assets' })
 */
export function createTracker(options: TrackerOptions): Tracker {
  return startTracker((globalThis as { readonly window?: Browser }).window, options)
}
