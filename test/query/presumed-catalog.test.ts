import { describe, expect, it } from 'vitest'
import { defaultQueryLimits, executeQuery, parseQuery, type Tier } from '../../src/query/index.ts'
import { fixedClock } from '../../src/time/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'
import { createMemoryTier } from '../helpers/memory-tier.ts'
import { everyType, fixedRows, start } from '../suites/tier-data.ts'

const clock = fixedClock(start)
const input = { select: { n: { fn: 'count' } } }
const rows = fixedRows()
const tier = createMemoryTier({ dataset: everyType, rows })
const isWrong = () => {
  throw new TidemarkError('TM_QUERY', { path: 'query', problem: 'a file that is gone' })
}

/** Each run of the query asks the next of `tiers`; `confirmed` are the answers of the snapshot, one for each time. */
async function ask(scans: readonly Tier['scan'][], confirmed: readonly (boolean | Error)[]) {
  const calls = { scan: 0, confirm: 0 }
  const answer = executeQuery(parseQuery(input, { dataset: everyType, clock }), {
    tiers: [{ ...tier, scan: (...args) => scans[calls.scan++]!(...args) }],
    snapshot: {
      id: '1:1:',
      takenAt: start,
      confirm: async () => {
        const next = confirmed[calls.confirm++]!
        if (next instanceof Error) throw next
        return next
      },
    },
    clock,
    signal: null,
    limits: defaultQueryLimits,
  })
  return { answer: await answer.then(({ rows, plan }) => ({ rows, parts: plan.parts.length })), calls }
}

describe('a query that presumed what the catalog says', () => {
  const nothing: Tier['scan'] = async () => ({ cells: [], rowsRead: 0 })
  const right = { rows: [{ n: rows.length }], parts: 1 }

  it('is done when the snapshot confirms it', async () => {
    expect(await ask([tier.scan], [true])).toEqual({ answer: right, calls: { scan: 1, confirm: 1 } })
  })

  it('is read again when the snapshot sees another catalog, and tells only of the second time', async () => {
    expect(await ask([nothing, tier.scan], [false])).toEqual({
      answer: right,
      calls: { scan: 2, confirm: 1 },
    })
  })

  it('is read again when it failed with another catalog', async () => {
    expect(await ask([isWrong, tier.scan], [false])).toEqual({
      answer: right,
      calls: { scan: 2, confirm: 1 },
    })
  })

  it('fails when the catalog was right, with its own error', async () => {
    await expect(ask([isWrong], [true])).rejects.toThrow('a file that is gone')
    await expect(ask([isWrong], [new Error('no connection')])).rejects.toThrow('a file that is gone')
  })

  it('fails when it fails again', async () => {
    await expect(ask([nothing, isWrong], [false])).rejects.toThrow('a file that is gone')
  })

  it('fails when nothing can confirm it', async () => {
    await expect(ask([tier.scan], [new Error('no connection')])).rejects.toThrow('no connection')
  })
})
