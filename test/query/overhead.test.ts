import { describe, expect, it } from 'vitest'
import { states } from '../../src/aggregate/index.ts'
import { type Cell, defaultQueryLimits, executeQuery, parseQuery, type Tier } from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { fixedClock } from '../../src/time/index.ts'
import { createMemoryTier } from '../helpers/memory-tier.ts'

const cpu = hypertable('suite.cpu', {
  columns: { time: t.timestamptz(), host: t.text(), a: t.float8(), b: t.float8() },
  time: 'time',
})
const clock = fixedClock(0n)
const hour = 3_600_000_000n

const ten = {
  n: { fn: 'count' },
  sumA: { fn: 'sum', column: 'a' },
  sumB: { fn: 'sum', column: 'b' },
  avgA: { fn: 'avg', column: 'a' },
  avgB: { fn: 'avg', column: 'b' },
  minA: { fn: 'min', column: 'a' },
  minB: { fn: 'min', column: 'b' },
  maxA: { fn: 'max', column: 'a' },
  maxB: { fn: 'max', column: 'b' },
  lastA: { fn: 'last', column: 'a' },
}

/** A tier whose cells are there already, so that what is measured is parsing, planning, merging and finishing. */
function ready(hours: number, hosts: number): Tier {
  return {
    ...createMemoryTier({ dataset: cpu, rows: [] }),
    scan: async (request) => {
      const cells: Cell[] = []
      for (let h = 0; h < hours; h++)
        for (let i = 0; i < hosts; i++)
          cells.push({
            bucket: request.bucket ? BigInt((h * 7) % hours) * hour : null,
            keys: request.by.map(() => `host_${(i * 37) % hosts}`),
            states: request.states.map(({ spec }) => {
              const state = states[spec.kind].create(spec)
              return states[spec.kind].add(state, spec.input === null ? null : i + 0.5, 1n)
            }),
          })
      return { cells, rowsRead: null, bytesRead: null }
    },
  }
}

/** Fastest of many runs in milliseconds, without the time that the tier takes. */
async function overhead(tier: Tier, input: unknown, runs: number): Promise<number> {
  let best = Number.POSITIVE_INFINITY
  for (let i = 0; i < runs; i++) {
    const started = performance.now()
    const { plan } = await executeQuery(parseQuery(input, { dataset: cpu, clock }), {
      tiers: [tier],
      snapshot: { id: '1:1:', takenAt: 0n },
      clock,
      signal: null,
      limits: defaultQueryLimits,
    })
    best = Math.min(best, performance.now() - started - plan.ms.read)
  }
  return best
}

/**
 * Bounds are several times the figures of a quiet machine (docs/design/planner.md), so that a busy one does not fail;
 * work that grows faster than the cells would still be found.
 */
describe('the cost of planning and merging', () => {
  it('is a few milliseconds for 2,400 cells of ten aggregates', async () => {
    const input = { bucket: '1 hour', by: ['host'], select: ten }
    const ms = await overhead(ready(24, 100), input, 60)
    console.info(`2,400 cells x 10 aggregates: ${ms.toFixed(2)} ms`)
    expect(ms).toBeLessThan(9)
  })

  it('is a fraction of a millisecond for one cell', async () => {
    const ms = await overhead(
      ready(1, 1),
      { select: { n: { fn: 'count' }, top: { fn: 'max', column: 'a' } } },
      500,
    )
    console.info(`one cell: ${ms.toFixed(3)} ms`)
    expect(ms).toBeLessThan(0.6)
  })
})
