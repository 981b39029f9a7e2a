import { createTracker, type Tracker } from './index.ts'

/**
 * The build for a script tag: `window.tidemark.createTracker`, and with `data-url` a tracker that runs at once as
 * `window.tidemark.tracker`.
 */
interface Page {
  readonly document: {
    readonly currentScript: { readonly dataset: Readonly<Record<string, string | undefined>> } | null
  }
  tidemark?: { readonly createTracker: typeof createTracker; readonly tracker: Tracker | null }
}

const page = globalThis as unknown as Page
const { url, requireConsent } = page.document.currentScript?.dataset ?? {}
page.tidemark = {
  createTracker,
  tracker: url ? createTracker({ url, requireConsent: requireConsent !== undefined }) : null,
}
