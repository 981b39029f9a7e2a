import { expect, it } from 'vitest'
import { MemoryStore } from '../../src/cache/memory-store.ts'
import { describeCacheStore, entry, keyOf } from '../suites/cache-store.ts'

const layers = { dashboard: 1024 * 1024, lists: 0, reports: 0, sessions: 0 }

describeCacheStore('answers in the process', async () => {
  let now = 0
  return {
    store: new MemoryStore({ layers, now: () => now }),
    pass: async (ms) => {
      now += ms
    },
  }
})

it('holds no more than its bytes, and what was used last', () => {
  const store = new MemoryStore({ layers })
  const keys = Array.from({ length: 500 }, (_, i) => keyOf(i))
  for (const key of keys) {
    store.write(key, store.read(key).ticket, entry('x'.repeat(9_000)))
    store.read(keys[0]!)
  }
  const { bytes, entries, evicted } = store.counts('dashboard')
  expect(bytes).toBeLessThanOrEqual(layers.dashboard)
  expect(bytes).toBeGreaterThan(layers.dashboard * 0.8)
  expect(entries + evicted).toBe(500)
  expect(store.read(keys[0]!).kept).not.toBeNull()
  expect(store.read(keys[1]!).kept).toBeNull()
  expect(store.read(keys[499]!).kept).not.toBeNull()
})

it('a tenant who asks much pushes nobody else out', () => {
  const store = new MemoryStore({ layers })
  const quiet = Array.from({ length: 10 }, (_, i) => keyOf(i, `quiet ${i}`))
  for (const key of quiet) store.write(key, store.read(key).ticket, entry('x'.repeat(9_000)))
  for (let i = 0; i < 1000; i++) {
    const key = keyOf(i, 'loud')
    store.write(key, store.read(key).ticket, entry('x'.repeat(9_000)))
  }
  expect(quiet.every((key) => store.read(key).kept !== null)).toBe(true)
  // and who is alone may have the rest
  expect(store.counts('dashboard').bytes).toBeGreaterThan(layers.dashboard * 0.8)
})

it('an answer that would take more than a quarter is not held', () => {
  const store = new MemoryStore({ layers })
  expect(store.write(keyOf(1), store.read(keyOf(1)).ticket, entry('x'.repeat(300_000)))).toBe(false)
  expect(store.counts('dashboard')).toMatchObject({ entries: 0, bytes: 0, tooLarge: 1 })
})

it('a tag that is forgotten makes wrong what hangs on it, and nothing else', () => {
  const store = new MemoryStore({ layers, maxTags: 100 })
  const first = keyOf(1, 'first', ['app.a'])
  store.write(first, store.read(first).ticket, entry('a'))
  for (let i = 0; i < 100; i++) store.read(keyOf(1, `t${i}`, ['app.a']))
  expect(store.read(first).kept).toBeNull()
  const last = keyOf(2, 't99', ['app.a'])
  store.write(last, store.read(last).ticket, entry('b'))
  expect(store.read(last).kept).not.toBeNull()
})
