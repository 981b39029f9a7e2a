import { createMemoryTier } from '../helpers/memory-tier.ts'
import { tierSuite } from '../suites/tier.ts'

tierSuite('in memory', async (dataset, rows) => ({
  tier: createMemoryTier({ dataset, rows }),
  withSnapshot: (use) => use({ id: '1:1:', takenAt: 0n }),
  close: async () => {},
}))
