import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Browser } from '../../src/tracker/browser.ts'
import { createQueue } from '../../src/tracker/queue.ts'
import { createStore } from '../../src/tracker/store.ts'

/** A localStorage that takes so many characters, and the pages that share it. */
function createStorage(capacity = Infinity): Browser['localStorage'] {
  const used = (): number => Object.values(items).reduce((sum, text) => sum + text.length, 0)
  const items: Record<string, string> = {}
  return new Proxy(items, {
    get: (_target, name) =>
      ({
        getItem: (key: string) => items[key] ?? null,
        setItem: (key: string, text: string) => {
          if (used() - (items[key]?.length ?? 0) + text.length > capacity)
            throw new Error('QuotaExceededError')
          items[key] = text
        },
        removeItem: (key: string) => delete items[key],
      })[name as 'getItem'],
  }) as unknown as Browser['localStorage']
}
const openStore = (localStorage: Browser['localStorage']) => createStore({ localStorage } as Browser)
const idOf = (i: number): string => String(i).padStart(6, '0')

it('what was added and not removed is there, up to the bounds; the rest is counted, the oldest first', () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ length: fc.integer({ min: 0, max: 400 }), removes: fc.boolean() }), {
        maxLength: 200,
      }),
      fc.integer({ min: 5, max: 60 }),
      fc.integer({ min: 2_000, max: 20_000 }),
      fc.integer({ min: 0, max: 10_000 }),
      (steps, maxEvents, maxLength, capacity) => {
        const store = openStore(createStorage(capacity))
        const queue = createQueue(store, 'e.', maxEvents, maxLength)
        let removed = 0
        for (const [i, step] of steps.entries()) {
          queue.add(idOf(i), { text: 'x'.repeat(step.length) })
          if (step.removes) {
            const [oldest] = queue.keys()
            if (oldest) {
              queue.remove([oldest])
              removed += 1
            }
          }
          const keys = queue.keys()
          expect(keys.length).toBeLessThanOrEqual(maxEvents)
          expect(keys.reduce((sum, key) => sum + (store.get(key)?.length ?? 0), 0)).toBeLessThanOrEqual(
            maxLength,
          )
          // the newest are the ones that are kept
          expect(keys).toEqual(
            Array.from({ length: keys.length }, (_, k) => `e.${idOf(i + 1 - keys.length + k)}`),
          )
        }
        expect(queue.keys().length + removed + queue.dropped).toBe(steps.length)
      },
    ),
  )
})

it('a body is JSON of the first events, and no larger than a beacon may be', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'grapheme', maxLength: 3_000 }), { minLength: 1, maxLength: 40 }),
      (texts) => {
        const queue = createQueue(openStore(createStorage()), 'e.', 1_000, 10_000_000)
        texts.forEach((text, i) => {
          queue.add(idOf(i), { text })
        })
        const { body, keys } = queue.pack(queue.keys())
        expect(keys.length).toBeGreaterThan(0)
        expect(JSON.parse(body).events).toEqual(texts.slice(0, keys.length).map((text) => ({ text })))
        expect(Buffer.byteLength(body)).toBeLessThanOrEqual(64_000)
      },
    ),
    { numRuns: 30 },
  )
})

it('pages that share a localStorage see each other’s events, and not those that are in memory only', () => {
  const storage = createStorage(300)
  const [one, two] = [openStore(storage), openStore(storage)].map((store) =>
    createQueue(store, 'e.', 100, 100_000),
  )
  one?.add(idOf(1), { text: 'x'.repeat(100) })
  two?.add(idOf(2), { text: 'x'.repeat(100) })
  two?.add(idOf(3), { text: 'x'.repeat(200) })
  expect(one?.keys()).toEqual(['e.000001', 'e.000002'])
  expect(two?.keys()).toEqual(['e.000001', 'e.000002', 'e.000003'])
  two?.remove(['e.000001'])
  expect(one?.pack(['e.000001']).keys).toEqual([])
})

it('what is in memory only goes into localStorage when there is room', () => {
  const storage = createStorage(300)
  const store = openStore(storage)
  store.set('a', 'x'.repeat(200))
  store.set('b', 'y'.repeat(200))
  expect(Object.keys(storage)).toEqual(['a'])
  store.remove('a')
  store.save()
  expect(Object.keys(storage)).toEqual(['b'])
  expect(store.get('b')).toBe('y'.repeat(200))
})
