import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readSnapshotPlace, seesAllOf } from '../../src/hot/snapshot-order.ts'
import { joinRanges, touches } from '../../src/query/index.ts'
import { bucketRow, maxStretches, unknownStretches } from '../../src/query/results-cache/bucket-row.ts'
import { sizeOf } from '../../src/query/results-cache/size.ts'
import { KeptBuckets } from '../../src/query/results-cache/store.ts'

describe('snapshots in their order', () => {
  /** What a primary does: numbers are given out, transactions end, snapshots are taken. */
  const history = fc.array(fc.record({ what: fc.constantFrom('begin', 'end', 'look'), who: fc.nat(9) }), {
    maxLength: 60,
  })

  it('a later one sees all that an earlier one sees, and an earlier one not, when something has ended between them', () => {
    fc.assert(
      fc.property(history, (steps) => {
        let next = 100n
        const running: bigint[] = []
        const taken: { text: string; ended: number }[] = []
        let ended = 0
        for (const { what, who } of steps) {
          if (what === 'begin') running.push(next++)
          else if (what === 'end' && running.length > 0) {
            running.splice(who % running.length, 1)
            ended += 1
          } else if (what === 'look') {
            const xmin = running.length === 0 ? next : running.reduce((a, b) => (a < b ? a : b))
            // xmax follows the last that has ended; PostgreSQL may leave it behind what was given out
            taken.push({ text: `${xmin}:${next}:${running.join()}`, ended })
          }
        }
        for (const [i, earlier] of taken.entries())
          for (const later of taken.slice(i)) {
            const [a, b] = [readSnapshotPlace(earlier.text), readSnapshotPlace(later.text)]
            expect(seesAllOf(b, a)).toBe(true)
            expect(seesAllOf(a, b)).toBe(earlier.ended === later.ended)
          }
      }),
    )
  })
})

const range = fc.tuple(fc.nat(60), fc.integer({ min: 1, max: 9 })).map(([from, length]) => ({
  from: BigInt(from),
  to: BigInt(from + length),
}))

it('ranges that are joined touch what any of them touches', () => {
  fc.assert(
    fc.property(fc.array(range), range, (ranges, { from, to }) => {
      const expected = ranges.some((other) => other.from < to && from < other.to)
      expect(touches(joinRanges(ranges), from, to)).toBe(expected)
    }),
  )
})

it('what is read of a row of buckets is all that is not known, in few stretches', () => {
  fc.assert(
    fc.property(range, fc.array(fc.boolean()), fc.nat(70), (asked, known, now) => {
      const row = bucketRow({ kind: 'fixed', width: 3n, origin: 1n }, asked, BigInt(now))
      if (row === null) return
      const { borders } = row
      for (const [i, border] of borders.entries()) {
        expect(border % 3n).toBe(1n)
        if (i > 0) expect(border - (borders[i - 1] as bigint)).toBe(3n)
      }
      const stretches = unknownStretches(row, (i) => known[i] === true)
      expect(stretches.length).toBeLessThanOrEqual(maxStretches)
      for (let at = asked.from; at < asked.to; at++) {
        const bucket = borders.findLastIndex((border) => border <= at)
        const isKnown = bucket >= 0 && bucket < borders.length - 1 && known[bucket] === true
        const isRead = stretches.some(({ from, to }) => from <= at && at < to)
        expect(isRead || isKnown).toBe(true)
      }
      for (const [i, { from, to }] of stretches.entries()) {
        expect([asked.from, ...borders]).toContain(from)
        expect([asked.to, ...borders]).toContain(to)
        if (i > 0) expect(from).toBeGreaterThan((stretches[i - 1] as { to: bigint }).to)
      }
    }),
  )
})

describe('what is kept', () => {
  const bucket = (from: bigint, cells = 1) => ({
    from,
    to: from + 1n,
    cells: Array.from({ length: cells }, () => ({ bucket: from, keys: ['host'], states: [{ count: 1.5 }] })),
    history: 1,
    moment: 0,
    computedMs: 0,
  })

  it('never takes more than its memory; what was used last stays', () => {
    const kept = new KeptBuckets(20_000)
    const first = kept.nextUse()
    for (let i = 0n; i < 30n; i++) kept.keep('a', bucket(i), first)
    const used = kept.nextUse()
    for (let i = 0n; i < 5n; i++) kept.use(kept.of('a')!.get(i)!, used)
    const second = kept.nextUse()
    for (let i = 0n; i < 20n; i++) {
      kept.keep('b', bucket(i), second)
      expect(kept.counts.bytes).toBeLessThanOrEqual(20_000)
    }
    expect(kept.counts.evictions).toBeGreaterThan(0)
    expect([0n, 1n, 2n, 3n, 4n].every((from) => kept.of('a')?.has(from))).toBe(true)
    expect(kept.of('b')!.size).toBe(20)
  })

  it('rows that were made of it take their memory too, or are not remembered', () => {
    const kept = new KeptBuckets(1_000)
    kept.keep('a', bucket(0n), kept.nextUse())
    const known = kept.of('a')!.get(0n)!
    const { bytes } = kept.counts
    kept.rememberFinished(known, 'n', [[0n, 'host', 1.5]])
    expect(known.finished?.outputs).toBe('n')
    expect(kept.counts.bytes).toBeGreaterThan(bytes)
    kept.rememberFinished(known, 'm', [[0n, 'host', 'x'.repeat(1_000)]])
    expect(known.finished?.outputs).toBe('n')
    kept.drop('a', known)
    expect(kept.counts).toMatchObject({ bytes: 0, buckets: 0 })
    kept.rememberFinished(known, 'm', [[0n]])
    expect(kept.counts.bytes).toBe(0)
  })

  it('a question larger than the memory keeps a part of its buckets, and does not push them out itself', () => {
    const kept = new KeptBuckets(20_000)
    for (let round = 0; round < 3; round++) {
      const use = kept.nextUse()
      for (let i = 0n; i < 100n; i++) {
        const known = kept.of('a')?.get(i)
        if (known) kept.use(known, use)
      }
      for (let i = 0n; i < 100n; i++) if (!kept.of('a')?.has(i)) kept.keep('a', bucket(i, 3), use)
    }
    expect(kept.counts.evictions).toBe(0)
    expect(kept.of('a')!.size).toBeGreaterThan(10)
  })

  it('counts no fewer bytes than arrays and texts have', () => {
    expect(sizeOf(new Float64Array(1000))).toBeGreaterThan(8000)
    expect(sizeOf({ name: 'x'.repeat(1000), list: [1.5, 2.5] })).toBeGreaterThan(2000)
    expect(sizeOf(new Map([['a', new Uint8Array(5000)]]))).toBeGreaterThan(5000)
  })
})
