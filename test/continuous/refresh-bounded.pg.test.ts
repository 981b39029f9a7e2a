import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createRefreshSizes } from '../../src/continuous/refresh-sizes.ts'
import { type RefreshContext, refreshVersion } from '../../src/continuous/refresh-version.ts'
import type { AggregateVersion } from '../../src/continuous/version.ts'
import { createHotTier } from '../../src/hot/index.ts'
import { queryLimits, type Tier } from '../../src/query/index.ts'
import { raw } from '../../src/util/sql.ts'
import { createFixture, type Fixture, readings } from '../lifecycle/fixture.ts'
import { aggregateOf, createCells } from './cells-fixture.ts'
import { differences } from './raw-cells.ts'

const hourly = aggregateOf('hourly', readings, {
  bucket: '1 hour',
  by: ['sensor'],
  select: {
    n: { fn: 'count' },
    users: { fn: 'uniques', column: 'value' },
    p95: { fn: 'percentile', column: 'value', q: 0.95 },
  },
})
/** Some 100 cells with two sketches before any have been seen; eight times as many once they turn out to be small. */
const maxBytes = 1_000_000
const keysOfBucket = 1_000

describe('what a refresh has in memory', () => {
  let fixture: Fixture
  let version: AggregateVersion
  let scans: number[]
  beforeEach(async () => {
    fixture = await createFixture(readings)
    version = await createCells(fixture.test.db, hourly)
    scans = []
  })
  afterEach(() => fixture.drop())

  const contextOf = (settings: RefreshContext['settings'], tier: Partial<Tier> = {}): RefreshContext => {
    const hot = createHotTier()
    const counted: Tier = {
      ...hot,
      scan: async (request, context) => {
        const found = await hot.scan(request, context)
        if (request.states.length > 0) scans.push(found.cells.length)
        return found
      },
      ...tier,
    }
    return {
      ...{ db: fixture.test.db, tiers: [counted], clock: fixture.clock, limits: queryLimits() },
      ...(settings ? { settings } : {}),
    }
  }
  const raws = () => ({ ...contextOf({}), tiers: [createHotTier()] })
  /** Rows of many keys in one hour, three for each of them. */
  const insert = async (hour: string, keys: number) => {
    const at = BigInt(Date.parse(hour)) * 1000n
    await fixture.writer.insert(
      readings,
      Array.from({ length: keys * 3 }, (_, i) => ({
        time: at + BigInt(i),
        tenant: `t${i % 3}`,
        sensor: `s${Math.floor(i / 3)}`,
        value: i % 7,
      })),
    )
  }

  it('is bounded by bytes where one bucket has more keys than that, and every cell is right', async () => {
    await insert('2026-01-01T05:00:00Z', keysOfBucket)
    const report = await refreshVersion(contextOf({ maxBytes }), version)
    expect(report).toMatchObject({ rows: keysOfBucket * 3, cells: keysOfBucket * 3, batches: 1 })
    expect(await differences(raws(), version)).toEqual([])
    const most = Math.max(...scans)
    expect(most).toBeLessThanOrEqual(
      createRefreshSizes(version, { maxRows: 1, maxBytes: maxBytes * 8 }).maxCells(),
    )
    expect(scans.reduce((sum, cells) => sum + cells)).toBe(keysOfBucket * 3)
    // computed again, over cells that are there, it is the same
    scans = []
    await refreshVersion(contextOf({ maxBytes }), version, {
      range: { from: 1767243600000000n, to: 1767247200000000n },
    })
    expect(scans.length).toBeGreaterThan(3)
    expect(await differences(raws(), version)).toEqual([])
  })

  it('is bounded where many buckets have some keys each, and what is learned from one batch holds for the next', async () => {
    for (let hour = 0; hour < 12; hour++)
      await insert(`2026-01-02T${String(hour).padStart(2, '0')}:00:00Z`, 60)
    const report = await refreshVersion(contextOf({ maxBytes, batchMs: 0 }), version)
    expect(report).toMatchObject({ rows: 12 * 180, cells: 12 * 180 })
    expect(report.batches).toBeGreaterThan(2)
    expect(await differences(raws(), version)).toEqual([])
    expect(Math.max(...scans)).toBeLessThanOrEqual(
      createRefreshSizes(version, { maxRows: 1, maxBytes: maxBytes * 8 }).maxCells(),
    )
  })

  it('a tenant alone is bounded, too', async () => {
    await insert('2026-01-01T05:00:00Z', 600)
    await refreshVersion(contextOf({}), version)
    await fixture.writer.insert(readings, [
      { time: 1767243600000000n, tenant: 't1', sensor: 'new', value: 1 },
    ])
    scans = []
    const report = await refreshVersion(contextOf({ maxBytes: 100_000 }), version)
    expect(report.cells).toBe(601)
    expect(scans.length).toBeGreaterThan(1)
    expect(await differences(raws(), version)).toEqual([])
  })

  it('a statement that takes too long is tried with less, and then said in words with a way out', async () => {
    await insert('2026-01-01T05:00:00Z', 10)
    // every row waits
    await fixture.test.db.execute(
      raw(`create function pg_temp_wait() returns float8 language plpgsql volatile as
        $$ begin perform pg_sleep(1); return 0; end $$`),
    )
    let asked = 0
    const hot = createHotTier()
    const slow: Partial<Tier> = {
      scan: async (request, context) => {
        asked += 1
        const snapshot = context.snapshot as unknown as {
          query(text: unknown, signal: null): Promise<unknown>
        }
        if (asked <= slowScans) await snapshot.query(raw('select pg_temp_wait()'), null)
        return hot.scan(request, context)
      },
    }
    let slowScans = 2
    const report = await refreshVersion(contextOf({ statementMs: 200 }, slow), version)
    expect(report.cells).toBe(30)
    expect(await differences(raws(), version)).toEqual([])

    asked = 0
    slowScans = 1000
    const range = { from: 1767243600000000n, to: 1767247200000000n }
    await expect(
      refreshVersion(contextOf({ statementMs: 200 }, slow), version, { range }),
    ).rejects.toMatchObject({
      code: 'TM_TIMEOUT',
      message: expect.stringMatching(
        /refreshing .*hourly: .* 200 ms and was cancelled; look in pg_stat_activity/,
      ),
    })
    expect(asked).toBe(4)
  })
})
