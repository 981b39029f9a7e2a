import { afterEach, beforeEach, expect, it } from 'vitest'
import { parseInstant } from '../../src/time/index.ts'
import {
  compactJob,
  expireJob,
  freezeJob,
  type Job,
  reclaimJob,
  sweepJob,
  Worker,
} from '../../src/worker/index.ts'
import { createFixture, day, type Fixture, samples, seen, states } from './fixture.ts'

let fixture: Fixture
beforeEach(async () => {
  fixture = await createFixture(samples)
})
afterEach(() => fixture.drop())

function jobs(): Job[] {
  const lifecycle = fixture.another({ settings: { quietMs: 0, foldAfterMs: 0, emptyShare: 0 } })
  return [
    freezeJob(samples, lifecycle),
    compactJob(samples, lifecycle),
    expireJob(samples, lifecycle),
    reclaimJob(samples, lifecycle),
    sweepJob(lifecycle),
  ]
}

it('the jobs take a table through its life, with several workers at once', async () => {
  const { test, writer, clock } = fixture
  await writer.insert(samples, [...day('2026-01-01'), ...day('2026-01-02'), ...day('2026-01-20', 1, 'x')])
  clock.set(parseInstant('2026-01-15T00:00:00Z'))
  const workers = [1, 2, 3].map(() => new Worker(test.db, jobs()))
  const runAll = async () => {
    const runs = (await Promise.all(workers.map((worker) => worker.runOnce({ force: true })))).flat()
    expect(runs.filter(({ error }) => error !== null)).toEqual([])
    return runs
  }
  const runs = await runAll()
  // one of the workers has frozen them; another that comes later finds nothing to do
  const freezes = runs.filter(({ name }) => name.startsWith('freeze')).map(({ result }) => result)
  expect(freezes).toContainEqual(expect.objectContaining({ chunks: 2, rows: 6, failed: [] }))
  await expect
    .poll(() => runAll().then(() => states(test.db)), { timeout: 20_000, interval: 300 })
    .toEqual(['cold 1 -', 'cold 1 -', 'hot 0'])
  await writer.insert(samples, day('2026-01-01', 1, 'late'))
  await runAll()
  await expect
    .poll(() => runAll().then(() => seen(fixture, test.db, samples)), { timeout: 20_000, interval: 300 })
    .toEqual(['C late0', 'C s0', 'C s0', 'C s1', 'C s1', 'C s2', 'C s2', 'H x0'])
  clock.set(parseInstant('2026-02-01T00:00:00Z'))
  await expect
    .poll(() => runAll().then(() => states(test.db)), { timeout: 20_000, interval: 300 })
    .toEqual(['dropped 0 -', 'cold 1 -', 'cold 1 -'])
})
