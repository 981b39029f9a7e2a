import type { Store } from './store.ts'

/** Characters of one event: at most three bytes each, so that any event fits into a beacon. */
const maxEventLength = 20_000
/** Bytes of one body: browsers take 64 KiB of beacons at a time. */
const maxBodyBytes = 64_000

/** Events that wait to be acknowledged, each under a key of its own: tabs that add at the same moment overwrite nothing. */
export interface Queue {
  /** Events that were given up (too large, too many, refused by the server) and that the server was not told of. */
  dropped: number
  /** The key; undefined when the event is too large. */
  add(id: string, event: object): string | undefined
  /** Keys of what waits, of all tabs, the oldest first. */
  keys(): string[]
  remove(keys: readonly string[]): void
  /** The body of a request with the first of these events, and their keys: none when another tab has sent them. */
  pack(keys: readonly string[]): { readonly body: string; readonly keys: readonly string[] }
}

export function createQueue(
  store: Store,
  prefix: string,
  maxEvents: number,
  /** Characters, of all that waits. */
  maxLength: number,
): Queue {
  // What all tabs have, as far as this one knows; counted before the first is added, and before anything is dropped.
  let count = Infinity
  let length = 0
  const lengthOf = (key: string): number => store.get(key)?.length ?? 0

  const trim = (): void => {
    const keys = queue.keys()
    count = keys.length
    length = keys.reduce((sum, key) => sum + lengthOf(key), 0)
    if (count > maxEvents || length > maxLength) {
      for (const key of keys) {
        // a tenth more than must be, so that not every event that follows counts again
        if (count <= maxEvents * 0.9 && length <= maxLength * 0.9) break
        queue.remove([key])
        queue.dropped++
      }
    }
  }

  const queue: Queue = {
    dropped: 0,
    add(id, event) {
      const text = JSON.stringify(event)
      if (text.length > maxEventLength) {
        queue.dropped++
        return
      }
      const key = prefix + id
      length += text.length
      // a quarter of what may wait is the most that is taken of the site's localStorage
      store.set(key, text, length > maxLength / 4)
      if (++count > maxEvents || length > maxLength) trim()
      return key
    },
    keys: () => store.keys(prefix),
    remove(keys) {
      for (const key of keys) {
        count--
        length -= lengthOf(key)
        store.remove(key)
      }
    },
    pack(keys) {
      let taken = keys.filter(store.get)
      for (;;) {
        const body = `{"sentAt":"${new Date().toISOString()}","dropped":${queue.dropped},"events":[${taken.map(store.get)}]}`
        if (taken.length < 2 || new Blob([body]).size <= maxBodyBytes) return { body, keys: taken }
        taken = taken.slice(0, taken.length / 2)
      }
    },
  }
  return queue
}
