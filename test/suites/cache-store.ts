import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { CacheStore, EntryKey, TagChange } from '../../src/cache/contract.ts'
import { entryKey } from '../../src/cache/keys.ts'
import { tagsChanged } from '../../src/cache/tags.ts'
import type { DatasetChange } from '../../src/feed/index.ts'
import type { TenantScope } from '../../src/schema/index.ts'

const hour = 3_600_000_000n
const day = 24n * hour

export function keyOf(question: unknown, tenant: string | null = null, datasets = ['app.a']): EntryKey {
  const scope: TenantScope = tenant === null ? { kind: 'all' } : { kind: 'one', tenant }
  return entryKey({ layer: 'dashboard', question, scope, restriction: null, datasets, names: [] })
}

export function changed(
  dataset: string,
  tenant: string | null = null,
  range: DatasetChange['range'] = null,
): TagChange[] {
  return tagsChanged([{ dataset, tenant, range }])
}

export const entry = (text: string, more: { lifeMs?: number; from?: bigint; to?: bigint } = {}) => ({
  body: Buffer.from(text),
  ranges: more.from === undefined ? null : [{ from: more.from, to: more.to ?? more.from + day }],
  ageMs: 0,
  lifeMs: more.lifeMs ?? 60_000,
})

/** What holds of every store. `pass` lets time go by for it. */
export function describeCacheStore(
  name: string,
  open: () => Promise<{ readonly store: CacheStore; readonly pass: (ms: number) => Promise<void> }>,
): void {
  describe(`${name}`, () => {
    const text = async (store: CacheStore, key: EntryKey): Promise<string | null> => {
      const { kept } = await store.read(key)
      return kept === null ? null : kept.body.toString()
    }
    const put = async (store: CacheStore, key: EntryKey, body: string, more = {}): Promise<boolean> => {
      const { ticket } = await store.read(key)
      return store.write(key, ticket, entry(body, more))
    }

    it('gives back what was kept, byte for byte, large or small', async () => {
      const { store } = await open()
      const bodies = ['', 'é😀', 'x'.repeat(100_000), Array.from({ length: 5000 }, (_, i) => i * 7919).join()]
      for (const [i, body] of bodies.entries()) {
        expect(await put(store, keyOf(i), body)).toBe(true)
        expect(await text(store, keyOf(i))).toBe(body)
      }
    })

    it('keeps the ranges of an entry, and says how old it is', async () => {
      const { store, pass } = await open()
      await put(store, keyOf(1), 'a', { from: -5n, to: 7n })
      await pass(300)
      const { kept } = await store.read(keyOf(1))
      expect(kept?.ranges).toEqual([{ from: -5n, to: 7n }])
      expect(kept?.ageMs).toBeGreaterThanOrEqual(250)
      expect(kept?.ageMs).toBeLessThan(30_000)
    })

    it('gives nothing when its life is over, and more of it where it slides', async () => {
      const { store, pass } = await open()
      await put(store, keyOf(1), 'a', { lifeMs: 400 })
      await put(store, keyOf(2), 'b', { lifeMs: 400 })
      await store.read(keyOf(2), 60_000)
      await pass(600)
      expect(await text(store, keyOf(1))).toBeNull()
      expect(await text(store, keyOf(2))).toBe('b')
    })

    it('gives nothing that a change has met: of its dataset, its tenant, its time', async () => {
      const { store } = await open()
      const keys = {
        all: keyOf('q'),
        x: keyOf('q', 'x'),
        y: keyOf('q', 'y'),
        other: keyOf('q', 'x', ['app.b']),
        both: keyOf('q', 'x', ['app.a', 'app.b']),
      }
      const rightAfter = async (change: TagChange[]): Promise<string[]> => {
        for (const [body, key] of Object.entries(keys)) await put(store, key, body, { from: 0n, to: day })
        await store.change(change)
        const found = await Promise.all(Object.values(keys).map((key) => text(store, key)))
        return found.filter((body) => body !== null)
      }
      expect(await rightAfter(changed('app.a', 'x'))).toEqual(['y', 'other'])
      expect(await rightAfter(changed('app.a'))).toEqual(['other'])
      expect(await rightAfter(changed('app.b', 'y'))).toEqual(['all', 'x', 'y', 'other', 'both'])
      expect(await rightAfter(changed('app.b'))).toEqual(['all', 'x', 'y'])
      expect(await rightAfter(changed('app.a', null, { from: 2n * day, to: 3n * day }))).toHaveLength(5)
      expect(await rightAfter(changed('app.a', 'y', { from: day - hour, to: 3n * day }))).toEqual([
        'x',
        'other',
        'both',
      ])
    })

    it('gives nothing that was computed before a change and kept after it', async () => {
      const { store } = await open()
      const { ticket } = await store.read(keyOf(1))
      await store.change(changed('app.a'))
      await store.write(keyOf(1), ticket, entry('old'))
      expect(await text(store, keyOf(1))).toBeNull()
      await put(store, keyOf(1), 'new')
      expect(await text(store, keyOf(1))).toBe('new')
    })

    it('gives nothing from before it was reset', async () => {
      const { store } = await open()
      await put(store, keyOf(1), 'a')
      const { ticket } = await store.read(keyOf(2))
      await store.reset()
      await store.write(keyOf(2), ticket, entry('b'))
      expect([await text(store, keyOf(1)), await text(store, keyOf(2))]).toEqual([null, null])
    })

    it('never gives an answer that a change has met since it was computed (random)', async () => {
      const seed = Date.now() & 0x7fffffff
      const { store } = await open()
      let run = 0
      const range = fc.tuple(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 1, max: 30 }))
      const tenant = fc.constantFrom('x', 'y', null)
      const step = fc.oneof(
        fc.record({ kind: fc.constant('change' as const), tenant, range: fc.option(range, { freq: 8 }) }),
        fc.record({ kind: fc.constant('keep' as const), key: fc.integer({ min: 0, max: 5 }), range }),
        fc.record({ kind: fc.constant('begin' as const), key: fc.integer({ min: 0, max: 5 }) }),
      )
      const hours = ([from, width]: readonly [number, number]) => ({
        from: BigInt(from) * hour,
        to: BigInt(from + width) * hour,
      })
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 50 }), async (steps) => {
          const dataset = `app.r${run++}`
          const of = (key: number): string | null => [null, 'x', 'y'][key % 3] ?? null
          const keys = Array.from({ length: 6 }, (_, i) => keyOf(`${run} ${i}`, of(i), [dataset]))
          const begun = await Promise.all(keys.map((key) => store.read(key)))
          const begunAt = keys.map(() => 0)
          const keptAt = new Map<number, { at: number; range: { from: bigint; to: bigint } }>()
          const changes: { tenant: string | null; range: { from: bigint; to: bigint } | null }[] = []
          for (const s of steps) {
            if (s.kind === 'change') {
              const change = { tenant: s.tenant, range: s.range === null ? null : hours(s.range) }
              changes.push(change)
              await store.change(changed(dataset, change.tenant, change.range))
            } else if (s.kind === 'begin') {
              begun[s.key] = await store.read(keys[s.key]!)
              begunAt[s.key] = changes.length
            } else {
              const { from, to } = hours(s.range)
              const isKept = await store.write(keys[s.key]!, begun[s.key]!.ticket, entry('v', { from, to }))
              // otherwise what was there before is still there
              if (isKept) keptAt.set(s.key, { at: begunAt[s.key]!, range: { from, to } })
            }
          }
          for (const [i, { at, range }] of keptAt) {
            const isMet = changes
              .slice(at)
              .some(
                (change) =>
                  (of(i) === null || change.tenant === null || change.tenant === of(i)) &&
                  (change.range === null || (change.range.from < range.to && range.from < change.range.to)),
              )
            const found = await text(store, keys[i]!)
            if (isMet) expect(found, `${dataset}, seed ${seed}`).toBeNull()
          }
        }),
        { seed, numRuns: 40 },
      )
    })
  })
}
