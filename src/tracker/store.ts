import type { Browser, BrowserStorage } from './browser.ts'

/** Texts by key, in localStorage where that takes them, and otherwise in memory for as long as the page lives. */
export interface Store {
  get(key: string): string | undefined
  /** `memoryOnly` leaves localStorage alone. */
  set(key: string, value: string, memoryOnly?: boolean): void
  remove(key: string): void
  /** Keys that begin so, in order. */
  keys(prefix: string): string[]
  /** Puts into localStorage what is in memory only, as far as there is room. */
  save(): void
}

export function createStore(browser: Browser): Store {
  const memory = new Map<string, string>()
  let storage: BrowserStorage | undefined
  try {
    // a browser that blocks a site's data throws already here
    storage = browser.localStorage
  } catch {}
  const store: Store = {
    get: (key) => memory.get(key) ?? storage?.getItem(key) ?? undefined,
    set(key, value, memoryOnly) {
      memory.set(key, value)
      try {
        if (!memoryOnly && storage) {
          storage.setItem(key, value)
          memory.delete(key)
        }
      } catch {
        // full: it stays in memory
      }
    },
    remove(key) {
      memory.delete(key)
      storage?.removeItem(key)
    },
    keys: (prefix) =>
      [...new Set([...memory.keys(), ...Object.keys(storage ?? {})])]
        .filter((key) => key.startsWith(prefix))
        .sort(),
    save() {
      for (const [key, value] of [...memory]) store.set(key, value)
    },
  }
  return store
}
