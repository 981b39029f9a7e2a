import { expect, it } from 'vitest'
import { CommitTimes } from '../../src/pipeline/commit-times.ts'

it('half of the last 1,000 transactions and 99 of 100 took no longer than it says', () => {
  const times = new CommitTimes()
  expect(times.counts).toEqual({ transactions: 0, batches: 0, rows: 0, p50Ms: null, p99Ms: null })
  times.add({ dataset: 'a', batches: 2, rows: 10, ms: 7 })
  expect(times.counts).toEqual({ transactions: 1, batches: 2, rows: 10, p50Ms: 7, p99Ms: 7 })
  // those before are forgotten, in whatever order they come
  for (let i = 0; i < 1000; i += 1) times.add({ dataset: 'a', batches: 1, rows: 1, ms: (i * 7919) % 1000 })
  expect(times.counts).toEqual({ transactions: 1001, batches: 1002, rows: 1010, p50Ms: 499, p99Ms: 989 })
})
