import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readInvalid } from '../../src/continuous/invalid.ts'
import { type RefreshContext, refreshVersion } from '../../src/continuous/refresh-version.ts'
import type { AggregateVersion } from '../../src/continuous/version.ts'
import { createHotTier } from '../../src/hot/index.ts'
import { queryLimits } from '../../src/query/index.ts'
import { infinityInstant, parseInstant } from '../../src/time/index.ts'
import { createFixture, type Fixture, readings } from '../lifecycle/fixture.ts'
import { aggregateOf, createCells } from './cells-fixture.ts'
import { differences } from './raw-cells.ts'

const hourly = aggregateOf('hourly', readings, {
  bucket: '1 hour',
  by: ['sensor'],
  select: {
    n: { fn: 'count' },
    total: { fn: 'sum', column: 'value' },
    p95: { fn: 'percentile', column: 'value', q: 0.95 },
  },
})

const at = (text: string) => parseInstant(text)

describe('a refresh', () => {
  let fixture: Fixture
  let version: AggregateVersion
  let context: RefreshContext

  beforeAll(async () => {
    fixture = await createFixture(readings)
    version = await createCells(fixture.test.db, hourly)
    context = {
      db: fixture.test.db,
      tiers: [createHotTier()],
      clock: fixture.clock,
      limits: queryLimits(),
    }
  })
  afterAll(() => fixture.drop())

  const rows = (from: string, count: number, everyMinutes = 7, tenant = 't1') =>
    Array.from({ length: count }, (_, i) => ({
      time: at(from) + BigInt(i * everyMinutes) * 60_000_000n,
      tenant,
      sensor: `s${i % 3}`,
      value: (i * 37) % 101,
    }))

  it('computes what there is, and says so', async () => {
    await fixture.writer.insert(readings, rows('2026-01-01T00:00:00Z', 500))
    const report = await refreshVersion(context, version)
    expect(report).toMatchObject({ startOver: 'new', batches: 1, rows: 500, isBusy: false })
    expect(await differences(context, version)).toEqual([])
    expect(await readInvalid(context.db, version.id)).toEqual([
      { tenant: null, range: { from: at('2026-01-03T11:00:00Z'), to: infinityInstant } },
    ])
  })

  it('has nothing to do when nothing was written', async () => {
    const report = await refreshVersion(context, version)
    expect(report).toMatchObject({ startOver: null, entries: 0n, batches: 0, rows: 0 })
  })

  it('computes only what was touched', async () => {
    await fixture.writer.insert(readings, rows('2026-01-02T05:00:00Z', 1))
    const report = await refreshVersion(context, version)
    expect(report.rows).toBeLessThan(20)
    expect(await differences(context, version)).toEqual([])
  })

  it('computes the cells of one tenant only where only one wrote', async () => {
    await fixture.writer.insert(readings, rows('2026-01-02T05:00:00Z', 9, 1, 't2'))
    const report = await refreshVersion(context, version)
    expect(report.rows).toBe(9)
    expect(await differences(context, version)).toEqual([])
  })

  it('computes what is asked for and nothing else, also where that has no end', async () => {
    const future = { from: context.clock.now() + 86_400_000_000n, to: infinityInstant }
    await refreshVersion(context, version, { range: future })
    expect(await refreshVersion(context, version)).toMatchObject({ rows: 0 })
    const last = { from: at('2026-01-03T10:00:00Z'), to: infinityInstant }
    expect((await refreshVersion(context, version, { range: last })).rows).toBe(2)
    expect(await differences(context, version)).toEqual([])
  })
})
