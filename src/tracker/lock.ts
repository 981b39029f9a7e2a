import type { Browser } from './browser.ts'
import type { Store } from './store.ts'

/** How long a claim holds when its tab has died. Work under it must be done by then. */
const claimMs = 60_000
/** Longer than localStorage takes from one tab to another, as a rule: a tab that is later sends what was sent, once more. */
const settleMs = 50

/**
 * Does the work in one tab at a time: by the browser's own locks, and where a page has none (no https) by a claim in
 * localStorage. Two tabs may then hold it once in a great while, which costs a request and no more: the server knows
 * the ids of events.
 */
export function createLock(
  browser: Browser,
  store: Store,
  name: string,
  newId: () => string,
): (work: () => Promise<void>) => Promise<unknown> {
  const claimed = async (work: () => Promise<void>): Promise<void> => {
    for (;;) {
      const left = Number.parseInt(store.get(name) ?? '', 10) - Date.now()
      if (!(left > 0 && left <= claimMs)) {
        const claim = `${Date.now() + claimMs} ${newId()}`
        store.set(name, claim)
        await sleep(settleMs)
        if (store.get(name) === claim) break
      }
      await sleep(settleMs * (2 + Math.random()))
    }
    await work()
    store.remove(name)
  }
  const { locks } = browser.navigator
  return (work) => {
    if (!locks) return claimed(work)
    return locks.request(name, async () => {
      // the lock comes from another tab faster than what that tab has removed from localStorage
      await sleep(settleMs)
      await work()
    })
  }
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
